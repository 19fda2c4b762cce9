// The time slider: the loss curve is the slider's track, and every map follows its thumb.
// It reads one packed message: [length of header: uint32][header: JSON][bytes]; the bytes are,
// of all moments: probability and right of each target token, then the weights of each kind.

const views = new WeakMap(); // root element -> what the person chose, and what is drawn
const HEIGHT = 196, TOP = 12, RAIL = 140, LEFT = 44, RIGHT = 14;
const SPEEDS = [["slow", 600], ["normal", 220], ["fast", 90]]; // milliseconds a moment
const CALM = 1000; // for those whose system asks for less motion

// Lightness alone carries the value, so the scale reads without colour vision.
const SCALES = {
  light: [[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]],
  dark: [[24, 30, 38], [20, 66, 114], [45, 117, 190], [124, 178, 240], [235, 244, 255]],
};
const MASKED = { light: [232, 234, 237], dark: [45, 50, 58] };

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".attention_timeline");
  const theme = isDark(root) ? "dark" : "light";
  let view = views.get(root);
  if (view && view.data === data && view.theme === theme) return;
  if (!view) {
    view = { root, follow: true, speed: 1, shown: null, head: null, cell: null };
    views.set(root, view);
    new ResizeObserver(() => view.message && fit(view)).observe(root);
  }
  const message = view.data === data ? view.message : unpack(data);
  // Where the person is: at the newest moment, or at a step that later moments do not move.
  const step = view.follow || !view.message ? Infinity : view.message.steps[view.index];
  const signature = JSON.stringify([message.example, message.kinds, message.examples]);
  const rebuild = signature !== view.signature || theme !== view.theme;
  Object.assign(view, { data, theme, message, signature });
  view.index = nearest(message.steps, step);
  view.choose = (number) => setStateValue("example", number);
  root.classList.toggle("dark", theme === "dark");
  if (rebuild) build(view);
  fit(view);
}

function unpack(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const message = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let offset = 4 + length;
  const take = (size) => bytes.subarray(offset, (offset += size));
  const moments = message.steps.length, tokens = message.target.length;
  message.probability = take(moments * tokens);
  message.right = take(moments * tokens);
  for (const kind of message.kinds) {
    kind.size = kind.shape.reduce((a, b) => a * b, 1);
    kind.weights = take(moments * kind.size);
  }
  return message;
}

function isDark(element) {
  const text = getComputedStyle(element).color.match(/\d+/g).map(Number);
  return text[0] + text[1] + text[2] > 384; // light text: a dark page
}

function nearest(steps, step) {
  let best = steps.length - 1;
  for (let i = steps.length - 2; i >= 0; i--) {
    if (Math.abs(steps[i] - step) < Math.abs(steps[best] - step)) best = i;
  }
  return best;
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text; // never HTML: tokens may look like markup
  return made;
}

const whole = (number) => number.toLocaleString("en");
const short = (value) => (value === 0 ? "0" : value < 100 ? Number(value).toPrecision(3) : whole(Math.round(value)));
const weightsOf = (message, kind, layer, head, moment) => {
  const [, heads, queries, keys] = kind.shape;
  const from = moment * kind.size + (layer * heads + head) * queries * keys;
  return kind.weights.subarray(from, from + queries * keys);
};

// --- Building, once for each example -----------------------------------------------------------

function build(view) {
  const { root, message } = view;
  stop(view);
  const focused = root.getRootNode().activeElement?.className;
  root.replaceChildren();
  view.palette = palette(view.theme);
  if (!view.shown) view.shown = heads(message) <= 32 ? "all" : "cross";
  if (!view.head) view.head = { kind: "cross", layer: message.kinds.at(-1).shape[0] - 1, head: 0 };
  view.cell = null;

  const help = element("p", {},
    "Drag along the loss curve, or press Play, and watch every head form. ");
  help.append(element("b", {}, "What to look for. "), message.look_for);
  view.track = buildTrack(view);
  view.legend = element("div", { class: "legend" });
  view.now = element("p", { class: "now" });
  view.answers = element("div", { class: "answers" });
  view.tallest = 0;
  view.grid = element("div", { class: "grid" });
  view.large = element("div", { class: "large" });
  const maps = element("div", { class: "maps" });
  maps.append(view.grid, view.large);
  root.append(help, buildControls(view), view.track, view.legend, view.now, view.answers, maps);
  buildGrid(view);
  buildLarge(view);
  if (focused) root.querySelector(`.${focused.split(" ")[0]}`)?.focus();
}

const heads = (message) => message.kinds.reduce((sum, kind) => sum + kind.shape[0] * kind.shape[1], 0);

