// The explorer: a grid of all heads, and the chosen head large, as a map or as lines between
// tokens. All weights are in the message, so that the server is only told the explorer's state. The
// other scripts of this folder come before this one, in one module.

const LONG = 40; // tokens; for longer texts the grids are above the map, and its shades are stretched
const HELP = [
  "Point at a head to see it, click to keep it; Shift adds it to the lines, a double click shows its lines alone.",
  "A row of the map is a token that looks, a column is a token looked at; each row sums to 1. Thicker lines have more weight. A click keeps a cell or picks a token (Shift: several).",
  "Keys: arrows walk over heads, cells and tokens; Enter keeps, Shift + Enter adds, I shows alone, Escape lets go.",
];
const AXES = {
  encoder: ["input token that asks", "input token it looks at"],
  decoder: ["token being written", "token written before"],
  cross: ["token being written", "input token it looks at"],
};

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const view = viewOf(parentElement, "attention_explorer", (root) => ({ root, turn: -1 }));
  const theme = themeOf(view.root);
  if (view.data === data && view.theme === theme) return;

  const message = readMessage(data);
  // Apply the server's state only if it is new, or it would undo what the user did since.
  const told = !view.data || view.turn !== message.turn;
  const place = told ? message.place : writePlace(view);
  Object.assign(view, { data, theme, tag: tagStyle(view.root), ...message });
  const shapes = view.sides.flatMap((side) => side.kinds.map((kind) => kind.shape));
  // A message in answer to the user's own action keeps what is under the pointer.
  if (told || shapes.join() !== view.shapes.join())
    Object.assign(view, { previewed: null, pointed: null, pointedCell: null });
  view.shapes = shapes;
  view.longest = Math.max(...shapes.flatMap(([, , ...lengths]) => lengths));
  readPlace(view, place);
  view.tell = () => {
    helpRead("attention");
    setStateValue("place", writePlace(view));
  };
  // A saved page has no server to ask.
  view.askNumbers = setTriggerValue && (() => {
    view.cell = spokenCell(view);
    setTriggerValue("numbers", writePlace(view));
  });
  build(view);
}

// The page's font and colours, for text on a canvas.
function tagStyle(root) {
  const style = getComputedStyle(root);
  const ground = style.getPropertyValue("--st-background-color");
  return { font: `12px ${style.fontFamily}`, ground, ink: style.color };
}

function build(view) {
  const { root } = view;
  // If the map needs the full width, the grids are above it and the card below.
  root.classList.toggle("wide", view.longest > LONG);
  root.classList.toggle("pair", view.sides.length > 1);
  root.replaceChildren();
  view.linesCanvas = view.lines = null;
  view.large = element("div", { class: "large" });
  view.readout = element("p", { class: "readout", "aria-live": "polite" });
  root.append(buildGrid(view), view.large, buildCard(view), buildFolds(view));
  fitRoom(view);
  buildLarge(view);
  paintGrid(view);
  markGrid(view);
  markOff(view);
  if (view.asLines) needLines(view);
  watch(view);
  view.room = view.large.clientWidth;
  drawLarge(view);
  light(view);
}

// Set the layout for the width available.
function fitRoom(view) {
  const width = view.root.clientWidth;
  view.root.classList.toggle("narrow", width < 620);
  view.root.classList.toggle("middle", width >= 620 && width < 820);
}

// Build the lines when they are first needed.
function needLines(view) {
  if (view.lines) return;
  view.lines = buildLines(view);
  view.parts.lines.append(view.lines);
  buildChips(view);
  markPickedTokens(view);
  measureLines(view);
}

// Redraw the grid's cursors only in pictures that are on screen; in others, when they come there.
function watch(view) {
  for (const observer of view.observers ?? []) observer.disconnect();
  const size = new ResizeObserver(() => resized(view));
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) view.inSight[isIntersecting ? "add" : "delete"](target);
    lightGrid(view);
  });
  const canvases = view.pictures.map((picture) => picture.cursor);
  view.inSight = new Set(canvases);
  view.observers = [size, sight];
  size.observe(view.root);
  for (const canvas of canvases) sight.observe(canvas);
}

function resized(view) {
  fitRoom(view);
  if (view.large.clientWidth !== view.room) {
    view.room = view.large.clientWidth;
    drawLarge(view);
  }
  measureLines(view);
  light(view);
}

// --- the chosen head, large -----------------------------------------------------------------

// Build the parts that stay when another head is shown: a control in use must not be replaced.
function buildLarge(view) {
  const part = (name, attributes) => (view.parts[name] = element("div", { class: name, ...attributes }));
  view.parts = {};
  const parts = [part("about"), part("maps"), part("key")];
  if (view.sides.length > 1) parts.splice(1, 0, buildSideSwitch(view));
  view.large.replaceChildren(...parts);
  const line = element("div", { class: "line" });
  view.title = element("h3");
  view.label = element("p", { class: "label" });
  line.append(view.label);
  view.parts.about.append(view.title, line);
  line.append(...buildSwitches(view));
  view.large.append(part("lines"));
}

