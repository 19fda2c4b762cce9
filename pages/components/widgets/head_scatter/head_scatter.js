// A scatter plot of heads. It has one tab stop: arrow keys go from point to point, Enter chooses.

const BOX = { left: 48, right: 12, top: 10, bottom: 160 }; // pixels
const SIZE = 6;
const KINDS = ["encoder", "decoder", "cross"];
const SHAPES = { // kinds differ in shape, not only in colour
  encoder: (x, y) => svgElement("circle", { cx: x, cy: y, r: SIZE }),
  decoder: (x, y) => svgElement("rect", { x: x - SIZE, y: y - SIZE, width: 2 * SIZE, height: 2 * SIZE }),
  cross: (x, y) => svgElement("path", { d: `M${x} ${y - SIZE - 2}l${SIZE + 2} ${SIZE + 2}l${-SIZE - 2} ${SIZE + 2}l${-SIZE - 2} ${-SIZE - 2}z` }),
};

export default function ({ parentElement, data, setTriggerValue }) {
  const view = viewOf(parentElement, "head_scatter", make);
  view.choose = (head) => setTriggerValue("choose", head);
  view.data = data;
  draw(view);
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
  const top = element("div", { class: "top" });
  top.append(element("h3", {}, "All heads: choose one to see its map"), legend);
  root.append(top, view.plot, view.told);
  view.plot.addEventListener("keydown", (event) => onKey(view, event));
  watchWidth(root, () => view.data && draw(view));
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
  if (!width) return; // hidden, or removed from the page
  themeOf(root);
  const across = spread(data.points.map((point) => point.x), [BOX.left, width - BOX.right], width / 90);
  const up = spread(data.points.map((point) => point.y), [BOX.bottom, BOX.top], 6);
  const upright = across.ticks.map(across.place).map((x) => svgElement("line", { class: "grid", x1: x, x2: x, y1: BOX.top, y2: BOX.bottom }));
  const parts = [...upright, ...drawAxes(across, up, data.x_title, data.y_title)];
  // Sorted by x, the order of the arrow keys.
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
  `${name}: ${point.label}; ${view.data.x_title} ${decimal(point.x, 2)}, ${view.data.y_title} ${decimal(point.y, 2)}`;

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

// An axis with a margin beyond the values at both ends.
function spread(values, pixels, wanted) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const margin = 0.05 * (high - low), label = (value) => short(value).replace("-", "−");
  return axis([low - margin, high + margin], pixels, { wanted: Math.max(2, Math.min(6, wanted)), label });
}
