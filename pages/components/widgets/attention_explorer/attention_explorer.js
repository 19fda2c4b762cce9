// The explorer: the grid of all heads, the chosen one large, and the lines between tokens.
// The weights are here already, so that nothing below needs the server but to tell it where
// the person is. The other scripts of this folder stand before this one, in one module.

const LONG = 40; // tokens; of more, the grids stand above the map, and its shades are stretched
const AXES = {
  encoder: ["input token that asks", "input token it looks at"],
  decoder: ["token being written", "token written before"],
  cross: ["token being written", "input token it looks at"],
};

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, "attention_explorer", (root) => ({ root, turn: -1 }));
  const theme = themeOf(view.root);
  if (view.data === data && view.theme === theme) return;

  const message = readMessage(data);
  // Told where to be: only then, else what the person did since would be undone.
  const told = !view.data || view.turn !== message.turn;
  const place = told ? message.place : writePlace(view);
  Object.assign(view, { data, theme, tag: tagStyle(view.root), ...message });
  const shapes = view.sides.flatMap((side) => side.kinds.map((kind) => kind.shape));
  // An answer to what the person did finds the pointer where it was.
  if (told || shapes.join() !== view.shapes.join())
    Object.assign(view, { previewed: null, pointed: null, pointedCell: null });
  view.shapes = shapes;
  view.longest = Math.max(...shapes.flatMap(([, , ...lengths]) => lengths));
  readPlace(view, place);
  view.tell = () => setStateValue("place", writePlace(view));
  build(view);
}

// How the page writes, for what is written on a canvas.
function tagStyle(root) {
  const style = getComputedStyle(root);
  const ground = style.getPropertyValue("--st-background-color");
  return { font: `12px ${style.fontFamily}`, ground, ink: style.color };
}

function build(view) {
  const { root } = view;
  root.classList.toggle("compact", view.compact);
  // The grids above the head, not beside it, where that needs the width.
  root.classList.toggle("wide", view.longest > LONG || view.sides.length > 1);
  root.replaceChildren();
  view.large = element("div", { class: "large" });
  if (!view.compact) root.append(buildGrid(view));
  root.append(view.large);
  buildLarge(view);
  if (!view.compact) {
    root.append(buildLines(view));
    paintGrid(view);
    markGrid(view);
    buildChips(view);
    markPickedTokens(view);
    measureLines(view);
    watch(view);
  }
  view.room = view.large.clientWidth;
  drawLarge(view);
  light(view);
}

// A pointer that moves redraws the cursors of the grid and the lines only where they are in sight;
// the rest when it comes into sight.
function watch(view) {
  for (const observer of view.observers ?? []) observer.disconnect();
  const canvases = [view.linesCanvas, ...view.pictures.map((picture) => picture.cursor)];
  const size = new ResizeObserver(() => resized(view));
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) view.inSight[isIntersecting ? "add" : "delete"](target);
    lightGrid(view);
    drawLines(view);
  });
  view.inSight = new Set(canvases);
  view.observers = [size, sight];
  size.observe(view.root);
  for (const canvas of canvases) sight.observe(canvas);
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

// What stays when another head is shown: a control under the fingers must not be replaced.
function buildLarge(view) {
  const part = (name, attributes) => (view.parts[name] = element("div", { class: name, ...attributes }));
  view.parts = {};
  view.readout = element("p", { class: "readout", "aria-live": "polite" });
  const parts = [part("about"), part("maps"), view.readout, part("key")];
  if (view.sides.length > 1) parts.splice(1, 0, buildSideSwitch(view));
  if (!view.compact) parts.push(buildControls(view), buildTable(view));
  view.large.replaceChildren(...parts);
}

function drawLarge(view) {
  const choice = view.previewed ?? view.choice;
  const kind = kindOf(view.sides[0], choice.kind);
  const focused = view.root.getRootNode().activeElement;
  const place = [...view.parts.maps.querySelectorAll("[tabindex]")].indexOf(focused);
  view.maps = [];
  view.parts.about.replaceChildren(
    element("h3", {}, headTitle(view, choice)),
    // Its line is there without one too, or the map would jump as one sweeps over the heads.
    element("p", { class: "label" }, view.labels[headName(choice)] ?? ""),
    axes(kind, view.show === "difference" ? 0 : 1),
  );
  const shows = view.sides.length < 2 ? [""] : view.show ? [view.show] : ["", "b"];
  const maps = shows.map((show) => shownMap(view, show, choice.kind, choice.layer, choice.head));
  view.top = topWeight(view, kind, maps.filter(Boolean)); // the same for both, to be compared
  view.parts.maps.replaceChildren(...shows.map((show) => buildMap(view, show)));
  for (const drawn of view.maps) markPicked(view, drawn);
  if (place >= 0) view.parts.maps.querySelectorAll("[tabindex]")[place]?.focus();
  fillKey(view, kind);
  if (view.compact) return;
  view.sayHidden();
  fillTable(view);
}

