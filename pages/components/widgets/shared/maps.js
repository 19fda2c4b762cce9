// Maps of attention: cells and labels; the colours are in colours.js. A kind of attention has a
// shape [layer, head, query, key], and is causal if keys after the query are masked.

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }; // rows, columns

const isMasked = (kind, row, column) => kind.causal && column > row;

// One pixel a cell; CSS enlarges it without smoothing.
function paintCells(canvas, kind, theme, pixelOf) {
  const [, , queries, keys] = kind.shape;
  canvas.width = keys;
  canvas.height = queries;
  const context = canvas.getContext("2d"), image = context.createImageData(keys, queries);
  const pixels = new Uint32Array(image.data.buffer), masked = pixel(MASKED[theme]);
  for (let row = 0, cell = 0; row < queries; row++) {
    for (let column = 0; column < keys; column++, cell++) {
      pixels[cell] = isMasked(kind, row, column) ? masked : pixelOf(cell);
    }
  }
  context.putImageData(image, 0, 0);
}

// Set the size of the cells, `side` pixels, for the map and the labels beside it.
function sizeMap(canvas, columns, rows, { shape: [, , queries, keys] }, side) {
  canvas.style.width = `${side * keys}px`;
  canvas.style.height = `${side * queries}px`;
  columns.style.gridTemplateColumns = `repeat(${keys}, ${side}px)`;
  rows.style.gridTemplateRows = `repeat(${queries}, ${side}px)`;
}

// The label of a row or column; a single letter above a column is not rotated.
const tokenLabel = (token, attributes = {}) =>
  element("span", { title: token, ...(token.length === 1 ? { class: "upright" } : {}), ...attributes }, token);

// The cell under the pointer as [row, column], or null.
function cellAt(event, canvas, { shape: [, , queries, keys] }) {
  const box = canvas.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * keys);
  const row = Math.floor(((event.clientY - box.top) / box.height) * queries);
  return row >= 0 && row < queries && column >= 0 && column < keys ? [row, column] : null;
}

// The cell `down` rows and `right` columns further, within the map.
const movedCell = ([row, column], [down, right], { shape: [, , queries, keys] }) =>
  [Math.min(Math.max(row + down, 0), queries - 1), Math.min(Math.max(column + right, 0), keys - 1)];
