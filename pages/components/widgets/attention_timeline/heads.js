// The maps of all heads at one moment, and the chosen head large.

// Lightness alone carries the value, so the scale reads without colour vision.
const SCALES = {
  light: [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]],
  dark: [[24, 30, 38], [20, 66, 114], [45, 117, 190], [124, 178, 240], [235, 244, 255]],
};
const MASKED = { light: [232, 234, 237], dark: [45, 50, 58] };

const weightsOf = (message, kind, layer, head, moment) => {
  const [, heads, queries, keys] = kind.shape;
  const from = moment * kind.size + (layer * heads + head) * queries * keys;
  return kind.weights.subarray(from, from + queries * keys);
};

function buildGrid(view) {
  const { message } = view;
  view.maps = [];
  view.grid.replaceChildren();
  const kinds = message.kinds.filter((kind) => view.shown === "all" || view.shown === kind.id);
  const rows = kinds.reduce((sum, kind) => sum + kind.shape[0], 0);
  view.grid.style.setProperty("--side", rows > 3 ? "4.6rem" : "6.5rem");
  for (const kind of kinds) {
    const section = element("section", { "aria-label": kind.title });
    section.append(element("h4", {}, kind.title));
    for (let layer = 0; layer < kind.shape[0]; layer++) {
      const row = element("div", { class: "layer" });
      row.style.setProperty("--heads", kind.shape[1]);
      row.append(element("span", { class: "name" }, `Layer ${layer + 1}`));
      for (let head = 0; head < kind.shape[1]; head++) row.append(buildHead(view, kind, layer, head));
      section.append(row);
    }
    view.grid.append(section);
  }
}

function buildHead(view, kind, layer, head) {
  const name = `${kind.title}, layer ${layer + 1}, head ${head + 1}`;
  const button = element("button", { type: "button", class: "head", "aria-label": name, title: name });
  const canvas = element("canvas");
  button.append(canvas);
  view.maps.push({ ...canvasFor(canvas, kind), kind: kind.id, layer, head, button });
  button.onclick = () => {
    view.head = { kind: kind.id, layer, head };
    view.cell = null;
    buildLarge(view);
    paintAll(view);
  };
  return button;
}

function canvasFor(canvas, kind) {
  const [, , queries, keys] = kind.shape;
  canvas.width = keys;
  canvas.height = queries;
  const context = canvas.getContext("2d");
  const image = context.createImageData(keys, queries);
  return { context, image, pixels: new Uint32Array(image.data.buffer) };
}

// The colour of each of the 256 weights, and of a masked cell at the end, as canvas pixels.
function palette(theme) {
  const scale = SCALES[theme], bytes = new Uint8ClampedArray(4 * 257).fill(255);
  for (let weight = 0; weight < 256; weight++) {
    const place = (weight / 255) * (scale.length - 1);
    const low = Math.min(Math.floor(place), scale.length - 2);
    scale[low].forEach((part, i) => {
      bytes[4 * weight + i] = part + (scale[low + 1][i] - part) * (place - low);
    });
  }
  bytes.set(MASKED[theme], 4 * 256);
  return new Uint32Array(bytes.buffer);
}

function paint(view, map) {
  const kind = view.message.kinds.find((one) => one.id === map.kind);
  const weights = weightsOf(view.message, kind, map.layer, map.head, view.index);
  const keys = kind.shape[3];
  for (let cell = 0; cell < weights.length; cell++) {
    const masked = kind.causal && cell % keys > Math.floor(cell / keys);
    map.pixels[cell] = view.palette[masked ? 256 : weights[cell]];
  }
  map.context.putImageData(map.image, 0, 0);
}

