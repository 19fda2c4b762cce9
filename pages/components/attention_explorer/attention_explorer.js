// The grid of heads and the chosen head. Everything below reads one packed message:
// [length of header: uint32][header: JSON][weights of all kinds: float32].

const views = new WeakMap(); // root element -> what the person chose: kind, layer, head

// Lightness alone carries the value, so the scale reads without colour vision.
const SCALES = {
  light: [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]],
  dark: [[24, 30, 38], [20, 66, 114], [45, 117, 190], [124, 178, 240], [235, 244, 255]],
};
const MASKED = { light: [232, 234, 237], dark: [45, 50, 58] };

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".attention_explorer");
  const theme = isDark(root) ? "dark" : "light";
  let view = views.get(root);
  if (view && view.data === data && view.theme === theme) return;

  const message = unpack(data);
  view = view ?? {};
  views.set(root, view);
  if (view.turn !== message.turn) view.choice = parseHead(message.selected);
  Object.assign(view, { data, theme, ...message });
  if (!findKind(view, view.choice)) view.choice = firstChoice(view);
  view.cell = null;
  view.tell = (name) => setStateValue("head", name);
  build(root, view);
}

function unpack(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const buffer = bytes.slice().buffer; // a copy of its own, so that floats are aligned
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  for (const kind of header.kinds) {
    const size = kind.shape.reduce((a, b) => a * b, 1);
    kind.weights = new Float32Array(buffer, offset, size);
    offset += 4 * size;
  }
  return header;
}

const parseHead = (name) => {
  const [kind, layer, head] = (name || "").split(".");
  return { kind, layer: Number(layer), head: Number(head) };
};

const headName = ({ kind, layer, head }) => `${kind}.${layer}.${head}`;

function findKind(view, choice) {
  const kind = view.kinds.find((one) => one.id === choice.kind);
  const within = (number, size) => Number.isInteger(number) && number >= 0 && number < size;
  return kind && within(choice.layer, kind.shape[0]) && within(choice.head, kind.shape[1]) ? kind : null;
}

function firstChoice(view) {
  const kind = view.kinds.at(-1);
  return { kind: kind.id, layer: kind.shape[0] - 1, head: 0 };
}

function mapOf(kind, layer, head) {
  const [, heads, queries, keys] = kind.shape;
  const size = queries * keys;
  return kind.weights.subarray((layer * heads + head) * size, (layer * heads + head + 1) * size);
}

function isDark(element) {
  const text = getComputedStyle(element).color.match(/\d+/g).map(Number);
  return text[0] + text[1] + text[2] > 384; // light text: a dark page
}

function colour(theme, weight) {
  const scale = SCALES[theme];
  const place = Math.min(Math.max(weight, 0), 1) * (scale.length - 1);
  const low = Math.min(Math.floor(place), scale.length - 2);
  return scale[low].map((part, i) => part + (scale[low + 1][i] - part) * (place - low));
}

// One pixel a cell; CSS enlarges it without smoothing.
function paint(canvas, view, kind, layer, head) {
  const [, , queries, keys] = kind.shape;
  canvas.width = keys;
  canvas.height = queries;
  const context = canvas.getContext("2d");
  const image = context.createImageData(keys, queries);
  const map = mapOf(kind, layer, head);
  for (let cell = 0; cell < map.length; cell++) {
    const masked = kind.causal && cell % keys > Math.floor(cell / keys);
    const parts = masked ? MASKED[view.theme] : colour(view.theme, map[cell]);
    image.data.set([...parts, 255], 4 * cell);
  }
  context.putImageData(image, 0, 0);
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text; // never HTML: tokens may look like markup
  return made;
}

function build(root, view) {
  root.replaceChildren();
  root.classList.toggle("compact", view.compact);
  if (!view.compact) root.append(buildGrid(root, view));
  view.large = element("div", { class: "large" });
  root.append(view.large);
  view.room = view.large.clientWidth;
  drawLarge(view);
}

function buildGrid(root, view) {
  const grid = element("div", { class: "grid" });
  for (const kind of view.kinds) {
    const section = element("section", { "aria-label": kind.title });
    section.append(element("h3", {}, kind.title));
    for (let layer = 0; layer < kind.shape[0]; layer++) {
      const row = element("div", { class: "layer" });
      row.style.setProperty("--heads", kind.shape[1]);
      row.append(element("span", { class: "name" }, `Layer ${layer + 1}`));
      for (let head = 0; head < kind.shape[1]; head++) {
        row.append(buildThumbnail(root, view, kind, layer, head));
      }
      section.append(row);
    }
    grid.append(section);
  }
  return grid;
}

