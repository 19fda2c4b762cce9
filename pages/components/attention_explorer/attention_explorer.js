// The explorer: the grid of all heads, the chosen one large, and the lines between tokens.
// The weights are here already, so that nothing below needs the server but to tell it where
// the person is. The other scripts of this folder stand before this one, in one module.

const views = new WeakMap(); // root element -> what is drawn there, and where the person is

const AXES = {
  encoder: ["input token that asks", "input token it looks at"],
  decoder: ["token being written", "token written before"],
  cross: ["token being written", "input token it looks at"],
};

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".attention_explorer");
  const theme = isDark(root) ? "dark" : "light";
  let view = views.get(root);
  if (view && view.data === data && view.theme === theme) return;

  const message = unpack(data);
  const isNew = !view;
  view = view ?? { turn: -1 };
  views.set(root, view);
  // Told where to be: only then, else what the person did since would be undone.
  const told = isNew || view.turn !== message.turn;
  const place = told ? message.place : writePlace(view);
  Object.assign(view, { data, theme, root, ...message });
  view.lengths = view.sides[0].kinds.flatMap((kind) => kind.shape.slice(2));
  readPlace(view, place);
  Object.assign(view, { previewed: null, pointed: null, pointedCell: null });
  view.tell = () => setStateValue("place", writePlace(view));
  build(view);
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text; // never HTML: tokens may look like markup
  return made;
}

function build(view) {
  const { root } = view;
  root.classList.toggle("compact", view.compact);
  root.classList.toggle("long", Math.max(...view.lengths) > 40);
  root.replaceChildren();
  view.large = element("div", { class: "large" });
  if (!view.compact) root.append(buildGrid(view));
  root.append(view.large);
  if (!view.compact) {
    root.append(buildLines(view));
    paintGrid(view);
    markGrid(view);
    buildChips(view);
    measureLines(view);
    view.observer?.disconnect();
    view.observer = new ResizeObserver(() => resized(view));
    view.observer.observe(root);
  }
  view.room = view.large.clientWidth;
  drawLarge(view);
  light(view);
}

function resized(view) {
  if (view.large.clientWidth !== view.room) {
    view.room = view.large.clientWidth;
    drawLarge(view);
  }
  measureLines(view);
  light(view);
}

// --- the chosen head, large -----------------------------------------------------------------

function drawLarge(view) {
  const choice = view.previewed ?? view.choice;
  const kind = kindOf(view.sides[0], choice.kind);
  view.maps = [];
  const label = view.labels[headName(choice)];
  const heading = element("h3", {}, headTitle(view, choice));
  const maps = element("div", { class: "maps" });
  const shows = view.sides.length < 2 ? [""] : view.show ? [view.show] : ["", "b"];
  maps.append(...shows.map((show) => buildMap(view, show)));
  view.readout = element("p", { class: "readout", "aria-live": "polite" });
  const open = view.table?.details.open;
  const parts = [heading];
  if (label) parts.push(element("p", { class: "label" }, label));
  parts.push(axes(kind, view.show === "difference" ? 0 : 1));
  if (view.sides.length > 1) parts.push(buildSideSwitch(view));
  parts.push(maps, view.readout, buildKey(view, kind));
  if (!view.compact) parts.push(buildControls(view), buildTable(view));
  view.large.replaceChildren(...parts);
  if (open) {
    view.table.details.open = true;
    fillTable(view);
  }
}

function axes(kind, sum) {
  const [rows, columns] = AXES[kind.id];
  return element("p", { class: "axes" }, `Rows: ${rows}. Columns: ${columns}. Each row sums to ${sum}.`);
}

function buildSideSwitch(view) {
  const box = element("div", { class: "switch", role: "group", "aria-label": "What is compared" });
  const options = [["", "side by side"], ["b", view.sides[1].label]];
  if (view.comparable) options.push(["difference", "difference"]);
  for (const [show, label] of options) {
    const button = element("button", { type: "button", "aria-pressed": String(view.show === show), "data-show": show }, label);
    button.onclick = () => {
      view.show = show;
      paintGrid(view);
      drawLarge(view);
      light(view);
      view.large.querySelector(`[data-show="${show}"]`).focus();
      view.tell();
    };
    box.append(button);
  }
  return box;
}

