// A scatter of heads. One tab stop: the arrow keys go from point to point, Enter chooses.

const views = new WeakMap(); // root element -> { data, points, at }

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 320, LEFT = 48, RIGHT = 12, TOP = 10, BOTTOM = 40, SIZE = 6;
const KINDS = ["encoder", "decoder", "cross"];
const SHAPES = { // colour is never the only sign
  encoder: (x, y) => svgElement("circle", { cx: x, cy: y, r: SIZE }),
  decoder: (x, y) => svgElement("rect", { x: x - SIZE, y: y - SIZE, width: 2 * SIZE, height: 2 * SIZE }),
  cross: (x, y) => svgElement("path", { d: `M${x} ${y - SIZE - 2}l${SIZE + 2} ${SIZE + 2}l${-SIZE - 2} ${SIZE + 2}l${-SIZE - 2} ${-SIZE - 2}z` }),
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".head_scatter");
  let view = views.get(root);
  if (!view) {
    view = make(root);
    views.set(root, view);
  }
  view.choose = (head) => setTriggerValue("choose", head);
  view.data = data;
  draw(view);
}

function svgElement(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function make(root) {
  const view = { root, at: 0 };
  const legend = element("p", { class: "legend" });
  for (const kind of KINDS) {
    const entry = element("span"), picture = svgElement("svg", { "aria-hidden": "true" });
    picture.append(mark(kind, 8, 8));
    entry.append(picture, ` ${kind}`);
    legend.append(entry);
  }
  view.plot = svgElement("svg", { role: "group", "aria-label": "Heads by two measures" });
  view.told = element("p", { class: "told", "aria-live": "polite" });
  root.append(element("h3", {}, "All heads of this model on this input"), legend, view.plot, view.told);
  view.plot.addEventListener("keydown", (event) => onKey(view, event));
  new ResizeObserver(() => view.data && draw(view)).observe(root);
  return view;
}

function mark(kind, x, y) {
  const shape = SHAPES[kind](x, y);
  shape.setAttribute("class", kind);
  return shape;
}

function draw(view) {
  const { data, root } = view;
  const width = root.clientWidth;
  if (!width) return; // hidden, or taken off the page
  const text = getComputedStyle(root).color.match(/\d+/g).map(Number);
  root.classList.toggle("dark", text[0] + text[1] + text[2] > 384);
  const across = scale(data.points.map((point) => point.x), LEFT, width - RIGHT, width / 90);
  const up = scale(data.points.map((point) => point.y), HEIGHT - BOTTOM, TOP, 6);
  const parts = [];
  for (const tick of across.ticks) {
    const x = across.place(tick.value);
    parts.push(svgElement("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    parts.push(svgElement("text", { x, y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, tick.label));
  }
  for (const tick of up.ticks) {
    const y = up.place(tick.value);
    parts.push(svgElement("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
    parts.push(svgElement("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, tick.label));
  }
  parts.push(svgElement("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, data.x_title));
  const middle = (HEIGHT - BOTTOM + TOP) / 2;
  parts.push(svgElement("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, data.y_title));
  // In the order of x, as the arrow keys walk them.
  view.points = data.points.toSorted((a, b) => a.x - b.x || a.y - b.y);
  view.at = Math.max(0, view.points.findIndex((point) => point.head === data.chosen));
  view.shapes = view.points.map((point, i) => shape(view, point, across.place(point.x), up.place(point.y), i));
  const chosen = view.shapes[view.at];
  const focused = view.plot.contains(view.root.getRootNode().activeElement);
  view.plot.replaceChildren(...parts, ...view.shapes.filter((one) => one !== chosen), ...(chosen ? [chosen] : []));
  if (focused && chosen) chosen.focus();
  tell(view, view.at);
}

function shape(view, point, x, y, i) {
  const made = mark(point.kind, x, y);
  made.classList.add("point");
  const chosen = point.head === view.data.chosen;
  if (chosen) made.classList.add("chosen");
  for (const [name, value] of Object.entries({
    role: "button", tabindex: i === view.at ? 0 : -1, "data-head": point.head,
    "aria-label": said(view, point, point.short), "aria-pressed": chosen,
  })) made.setAttribute(name, value);
  made.addEventListener("click", () => view.choose(point.head));
  made.addEventListener("pointerenter", () => tell(view, i));
  made.addEventListener("focus", () => tell(view, i));
  return made;
}

const said = (view, point, name) =>
  `${name}: ${point.label}; ${view.data.x_title} ${point.x.toFixed(2)}, ${view.data.y_title} ${point.y.toFixed(2)}`;

function tell(view, i) {
  view.told.textContent = view.points.length ? said(view, view.points[i], view.points[i].title) : "";
}

function onKey(view, event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (event.key === "Enter" || event.key === " ") view.choose(view.points[view.at].head);
  else if (step) {
    view.shapes[view.at].setAttribute("tabindex", "-1");
    view.at = Math.min(Math.max(view.at + step, 0), view.points.length - 1);
    view.shapes[view.at].setAttribute("tabindex", "0");
    view.shapes[view.at].focus();
  } else return;
  event.preventDefault();
}

// A linear axis over some values, with about `wanted` round ticks.
function scale(values, from, to, wanted) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const margin = 0.05 * (high - low);
  [low, high] = [low - margin, high + margin];
  const rough = (high - low) / Math.max(2, Math.min(6, wanted));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push({ value: i * step, label: (i * step).toFixed(digits).replace("-", "−") });
  return { ticks, place: (value) => from + ((value - low) / (high - low)) * (to - from) };
}