function select(name, label, options, value, change) {
  const box = element("select", { class: name });
  for (const [id, text] of options) box.append(element("option", { value: id }, text));
  box.value = value;
  box.onchange = () => change(box.value);
  const labelled = element("label", {}, label);
  labelled.append(box);
  return labelled;
}

function buildControls(view) {
  const { message } = view;
  const controls = element("div", { class: "controls" });
  view.play = element("button", { type: "button", class: "play" }, "▶ Play");
  view.play.onclick = () => (view.timer ? stop(view) : play(view));
  const jump = element("button", { type: "button", class: "jump" }, "Where the loss fell fastest");
  jump.onclick = () => { stop(view); move(view, steepest(message)); };
  controls.append(view.play);
  if (!calm()) {
    controls.append(select("speed", "Speed", SPEEDS.map(([name], i) => [i, name]), view.speed,
      (value) => { view.speed = Number(value); }));
  }
  controls.append(jump);
  controls.append(select("shown", "Heads",
    [["all", "all three kinds"], ...message.kinds.map((kind) => [kind.id, kind.title])], view.shown,
    (value) => { view.shown = value; buildGrid(view); paintAll(view); }));
  if (message.examples.length > 1) {
    controls.append(select("example", "Example", message.examples.map((text, i) => [i, text]),
      message.example, (value) => { stop(view); view.choose(Number(value)); }));
  }
  return controls;
}

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

// --- The track: the loss curve over log(1 + step / early), on which moments are even -----------

function buildTrack(view) {
  const track = element("div", {
    class: "track", role: "slider", tabindex: "0", "aria-label": "Moment of training",
    "aria-orientation": "horizontal",
  });
  const moveTo = (event) => {
    const x = event.clientX - track.getBoundingClientRect().left;
    const distance = (i) => Math.abs(view.x(view.message.steps[i]) - x);
    let best = 0;
    for (let i = 1; i < view.message.steps.length; i++) if (distance(i) < distance(best)) best = i;
    if (best !== view.index) move(view, best);
  };
  track.onpointerdown = (event) => {
    stop(view);
    track.setPointerCapture(event.pointerId);
    moveTo(event);
  };
  track.onpointermove = (event) => { if (track.hasPointerCapture(event.pointerId)) moveTo(event); };
  track.onkeydown = (event) => {
    const last = view.message.steps.length - 1;
    const to = {
      ArrowLeft: view.index - 1, ArrowDown: view.index - 1, ArrowRight: view.index + 1,
      ArrowUp: view.index + 1, PageDown: view.index - 10, PageUp: view.index + 10, Home: 0, End: last,
    }[event.key];
    if (event.key === " ") {
      event.preventDefault();
      view.play.click();
    }
    if (to === undefined) return;
    event.preventDefault();
    stop(view);
    move(view, to);
  };
  return track;
}