function drawLarge(view) {
  const choice = view.previewed ?? view.choice;
  const kind = kindOf(view.sides[0], choice.kind);
  const focused = view.root.getRootNode().activeElement;
  const place = [...view.parts.maps.querySelectorAll("[tabindex]")].indexOf(focused);
  view.maps = [];
  view.title.textContent = headTitle(view, choice);
  const off = view.without.has(headName(choice));
  if (off) view.title.append(element("span", { class: "badge" }, "switched off"));
  view.parts.maps.classList.toggle("off", off);
  // The line is drawn without a label, too, or the map would move as the pointer passes over heads.
  view.label.textContent = view.label.title = view.labels[headName(choice)] ?? "";
  const shows = view.sides.length < 2 ? [""] : view.show ? [view.show] : ["", "b"];
  const maps = shows.map((show) => shownMap(view, show, choice.kind, choice.layer, choice.head));
  view.top = topWeight(view, kind, maps.filter(Boolean)); // the same for both maps, so that they can be compared
  view.parts.maps.replaceChildren(...shows.map((show) => buildMap(view, show)));
  for (const drawn of view.maps) markPicked(view, drawn);
  if (place >= 0) view.parts.maps.querySelectorAll("[tabindex]")[place]?.focus();
  fillKey(view, kind);
  sayFinding(view, choice);
  view.sayHidden();
  fillTable(view);
}

// Buttons for map or lines, and to switch the head off or on.
function buildSwitches(view) {
  const looks = element("div", { class: "switch", role: "group", "aria-label": "How it is drawn" });
  const buttons = [["map", false], ["lines", true]].map(([name, asLines]) => {
    const button = element("button", { type: "button", "data-view": name }, name === "map" ? "Map" : "Lines");
    button.onclick = () => {
      showLines(view, asLines);
      view.tell();
    };
    return button;
  });
  looks.append(...buttons);
  view.power = element("button", { type: "button", class: "power" });
  view.power.onclick = () => {
    const name = headName(view.choice);
    if (!view.without.delete(name)) view.without.add(name);
    markOff(view);
    if (view.lines) buildChips(view);
    drawLarge(view);
    view.tell();
  };
  view.markSwitches = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String((button.dataset.view === "lines") === view.asLines));
    view.root.classList.toggle("as-lines", view.asLines);
    view.power.disabled = !isHead(view.choice);
    view.power.textContent = view.without.has(headName(view.choice)) ? "Switch it on again" : "Switch this head off";
  };
  view.markSwitches();
  return [looks, view.power];
}

function showLines(view, asLines) {
  view.asLines = asLines;
  view.markSwitches();
  if (asLines) {
    needLines(view);
    measureLines(view);
  }
  light(view);
}

// Mark the heads that are switched off in the grid.
function markOff(view) {
  for (const [choice, button] of view.buttons) {
    const off = view.without.has(headName(choice));
    if (button.off === off) continue;
    button.off = off;
    button.classList.toggle("off", off);
    button.setAttribute("aria-label", headTitle(view, choice) + (off ? ", switched off" : ""));
  }
  view.markSwitches();
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

// Parts that are needed rarely, in folds below all others.
function buildFolds(view) {
  const folds = element("div", { class: "folds" });
  const settings = element("details");
  settings.append(element("summary", {}, "Settings and pictures"), buildControls(view));
  settings.open = Boolean(view.settingsOpen);
  settings.ontoggle = () => { view.settingsOpen = settings.open; };
  folds.append(settings, buildTable(view), buildHelp("attention", "How to use and read this", HELP));
  return folds;
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

// For a long input most weights are small, so that many maps would have a single shade.
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

// --- the user's actions ---------------------------------------------------------------------

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
  showLines(view, true); // so that the added head is visible
  headsChanged(view);
}

// Show the lines of one head alone; called again, those of all displayed heads.
function isolate(view, choice) {
  view.isolated = !view.isolated;
  if (view.isolated) view.choice = choice;
  showLines(view, true);
  headsChanged(view);
}

function headsChanged(view) {
  view.previewed = null;
  view.off.clear();
  markGrid(view);
  view.markSwitches();
  if (view.lines) buildChips(view);
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
  if (view.lines) markPickedTokens(view);
  light(view);
  view.tell();
}

function keepCell(view, cell) {
  const same = cell && view.cell && cell.join() === view.cell.join();
  view.cell = same ? null : cell;
  light(view);
  view.tell();
}

// Draw the highlights everywhere.
function light(view) {
  for (const drawn of view.maps) paintCursor(view, drawn);
  // Text causes a new layout of the page, so it is set after the frame that draws the cursor.
  view.saying ??= setTimeout(() => sayPointed(view));
  lightGrid(view);
  drawLines(view);
}

function sayPointed(view) {
  view.saying = null;
  const says = view.maps
    .map((drawn) => (view.maps.length > 1 ? `${sideTitle(view, drawn.show)}: ` : "") + readOut(view, drawn))
    .join("\n");
  if (view.readout.textContent !== says) view.readout.textContent = says; // else screen readers would repeat it
  saySum(view);
}
