// Figure 1 as a map, with Next and Back in the order of the data flow. After the last box of a step
// comes the decoder's first box at the next step, because the encoder runs only once.

const FORWARD = ["ArrowRight", "ArrowUp"], BACK = ["ArrowLeft", "ArrowDown"];

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, "anatomy_map", (root) => ({ root, turn: null }));
  themeOf(view.root);
  view.send = (place) => setStateValue("place", place);
  const signature = JSON.stringify([data.svg, data.written]);
  const told = data.turn !== view.turn || signature !== view.signature;
  const changed = told || data.absent !== view.data?.absent;
  Object.assign(view, { data, turn: data.turn });
  if (signature !== view.signature) {
    view.signature = signature;
    build(view);
  }
  if (told) {
    const given = new URLSearchParams(data.told);
    view.index = Math.max(data.order.findIndex(({ id }) => id === given.get("box")), 0);
    view.step = Math.min(Math.max(Number(given.get("step")) || 1, 1), data.written.length) - 1;
  }
  if (changed) show(view);
}

function build(view) {
  const { root, data } = view;
  const focused = root.contains(root.getRootNode().activeElement);
  const parsed = new DOMParser().parseFromString(data.svg, "image/svg+xml");
  const svg = document.importNode(parsed.documentElement, true);
  view.boxes = new Map([...svg.querySelectorAll(".box")].map((box) => [box.dataset.place, box]));
  view.layers = [...svg.querySelectorAll(".layer")];
  view.first = data.order.findIndex(({ stack }) => stack === "target");
  view.index = 0;
  view.step = 0;
  for (const [place, box] of view.boxes) answer(box, () => choose(view, place));
  for (const layer of view.layers) answer(layer, () => toLayer(view, layer.dataset.stack, Number(layer.dataset.layer)));
  svg.addEventListener("keydown", (event) => {
    const by = FORWARD.includes(event.key) ? 1 : BACK.includes(event.key) ? -1 : 0;
    if (event.key === "Home") move(view, 0, view.step);
    else if (event.key === "End") move(view, data.order.length - 1, view.step);
    else if (by) walk(view, by);
    else return;
    event.preventDefault();
    focus(view);
  });
  view.told = element("p", { class: "told", "aria-live": "polite" });
  // The encoder is lower than the decoder, so there is room above it.
  const corner = element("div", { class: "corner" });
  corner.append(buildSteps(view), buildWalk(view));
  root.replaceChildren(corner, svg, view.told);
  if (focused) view.refocus = true;
}

// Make an SVG element a button that reacts to click, Enter and space.
function answer(made, act) {
  made.addEventListener("click", act);
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

function buildSteps(view) {
  const steps = element("div", { class: "steps", role: "group", "aria-label": "Decoding step" });
  steps.append(element("span", {}, "Writes "));
  view.steps = view.data.written.map((token, step) => {
    const button = element("button", { type: "button", "aria-label": `step ${step + 1}, writes ${token}` }, token);
    button.onclick = () => move(view, Math.max(view.index, view.first), step);
    steps.append(button);
    return button;
  });
  return steps;
}

function buildWalk(view) {
  const bar = element("div", { class: "walk" });
  view.back = element("button", { type: "button" }, "◀ Back");
  view.next = element("button", { type: "button" }, "Next ▶");
  view.back.onclick = () => walk(view, -1);
  view.next.onclick = () => walk(view, 1);
  view.count = element("span");
  bar.append(view.back, view.next, view.count);
  return bar;
}

// --- Moving -----------------------------------------------------------------------------------

// The next box (by = 1) or the previous one (by = -1), as [index, step]; null at both ends.
function beside(view, by) {
  const { index, step, data: { order, written }, first } = view;
  if (by > 0 && index === order.length - 1) return step + 1 < written.length ? [first, step + 1] : null;
  if (by < 0 && index === first && step > 0) return [order.length - 1, step - 1];
  const next = index + by;
  return next >= 0 && next < order.length ? [next, step] : null;
}

function walk(view, by) {
  const found = beside(view, by);
  if (found) move(view, ...found);
}

// The map draws one layer for all: choose the box of the layer that its stack shows now.
function choose(view, place) {
  const found = view.data.order.findIndex((box) => box.place === place && (box.layer ?? view.layer[box.stack]) === view.layer[box.stack]);
  move(view, found, view.step);
  focus(view);
}

function toLayer(view, stack, layer) {
  const { order } = view.data, here = order[view.index];
  const place = here.stack === stack && here.layer !== null ? here.place : null;
  move(view, order.findIndex((box) => box.stack === stack && box.layer === layer && (!place || box.place === place)), view.step);
}

function move(view, index, step) {
  if (index === view.index && step === view.step) return;
  Object.assign(view, { index, step });
  show(view);
  view.send(`box=${view.data.order[index].id}&step=${step + 1}`);
}

const focus = (view) => view.boxes.get(view.data.order[view.index].place).focus();

function show(view) {
  const { data: { order, titles, written }, index, step } = view, here = order[index];
  view.layer ??= {};
  for (const stack of ["encoder", "decoder"]) {
    const last = Math.max(...order.filter((box) => box.stack === stack).map((box) => box.layer ?? 0));
    if (here.stack === stack) view.layer[stack] = here.layer ?? last;
    view.layer[stack] = Math.min(view.layer[stack] ?? 0, last);
  }
  const absent = here.id === view.data.absent, said = absent ? ", taken out" : "";
  const passed = new Set(order.slice(0, index).map(({ place }) => place));
  for (const [place, box] of view.boxes) {
    const chosen = place === here.place;
    box.setAttribute("aria-pressed", chosen);
    box.setAttribute("tabindex", chosen ? 0 : -1);
    box.classList.toggle("passed", !chosen && passed.has(place));
    box.classList.toggle("absent", chosen && absent);
  }
  for (const layer of view.layers) {
    layer.setAttribute("aria-pressed", view.layer[layer.dataset.stack] === Number(layer.dataset.layer));
  }
  view.steps.forEach((button, i) => {
    button.setAttribute("aria-pressed", i === step);
    button.classList.toggle("later", i > step);
  });
  view.back.disabled = !beside(view, -1);
  view.next.disabled = !beside(view, 1);
  view.count.textContent = `box ${index + 1} of ${order.length}, step ${step + 1} of ${written.length}${said}`;
  view.told.textContent = `${titles[index]}${said}`;
  if (view.refocus) focus(view);
  view.refocus = false;
}