// Sizes follow the room there is; what moves with the thumb is drawn by move().
function fit(view) {
  const { message } = view;
  const width = view.track.clientWidth;
  if (!width) return;
  if (width !== view.width) view.tallest = 0;
  view.width = width;
  const end = Math.max(message.planned, message.steps.at(-1), 1);
  const scale = (step) => Math.log1p(step / message.early);
  view.x = (step) => LEFT + (scale(step) / scale(end)) * (width - LEFT - RIGHT);
  const examples = message.steps.map((step, i) => [step, message.losses[i]]).filter(([, loss]) => loss !== null);
  const { train, evaluation } = message.curves;
  const tallest = Math.max(...[...train, ...evaluation, ...examples].map(([, loss]) => loss), 1e-9);
  const y = (loss) => RAIL - 14 - (loss / tallest) * (RAIL - 14 - TOP);
  const parts = [];
  for (const loss of lossTicks(tallest)) {
    parts.push(`<line class="line" x1="${LEFT}" x2="${width - RIGHT}" y1="${y(loss)}" y2="${y(loss)}"/>`);
    parts.push(`<text x="${LEFT - 6}" y="${y(loss) + 4}" text-anchor="end">${loss}</text>`);
  }
  parts.push(`<text transform="translate(10 ${(RAIL - 14 + TOP) / 2}) rotate(-90)" text-anchor="middle">loss, nats</text>`);
  let free = -Infinity;
  for (const step of stepTicks(end)) {
    const text = whole(step), half = 3.5 * text.length;
    if (view.x(step) - half < free || (step < end && view.x(step) + half > width - RIGHT - 3.7 * whole(end).length * 2)) continue;
    free = view.x(step) + half + 10;
    const anchor = step === end && step > 0 ? "end" : "middle";
    parts.push(`<text x="${view.x(step) + (anchor === "end" ? RIGHT : 0)}" y="${RAIL + 24}" text-anchor="${anchor}">${text}</text>`);
  }
  const line = (points, name) => {
    const places = points.map(([step, loss]) => `${view.x(step).toFixed(1)},${y(loss).toFixed(1)}`);
    parts.push(`<polyline class="${name}" points="${places.join(" ")}"/>`);
  };
  line(train, "train");
  line(evaluation, "evaluation");
  for (const [step, loss] of evaluation) parts.push(`<circle class="evaluation" cx="${view.x(step)}" cy="${y(loss)}" r="2.5"/>`);
  line(examples, "example");
  parts.push(`<line class="rail" x1="${LEFT}" x2="${width - RIGHT}" y1="${RAIL}" y2="${RAIL}"/>`);
  parts.push(`<line class="filled" x1="${LEFT}" y1="${RAIL}" y2="${RAIL}"/>`);
  for (const step of message.steps) parts.push(`<circle class="mark" cx="${view.x(step)}" cy="${RAIL}" r="1.5"/>`);
  parts.push(`<polyline class="cell"/>`);
  parts.push(`<line class="cursor" y1="${TOP - 8}" y2="${RAIL}"/><circle class="example at" r="5"/>`);
  parts.push(`<circle class="thumb" cy="${RAIL}" r="9"/>`);
  parts.push(`<text x="${(LEFT + width - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">step (updates made), early ones drawn wider</text>`);
  view.track.innerHTML = `<svg viewBox="0 0 ${width} ${HEIGHT}" aria-hidden="true">${parts.join("")}</svg>`;
  view.y = y;
  view.share = (weight) => RAIL - 14 - weight * (RAIL - 14 - TOP);
  view.cellLine = view.track.querySelector(".cell");
  view.moving = ["cursor", "thumb", "filled", "at"].map((name) => view.track.querySelector(`.${name}`));
  view.track.setAttribute("aria-valuemin", 0);
  view.track.setAttribute("aria-valuemax", message.steps.length - 1);
  const legend = [
    ["train", "training batches", train], ["evaluation", message.evaluated_on, evaluation],
    ["example", "this example alone", examples],
  ].filter(([, , points]) => points.length);
  legend.push(["cell", "weight of the chosen cell, from 0 at the bottom to 1 at the top"]);
  view.legend.replaceChildren(...legend.map(([name, text]) => {
    const entry = element("span", { class: `of-${name}` });
    entry.innerHTML = `<svg viewBox="0 0 26 8"><polyline class="${name}" points="0,4 26,4"/></svg>`;
    entry.append(text);
    return entry;
  }));
  sizeLarge(view);
  draw(view);
}

function lossTicks(tallest) {
  const power = 10 ** Math.floor(Math.log10(tallest / 3));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => tallest / n <= 4);
  const ticks = [];
  for (let i = 0; i * step <= tallest; i++) ticks.push(Number((i * step).toPrecision(3)));
  return ticks;
}

function stepTicks(end) {
  const ticks = [0];
  for (let power = 1; power < end; power *= 10) ticks.push(power, 3 * power);
  return [...ticks.filter((step) => step >= 3 && step < end || step === 0), end];
}

// --- Moving -----------------------------------------------------------------------------------

function move(view, index) {
  const last = view.message.steps.length - 1;
  view.index = Math.min(Math.max(index, 0), last);
  view.follow = view.index === last;
  draw(view);
}

