// From weights to colours: the scale, and the weight that gets the strongest colour.

const TABLE_SIZE = 1024;

function tableOf(view, difference) {
  const name = difference ? "differenceTable" : "weightTable";
  if (!view[name] || view[`${name}Theme`] !== view.theme) {
    view[name] = pixelTable((difference ? DIVERGING : SCALES)[view.theme], TABLE_SIZE);
    view[`${name}Theme`] = view.theme;
  }
  return view[name];
}

// The index of a weight in the table, whose last entry is for the weight `top`.
const placeIn = (weight, top, difference) =>
  Math.min(Math.max(Math.round((difference ? (weight / top + 1) / 2 : weight / top) * TABLE_SIZE), 0), TABLE_SIZE);

const topText = (view) => (view.top < 1 ? view.top.toPrecision(2) : "1");

// The weight that gets the strongest colour: 1, or the largest in these maps. The first cell of a
// causal map is left out, since it is always 1; and a map of only rounding errors stays pale.
function topWeight(view, kind, maps) {
  if (!isStretched(view)) return 1;
  let top = 0;
  for (const map of maps) for (let cell = kind.causal ? 1 : 0; cell < map.length; cell++) top = Math.max(top, Math.abs(map[cell]));
  return top > 1e-5 ? top : 1;
}