function buildThumbnail(root, view, kind, layer, head) {
  const choice = { kind: kind.id, layer, head };
  const button = element("button", {
    type: "button",
    "data-head": headName(choice),
    "aria-pressed": String(headName(choice) === headName(view.choice)),
    "aria-label": `${kind.title}, layer ${layer + 1}, head ${head + 1}`,
    title: `Layer ${layer + 1}, head ${head + 1}`,
  });
  const canvas = element("canvas");
  paint(canvas, view, kind, layer, head);
  button.append(canvas, element("span", {}, `Head ${head + 1}`));
  button.onclick = () => {
    view.choice = choice;
    view.cell = null;
    for (const other of root.querySelectorAll("button[data-head]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    drawLarge(view);
    view.tell(headName(choice));
  };
  return button;
}

function drawLarge(view) {
  const { choice } = view;
  const kind = findKind(view, choice);
  const [, , queries, keys] = kind.shape;
  const title = `${kind.title}, layer ${choice.layer + 1}, head ${choice.head + 1}`;
  const side = cellSide(view, kind);

  const canvas = element("canvas", { class: "map" });
  paint(canvas, view, kind, choice.layer, choice.head);
  canvas.style.width = `${side * keys}px`;
  canvas.style.height = `${side * queries}px`;
  const marker = element("div", { class: "marker" });
  marker.style.width = marker.style.height = `${side}px`;
  const stage = element("div", {
    class: "stage",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "attention map",
    "aria-label": `${title}: ${queries} rows by ${keys} columns. Arrow keys move from cell to cell.`,
  });
  stage.append(canvas, marker);

  const columns = element("div", { class: "columns" });
  const rows = element("div", { class: "rows" });
  const columnLabels = kind.keys.map((token) => element("span", { title: token }, token));
  const rowLabels = kind.queries.map((token) => element("span", { title: token }, token));
  columns.style.gridTemplateColumns = `repeat(${keys}, ${side}px)`;
  rows.style.gridTemplateRows = `repeat(${queries}, ${side}px)`;
  for (const label of columnLabels) label.classList.toggle("upright", label.textContent.length === 1);
  columns.append(...columnLabels);
  rows.append(...rowLabels);

  const readout = element("p", { class: "readout", "aria-live": "polite" });
  const map = mapOf(kind, choice.layer, choice.head);
  const show = (row, column) => {
    view.cell = row === null ? null : [row, column];
    marker.hidden = row === null;
    for (const [i, label] of rowLabels.entries()) label.classList.toggle("lit", i === row);
    for (const [i, label] of columnLabels.entries()) label.classList.toggle("lit", i === column);
    if (row === null) {
      readout.textContent = "Point at a cell, or use the arrow keys, to read its weight.";
      return;
    }
    marker.style.transform = `translate(${column * side}px, ${row * side}px)`;
    const masked = kind.causal && column > row;
    const weight = map[row * keys + column];
    readout.textContent =
      `“${kind.queries[row]}” (row ${row + 1}) looks at “${kind.keys[column]}” ` +
      `(column ${column + 1}): ` + (masked ? "masked, exactly 0" : weight.toFixed(6));
  };
  stage.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * keys);
    const row = Math.floor(((event.clientY - box.top) / box.height) * queries);
    if (row >= 0 && row < queries && column >= 0 && column < keys) show(row, column);
  };
  stage.onpointerleave = () => show(null, null);
  stage.onkeydown = (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const [row, column] = view.cell ?? [-move[0], -move[1]];
    show(
      Math.min(Math.max(row + move[0], 0), queries - 1),
      Math.min(Math.max(column + move[1], 0), keys - 1),
    );
  };

  const frame = element("div", { class: "frame" });
  frame.append(element("div", { class: "corner" }), columns, rows, stage);
  const scroller = element("div", { class: "scroller" });
  scroller.append(frame);
  const key = element("div", { class: "key" });
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  const stops = SCALES[view.theme].map((parts) => `rgb(${parts.join(",")})`);
  bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  key.append("weight 0", bar, "1");
  if (kind.causal) {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = `rgb(${MASKED[view.theme].join(",")})`;
    key.append(swatch, "masked (not written yet)");
  }
  view.large.replaceChildren(
    element("h3", {}, title), axes(kind), scroller, readout, key,
  );
  show(null, null);
}

// As large as the width allows, but no smaller than a finger or an eye can hit.
function cellSide(view, kind) {
  const longest = Math.max(...kind.queries.map((token) => token.length));
  const room = view.room - Math.min(8.2 * longest, 130) - 24;
  return Math.max(12, Math.min(view.compact ? 22 : 34, Math.floor(room / kind.keys.length)));
}

function axes(kind) {
  const asks = { encoder: "input token that asks", decoder: "token being written", cross: "token being written" };
  const looked = { encoder: "input token it looks at", decoder: "token written before", cross: "input token it looks at" };
  return element("p", { class: "axes" }, `Rows: ${asks[kind.id]}. Columns: ${looked[kind.id]}. Each row sums to 1.`);
}