function buildLarge(view) {
  const { kind: id, layer, head } = view.head;
  const kind = view.message.kinds.find((one) => one.id === id);
  const [, , queries, keys] = kind.shape;
  const title = `${kind.title}, layer ${layer + 1}, head ${head + 1}`;
  const canvas = element("canvas", { class: "map" });
  const stage = element("div", {
    class: "stage", tabindex: "0", role: "application", "aria-roledescription": "attention map",
    "aria-label": `${title}: ${queries} rows by ${keys} columns. Arrow keys move from cell to cell.`,
  });
  const marker = element("div", { class: "marker" });
  stage.append(canvas, marker);
  const columns = element("div", { class: "columns" }), rows = element("div", { class: "rows" });
  const label = (token) => element("span", { title: token }, token);
  columns.append(...kind.keys.map(label));
  for (const one of columns.children) one.classList.toggle("upright", one.textContent.length === 1);
  rows.append(...kind.queries.map(label));
  const frame = element("div", { class: "frame" }), scroller = element("div", { class: "scroller" });
  frame.append(element("div"), columns, rows, stage);
  scroller.append(frame);
  const readout = element("p", { class: "readout", "aria-live": view.timer ? "off" : "polite" });
  const key = element("div", { class: "key" }), bar = element("div", { class: "bar" });
  const stops = SCALES[view.theme].map((parts) => `rgb(${parts})`).join(", ");
  bar.style.background = `linear-gradient(to right, ${stops})`;
  key.append("weight 0", bar, "1");
  if (kind.causal) key.append("Grey: masked, a token cannot look at later ones.");
  view.large.replaceChildren(element("h4", {}, title), axes(kind), scroller, readout, key);
  view.stage = { ...canvasFor(canvas, kind), ...view.head, canvas, columns, rows, marker, readout, kindOf: kind };
  followCells(view, stage, canvas, queries, keys);
  sizeLarge(view);
}

function axes(kind) {
  const asks = { encoder: "input token", decoder: "token being written", cross: "token being written" };
  const looked = { encoder: "input token it looks at", decoder: "token read before", cross: "input token it looks at" };
  return element("p", { class: "axes" }, `Rows: ${asks[kind.id]}. Columns: ${looked[kind.id]}.`);
}

function sizeLarge(view) {
  const { canvas, columns, rows, marker, kindOf } = view.stage;
  const [, , queries, keys] = kindOf.shape;
  const room = view.large.clientWidth - rows.offsetWidth - 12;
  const side = Math.max(12, Math.min(40, Math.floor(room / keys), Math.floor(480 / queries)));
  view.stage.side = side;
  canvas.style.width = `${side * keys}px`;
  canvas.style.height = `${side * queries}px`;
  marker.style.width = marker.style.height = `${side}px`;
  columns.style.gridTemplateColumns = `repeat(${keys}, ${side}px)`;
  rows.style.gridTemplateRows = `repeat(${queries}, ${side}px)`;
}

function followCells(view, stage, canvas, queries, keys) {
  const show = (cell) => { view.cell = cell; tellCell(view); };
  stage.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * keys);
    const row = Math.floor(((event.clientY - box.top) / box.height) * queries);
    if (row >= 0 && row < queries && column >= 0 && column < keys) show([row, column]);
  };
  stage.onkeydown = (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const by = moves[event.key];
    if (!by) return;
    event.preventDefault();
    const [row, column] = view.cell ?? [-by[0], -by[1]];
    const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
    show([within(row + by[0], queries), within(column + by[1], keys)]);
  };
}

// The cell stays chosen while the moments pass, so that one can watch its weight.
function tellCell(view) {
  const { marker, readout, kindOf: kind, side, layer, head } = view.stage;
  marker.hidden = !view.cell;
  view.legend.querySelector(".of-cell").hidden = !view.cell;
  view.cellLine.setAttribute("points", "");
  if (!view.cell) {
    readout.textContent = "Point at a cell, or use the arrow keys, to follow its weight through training.";
    return;
  }
  const [row, column] = view.cell;
  marker.style.transform = `translate(${column * side}px, ${row * side}px)`;
  const cell = row * kind.shape[3] + column;
  const at = (moment) => weightsOf(view.message, kind, layer, head, moment)[cell] / 255;
  const { steps } = view.message, last = steps.length - 1;
  view.cellLine.setAttribute("points",
    steps.map((step, i) => `${view.x(step).toFixed(1)},${view.share(at(i)).toFixed(1)}`).join(" "));
  readout.textContent = `“${kind.queries[row]}” (row ${row + 1}) looks at “${kind.keys[column]}” (column ${column + 1}): ` +
    (kind.causal && column > row ? "masked, exactly 0" :
      `${at(view.index).toFixed(2)} now, ${at(0).toFixed(2)} at first, ${at(last).toFixed(2)} at last.`);
}

function paintAll(view) {
  const { kind, layer, head } = view.head;
  for (const map of view.maps) {
    paint(view, map);
    const pressed = map.kind === kind && map.layer === layer && map.head === head;
    map.button.setAttribute("aria-pressed", String(pressed));
  }
  paint(view, view.stage);
  tellCell(view);
}