function draw(view) {
  const { message, index } = view;
  const step = message.steps[index], loss = message.losses[index];
  const [cursor, thumb, filled, at] = view.moving;
  const x = view.x(step);
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
  thumb.setAttribute("cx", x);
  filled.setAttribute("x2", x);
  at.setAttribute("cx", x);
  at.setAttribute("cy", view.y(loss ?? 0));
  at.setAttribute("visibility", loss === null ? "hidden" : "visible");
  tellMoment(view, step, loss);
  paintAll(view);
  // The chart of the same run marks the step too, wherever it stands on the page.
  window.dispatchEvent(new CustomEvent("workbench-moment", { detail: { run: message.run, step } }));
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

function tellMoment(view, step, loss) {
  const { message, index } = view;
  const tokens = message.target.length, from = index * tokens;
  const right = message.right.subarray(from, from + tokens);
  const count = right.reduce((sum, one) => sum + one, 0);
  const general = lossAt(message, step);
  const parts = [`Step ${whole(step)} of ${whole(message.planned)}`];
  if (step === 0) parts[0] += ", untrained";
  if (general) parts.push(`loss ${short(general[1])} ${general[0]}`);
  if (loss !== null) parts.push(`loss of this example ${short(loss)}`);
  const sentence = `${parts.join(" · ")} · moment ${index + 1} of ${message.steps.length}`;
  view.now.textContent = sentence;
  view.track.setAttribute("aria-valuenow", index);
  view.track.setAttribute("aria-valuetext",
    `${parts.join(", ")}, ${count} of ${tokens} tokens right`);

  const predicted = message.target.map((token, i) => {
    const share = message.probability[from + i] / 255;
    const chip = element("span", {
      class: right[i] ? "chip" : "chip wrong", title: `probability ${share.toFixed(2)}`,
    }, token);
    chip.style.setProperty("--p", `${100 * share}%`);
    return chip;
  });
  const verdict = count === tokens ? `✓ all ${tokens} right` : `✗ ${count} of ${tokens} right`;
  view.answers.replaceChildren(
    ...answer("Target; right where the model, given the true tokens before, would write it", predicted, verdict), ...writtenAt(message, step));
  // Answers of other lengths must not move the maps below.
  view.tallest = Math.max(view.tallest ?? 0, view.answers.offsetHeight);
  view.answers.style.minHeight = `${view.tallest}px`;
}

function answer(title, chips, verdict) {
  const row = element("span", { class: "chips" });
  row.append(...chips, element("span", { class: "verdict" }, verdict));
  return [element("span", {}, title), row];
}

// What the model wrote by itself, at the last evaluation up to this moment. An untrained model
// often repeats one token to the end; repeats beyond two that are not wanted are counted.
function writtenAt({ written, target }, step) {
  const found = written.filter(([at]) => at <= step).at(-1);
  if (!found) return [];
  const [at, tokens, right] = found;
  const isRight = (i) => i < target.length - 1 && tokens[i] === target[i];
  const chips = [];
  for (let i = 0, end; i < tokens.length; i = end) {
    end = i + 1;
    while (end < tokens.length && tokens[end] === tokens[i] && !isRight(end)) end++;
    const shown = end - i > 2 ? 1 : end - i;
    for (let j = i; j < i + shown; j++) {
      chips.push(element("span", { class: isRight(j) ? "chip" : "chip wrong" }, tokens[j]));
    }
    if (end - i > 2) chips.push(`× ${end - i}`);
  }
  if (!tokens.length) chips.push("(nothing)");
  return answer(`Written by itself at step ${whole(at)}`, chips, right ? "✓ right" : "✗ wrong");
}

// The held-out loss if one was measured at this very step, else the training loss around it.
function lossAt({ curves, evaluated_on: where }, step) {
  const measured = curves.evaluation.find(([at]) => at === step);
  if (measured) return [`on ${where}`, measured[1]];
  const training = between(curves.train, step);
  return training === null ? null : ["on training batches", training];
}

// A curve's value at a step, on the straight line between its two points; the last value after
// the last point, null before the first.
function between(points, step) {
  const after = points.findIndex(([at]) => at >= step);
  if (after < 0) return points.at(-1)?.[1] ?? null;
  if (points[after][0] === step) return points[after][1];
  if (after === 0) return null;
  const [[s0, l0], [s1, l1]] = [points[after - 1], points[after]];
  return l0 + ((l1 - l0) * (step - s0)) / (s1 - s0);
}

// Around which moment the loss fell most, once it is below what guessing by frequency gives:
// learning the frequencies is the first fall, often the steepest, and needs no attention.
function steepest({ steps, losses, curves, baselines }) {
  const known = steps.map((step, i) => between(curves.train, step) ?? losses[i]);
  const guess = Math.min(...[baselines.unigram, baselines.uniform].filter((loss) => loss > 0), Infinity);
  const last = steps.length - 1;
  for (const cap of [guess, Infinity]) {
    const capped = known.map((loss) => Math.min(loss ?? cap, cap));
    let best = 0, most = 0.01;
    for (let i = 1; i <= last; i++) {
      const fall = capped[i - 1] - capped[Math.min(i + 1, last)];
      if (fall > most) [best, most] = [i, fall];
    }
    if (best) return best;
  }
  return last;
}

// --- Playing ----------------------------------------------------------------------------------

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function play(view) {
  if (view.index === view.message.steps.length - 1) move(view, 0);
  view.play.textContent = "❚❚ Pause";
  const next = () => {
    if (!view.root.isConnected) return stop(view);
    move(view, view.index + 1);
    if (view.index === view.message.steps.length - 1) return stop(view);
    view.timer = setTimeout(next, wait());
  };
  const wait = () => (calm() ? CALM : SPEEDS[view.speed][1]);
  view.timer = setTimeout(next, wait());
}

function stop(view) {
  clearTimeout(view.timer);
  view.timer = null;
  if (view.play) view.play.textContent = "▶ Play";
}