function axes(kind, sum) {
  const [rows, columns] = AXES[kind.id];
  return element("p", { class: "axes" }, `Rows: ${rows}. Columns: ${columns}.\nEach row sums to ${sum}.`);
}

function buildSideSwitch(view) {
  const box = element("div", { class: "switch", role: "group", "aria-label": "What is compared" });
  const options = [["", "side by side"], ["b", view.sides[1].label]];
  if (!view.noDifference) options.push(["difference", "difference"]);
  const buttons = options.map(([show, label]) => {
    const button = element("button", { type: "button", "data-show": show }, label);
    button.onclick = () => {
      view.show = show;
      mark();
      paintGrid(view);
      drawLarge(view);
      light(view);
      view.tell();
    };
    return button;
  });
  const mark = () => buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.show === view.show)));
  mark();
  box.append(...buttons);
  if (view.noDifference) box.append(element("span", {}, view.noDifference));
  return box;
}

function fillKey(view, kind) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  const difference = view.show === "difference";
  bar.style.background = gradient((difference ? DIVERGING : SCALES)[view.theme]);
  const top = topText(view);
  const says = view.top < 1 ? `${top}, the largest here` : top;
  view.parts.key.replaceChildren(difference ? `weight −${top}` : "weight 0", bar, says);
  if (!kind.causal) return;
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = `rgb(${MASKED[view.theme].join(",")})`;
  view.parts.key.append(swatch, "masked (not written yet)");
}

function buildControls(view) {
  const box = element("div", { class: "controls" });
  const label = element("label", {}, "Hide links below ");
  const slider = element("input", { type: "range", min: "0", max: "0.5", step: "0.01", value: String(view.hide) });
  const says = element("output");
  view.sayHidden = () => {
    const { links, share } = view.maps.length ? hiddenWeight(view, view.maps[0]) : { links: 0, share: 0 };
    const percent = (100 * share).toFixed(share < 0.1 ? 1 : 0);
    says.textContent = view.hide ? `${view.hide.toFixed(2)}: hides ${links} links with ${percent} % of the weight` : "0: nothing is hidden";
  };
  slider.oninput = () => {
    view.hide = Number(slider.value);
    for (const drawn of view.maps) paintMap(view, drawn.canvas, drawn.kind, drawn.map, drawn.show === "difference");
    view.sayHidden();
    drawLines(view);
  };
  slider.onchange = () => view.tell();
  label.append(slider);
  const save = element("span", { class: "save" }, "Save this map: ");
  for (const [name, action] of [["PNG", savePng], ["SVG", saveSvg]]) {
    const button = element("button", { type: "button" }, name);
    button.onclick = () => action(view);
    save.append(button);
  }
  box.append(label, says, buildStretch(view), save);
  return box;
}

// Of a long input most weights are small: many maps would be a single shade.
function buildStretch(view) {
  const box = element("input", { type: "checkbox" });
  box.checked = isStretched(view);
  box.onchange = () => {
    view.shade = box.checked ? "largest" : "whole";
    paintGrid(view);
    drawLarge(view);
    light(view);
    view.tell();
  };
  const label = element("label");
  label.append(box, "Shade each map up to its largest weight");
  return label;
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
  for (const drawn of view.maps) markPicked(view, drawn);
  if (!view.compact) markPickedTokens(view);
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
  for (const drawn of view.maps) paintCursor(view, drawn);
  // Text has the page laid out and painted anew, so it does not hold up the frame with the cursor.
  view.saying ??= setTimeout(() => sayPointed(view));
  if (view.compact) return;
  lightGrid(view);
  drawLines(view);
}

function sayPointed(view) {
  view.saying = null;
  const says = view.maps
    .map((drawn) => (view.maps.length > 1 ? `${sideTitle(view, drawn.show)}: ` : "") + readOut(view, drawn))
    .join("\n");
  if (view.readout.textContent !== says) view.readout.textContent = says; // else it would be read out again
}
