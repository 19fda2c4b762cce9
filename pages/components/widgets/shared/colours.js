// The colours of attention: of weights, differences, heads and the cursor.

// From 0 to 1. Lightness alone shows a weight, so that the scale is readable without colour vision.
const SCALES = {
  light: [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]],
  dark: [[24, 30, 38], [20, 66, 114], [45, 117, 190], [124, 178, 240], [235, 244, 255]],
};
const MASKED = { light: [232, 234, 237], dark: [45, 50, 58] };
// From -1 to 1; orange and blue differ for people with any common colour blindness.
const DIVERGING = {
  light: [[150, 60, 0], [240, 150, 70], [255, 255, 255], [107, 174, 214], [8, 48, 107]],
  dark: [[255, 190, 120], [190, 100, 25], [24, 30, 38], [45, 117, 190], [200, 225, 255]],
};
// Okabe and Ito's colours, adapted to each theme's contrast, in the order in which heads are added.
const HEAD_COLOURS = {
  light: ["#0072B2", "#D55E00", "#009E73", "#A6527F", "#8A6D00", "#3C8DBC", "#7A7A7A", "#000000"],
  dark: ["#56B4E9", "#E69F00", "#2BC79A", "#E0A0C8", "#F0E442", "#8AB8FF", "#B0B0B0", "#FFFFFF"],
};
// The cell pointed at, the cell kept by a click, and the background of highlighted tokens.
const CURSOR = "#ff9f1c";
const KEPT = "#d55e00";
const LIT = "rgba(255, 159, 28, 0.35)";
const MEAN_COLOUR = { light: "#8a9099", dark: "#7d8590" };

function colourAt(scale, share) {
  const place = Math.min(Math.max(share, 0), 1) * (scale.length - 1);
  const low = Math.min(Math.floor(place), scale.length - 2);
  return scale[low].map((part, i) => Math.round(part + (scale[low + 1][i] - part) * (place - low)));
}

const gradient = (scale) => `linear-gradient(to right, ${scale.map((parts) => `rgb(${parts.join(",")})`).join(",")})`;

const pixel = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

// A table of 32-bit pixels for 0 to `most`, so that painting a cell needs no arithmetic.
const pixelTable = (scale, most) => Uint32Array.from({ length: most + 1 }, (_, i) => pixel(colourAt(scale, i / most)));
