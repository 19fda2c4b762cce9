// Colours of this explorer alone; those of a weight are in maps.js.

// From -1 to 1; orange and blue stay apart for people with any common colour blindness.
const DIVERGING = {
  light: [[150, 60, 0], [240, 150, 70], [255, 255, 255], [107, 174, 214], [8, 48, 107]],
  dark: [[255, 190, 120], [190, 100, 25], [24, 30, 38], [45, 117, 190], [200, 225, 255]],
};
// Okabe and Ito's, in the order in which heads are added; light and dark enough for both pages.
const HEAD_COLOURS = {
  light: ["#0072B2", "#D55E00", "#009E73", "#A6527F", "#8A6D00", "#3C8DBC", "#7A7A7A", "#000000"],
  dark: ["#56B4E9", "#E69F00", "#2BC79A", "#E0A0C8", "#F0E442", "#8AB8FF", "#B0B0B0", "#FFFFFF"],
};
// The cursor: the cell pointed at, the one kept, and the background of lit tokens.
const CURSOR = "#ff9f1c";
const KEPT = "#d55e00";
const LIT = "rgba(255, 159, 28, 0.35)";
const MEAN_COLOUR = { light: "#8a9099", dark: "#7d8590" };

const TABLE_SIZE = 1024;

function tableOf(view, difference) {
  const name = difference ? "differenceTable" : "weightTable";
  if (!view[name] || view[`${name}Theme`] !== view.theme) {
    view[name] = pixelTable((difference ? DIVERGING : SCALES)[view.theme], TABLE_SIZE);
    view[`${name}Theme`] = view.theme;
  }
  return view[name];
}

// Where a weight is in the table, whose end is for the weight ``top``.
const placeIn = (weight, top, difference) =>
  Math.min(Math.max(Math.round((difference ? (weight / top + 1) / 2 : weight / top) * TABLE_SIZE), 0), TABLE_SIZE);

const topText = (view) => (view.top < 1 ? view.top.toPrecision(2) : "1");

// The weight of the strongest colour: 1, or the largest in these maps. The first row of a causal
// map has one key, whose weight is always 1; and a difference of nothing but rounding stays pale.
function topWeight(view, kind, maps) {
  if (!isStretched(view)) return 1;
  let top = 0;
  for (const map of maps) for (let cell = kind.causal ? 1 : 0; cell < map.length; cell++) top = Math.max(top, Math.abs(map[cell]));
  return top > 1e-5 ? top : 1;
}