function buildKey(view, kind) {
  const key = element("div", { class: "key" });
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  const difference = view.show === "difference";
  bar.style.background = `linear-gradient(to right, ${stops((difference ? DIVERGING : SCALES)[view.theme])})`;
  key.append(difference ? "weight −1" : "weight 0", bar, "1");
  if (kind.causal) {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = `rgb(${MASKED[view.theme].join(",")})`;
    key.append(swatch, "masked (not written yet)");
  }
  return key;
}

function buildControls(view) {
  const box = element("div", { class: "controls" });
  const label = element("label", {}, "Hide links below ");
  const slider = element("input", { type: "range", min: "0", max: "0.5", step: "0.01", value: String(view.hide) });
  const says = element("output");
  const say = () => {
    if (!view.maps.length) return;
    const { links, share } = hiddenWeight(view, view.maps[0]);
    const percent = (100 * share).toFixed(share < 0.1 ? 1 : 0);
    says.textContent = view.hide ? `${view.hide.toFixed(2)}: hides ${links} links with ${percent} % of the weight` : "0: nothing is hidden";
  };
  slider.oninput = () => {
    view.hide = Number(slider.value);
    for (const drawn of view.maps) paintMap(view, drawn.canvas, drawn.kind, drawn.map, drawn.show === "difference");
    say();
    drawLines(view);
  };
  slider.onchange = () => view.tell();
  label.append(slider);
  const png = element("button", { type: "button" }, "PNG");
  const svg = element("button", { type: "button" }, "SVG");
  png.onclick = () => savePng(view);
  svg.onclick = () => saveSvg(view);
  const save = element("span", { class: "save" }, "Save this map: ");
  save.append(png, svg);
  box.append(label, says, save);
  say();
  return box;
}

// --- what a person does ---------------------------------------------------------------------

function preview(view, choice) {
  const before = view.previewed && headName(view.previewed);
  if ((choice && headName(choice)) === before) return;
  view.previewed = choice && headName(choice) !== headName(view.choice) ? choice : null;
  if ((view.previewed && headName(view.previewed)) === before) return;
  drawLarge(view);
  light(view);
}

function chooseHead(view, choice) {
  view.added = view.isolated ? view.added : view.added.filter((one) => one.kind !== choice.kind && one.kind !== view.choice.kind);
  if (choice.kind !== view.choice.kind && !view.isolated) view.added.unshift(view.choice);
  if (choice.kind !== view.choice.kind) view.cell = null;
  view.choice = choice;
  headsChanged(view);
}

function addHead(view, choice) {
  const name = headName(choice);
  if (name === headName(view.choice)) return;
  const without = view.added.filter((one) => headName(one) !== name);
  view.added = without.length < view.added.length ? without : [...without, choice].slice(-7);
  headsChanged(view);
}

// Alone; a second time, as before.
function isolate(view, choice) {
  view.isolated = !view.isolated;
  if (view.isolated) view.choice = choice;
  headsChanged(view);
}

function headsChanged(view) {
  view.previewed = null;
  view.off.clear();
  markGrid(view);
  buildChips(view);
  drawLarge(view);
  light(view);
  view.tell();
}

function point(view, tokens, cell) {
  view.pointed = tokens && new Set(tokens);
  view.pointedCell = cell;
  light(view);
}

function pick(view, id, several) {
  if (id === null) view.picked = new Set();
  else if (several) view.picked.has(id) ? view.picked.delete(id) : view.picked.add(id);
  else view.picked = view.picked.size === 1 && view.picked.has(id) ? new Set() : new Set([id]);
  light(view);
  view.tell();
}

function keepCell(view, cell) {
  const same = cell && view.cell && cell.join() === view.cell.join();
  view.cell = same ? null : cell;
  light(view);
  view.tell();
}

// Show what is lit, everywhere at once.
function light(view) {
  for (const drawn of view.maps) lightMap(view, drawn);
  view.readout.textContent = view.maps
    .map((drawn) => (view.maps.length > 1 ? `${sideTitle(view, drawn.show)}: ` : "") + readOut(view, drawn))
    .join("\n");
  if (view.compact) return;
  lightGrid(view);
  lightLines(view);
}
