// Charts of curves, for one run or many: axes with round ticks, and charts with a common zoom and
// cursor, which the pointer changes.
//
// A view is the state shared by the charts of a component: zoom ([low, high] of the x axis, or
// null), cursor (a value on the x axis, or null), whole() (the range without a zoom), redraw() and,
// if only the cursor has moved, moved(); optionally picked(x), called by a click.

const FRAME = { height: 180, left: 58, right: 16, top: 16, bottom: 38 }; // pixels around a chart

// --- numbers as text ---

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const whole = (number) => Math.round(number).toLocaleString("en");
const count = (value) => (Math.abs(value) >= 10000 ? COMPACT.format(value) : String(Number(value.toPrecision(4))));
const threeDigits = (value) => (value === 0 ? "0" : value < 100 ? Number(value).toPrecision(3) : whole(value));

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10000) return COMPACT.format(value);
  return size >= 0.001 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

// --- axes ---

// Ticks at round values, about `wanted` of them.
function roundTicks(low, high, wanted) {
  const rough = (high - low) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.99);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-6; i++) ticks.push(i * step);
  return ticks;
}

function logTicks(low, high) {
  const ticks = [], few = high / low < 100, first = Math.floor(Math.log10(low)), last = Math.log10(high);
  const every = Math.max(1, Math.ceil((last - first) / 6)); // an exploding loss spans many powers
  for (let power = first; power <= last; power += every) {
    for (const n of few ? [1, 2, 5] : [1]) {
      const value = n * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  }
  return ticks;
}

// Maps the values [low, high] to the pixels [from, to], and back.
function axis([low, high], [from, to], { log = false, wanted = 4, label = short } = {}) {
  const f = log ? Math.log : (value) => value, g = log ? Math.exp : (value) => value;
  const span = f(high) - f(low) || 1;
  const place = (value) => from + ((f(value) - f(low)) / span) * (to - from);
  return {
    low, high, from, to, label, place,
    value: (pixel) => g(f(low) + Math.min(Math.max((pixel - from) / (to - from), 0), 1) * span),
    holds: (value) => place(value) >= Math.min(from, to) - 1 && place(value) <= Math.max(from, to) + 1,
    ticks: log ? logTicks(low, high) : roundTicks(low, high, wanted),
  };
}

const rangeOf = (view) => view.zoom ?? view.whole();

const xAxis = (view, width, log = false) =>
  axis(rangeOf(view), [FRAME.left, width - FRAME.right], { log, wanted: Math.min(6, width / 90), label: count });

const UP = [FRAME.height - FRAME.bottom, FRAME.top];

const shareAxis = () => axis([0, 1], UP, { wanted: 5, label: (share) => `${Math.round(100 * share)} %` });

// From 0; or logarithmic from the lowest value above 0, with lower values drawn at its bottom.
function lossAxis(values, log = false) {
  const high = Math.max(...values, 1e-9);
  if (!log) return axis([0, high * 1.06], UP);
  const low = Math.max(Math.min(...values.filter((value) => value > 0), high / 2), 1e-9) / 1.1;
  const made = axis([low, high * 1.1], UP, { log });
  return { ...made, place: (value) => made.place(Math.max(value, low)) };
}

// The grid, the labels of its ticks, and the axes' titles.
function drawAxes(x, y, xTitle, yTitle) {
  const bottom = Math.max(y.from, y.to), text = (at, words, attributes = {}) =>
    svgElement("text", { x: at[0], y: at[1], "text-anchor": "middle", ...attributes }, words);
  const middle = (y.from + y.to) / 2;
  return [
    ...y.ticks.flatMap((tick) => [
      svgElement("line", { class: "grid", x1: x.from, x2: x.to, y1: y.place(tick), y2: y.place(tick) }),
      text([x.from - 6, y.place(tick) + 4], y.label(tick), { "text-anchor": "end" }),
    ]),
    ...x.ticks.map((tick) => text([Math.min(x.place(tick), x.to), bottom + 16], x.label(tick))),
    text([(x.from + x.to) / 2, bottom + 34], xTitle),
    text([12, middle], yTitle, { transform: `rotate(-90 12 ${middle})` }),
  ];
}

// --- curves: lists of points [x, y, ...], x rising ---

// The points inside an axis, and one more on each side so that lines reach the edge.
function visible(points, x) {
  const first = points.findIndex(([at]) => at >= x.low), last = points.findLastIndex(([at]) => at <= x.high);
  return first < 0 || last < 0 ? [] : points.slice(Math.max(0, first - 1), last + 2);
}

// The point nearest to an x; the last point if x is null.
function nearest(points, at) {
  if (at === null) return points.at(-1) ?? null;
  let best = null;
  for (const point of points) if (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at)) best = point;
  return best;
}

// A curve's y at an x, on the straight line between its two points; the last y after the last
// point, null before the first.
function interpolated(points, x) {
  const after = points.findIndex(([at]) => at >= x);
  if (after < 0) return points.at(-1)?.[1] ?? null;
  const [x1, y1] = points[after];
  if (x1 === x) return y1;
  if (after === 0) return null;
  const [x0, y0] = points[after - 1];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

// --- charts ---

// A figure with an empty chart, whose <div class="plot NAME"> follows the pointer.
function buildChart(view, name, title = "") {
  const figure = element("figure"), caption = element("figcaption", {}, title);
  const plot = element("div", { class: `plot ${name}` });
  // Keep the element under the pointer while the chart is redrawn, or no pointerleave comes.
  const svg = svgElement("svg", { "aria-hidden": "true", height: FRAME.height, "pointer-events": "none" });
  plot.append(svg);
  figure.append(caption, plot);
  const chart = { name, figure, caption, plot, svg };
  followPointer(view, chart);
  return chart;
}

const widthOf = (chart) => Math.max(chart.plot.clientWidth, 240);

// Draw lines, each { points, style: its class, dash, dots: whether its points are drawn }.
function drawChart(chart, x, y, xTitle, yTitle, lines) {
  const clip = `inside-${chart.name}`, path = svgElement("clipPath", { id: clip });
  path.append(svgElement("rect", { x: x.from - 4, y: FRAME.top - 4, width: x.to - x.from + 8, height: UP[0] - UP[1] + 8 }));
  chart.chosen = svgElement("rect", { class: "chosen", y: FRAME.top, height: UP[0] - UP[1], width: 0 });
  chart.marks = svgElement("g");
  chart.svg.setAttribute("viewBox", `0 0 ${x.to + FRAME.right} ${FRAME.height}`);
  chart.svg.replaceChildren(
    path, ...drawAxes(x, y, xTitle, yTitle),
    ...lines.flatMap(({ points, style, dash = "", dots = false }) => {
      const places = points.map(([a, b]) => [x.place(a).toFixed(1), y.place(b).toFixed(1)]);
      const line = svgElement("polyline", { class: style, "clip-path": `url(#${clip})`, points: places.join(" ") });
      if (dash) line.setAttribute("stroke-dasharray", dash);
      const dotted = dots ? places.filter((_, i) => x.holds(points[i][0])) : [];
      return [line, ...dotted.map(([cx, cy]) => svgElement("circle", { class: style, cx, cy, r: 3 }))];
    }),
    chart.chosen, chart.marks,
  );
  Object.assign(chart, { x, y, lines });
}

// The points of a horizontal line.
const flat = (x, value) => [[x.low, value], [x.high, value]];

// Label values at the right end of a chart: [value, text]. A text stands at the height nearest to
// its value at which it covers no curve and no other text; a line connects the two.
function labelLevels(chart, levels) {
  const { x, y } = chart, end = x.to - 18;
  const width = 6 * Math.max(0, ...levels.map(([, text]) => text.length));
  const taken = chart.lines.flatMap((line) => heights(chart, line.points, end - width, end));
  const falling = [...levels].sort((a, b) => b[0] - a[0]), places = falling.map(([value]) => {
    const at = freePlace(y.place(value), taken);
    taken.push([at - 6, at + 6]);
    return at;
  }).sort((a, b) => a - b);
  const drawn = falling.flatMap(([value, text], n) => {
    const at = y.place(value), beside = places[n];
    return [
      svgElement("polyline", { class: "level", points: `${x.to},${at} ${x.to - 8},${at} ${end + 2},${beside}` }),
      svgElement("text", { class: "level", x: end, y: beside + 4, "text-anchor": "end" }, text),
    ];
  });
  chart.svg.insertBefore(svgElement("g"), chart.chosen).append(...drawn);
}

// The heights that a line covers between two x in pixels, as a list of [upper, lower] edges.
function heights({ x, y }, points, from, to) {
  const there = points.map(([a, b]) => [x.place(a), y.place(b)]);
  const inside = there.filter(([at]) => at > from && at < to).map(([, height]) => height);
  const ends = [from, to].map((at) => interpolated(there, at));
  const all = [...inside, ...(there.length && there.at(-1)[0] >= from ? ends : [])].filter((height) => height !== null);
  return all.length ? [[Math.min(...all) - 2, Math.max(...all) + 2]] : [];
}

// The free height for a line of text that is nearest to `wanted`; `wanted` itself if none is free.
function freePlace(wanted, taken) {
  const free = (at) => at >= UP[1] && at <= UP[0] - 6 && taken.every(([upper, lower]) => at + 6 <= upper || at - 6 >= lower);
  for (let by = 0; by < UP[0]; by++) for (const at of [wanted - by, wanted + by]) if (free(at)) return at;
  return wanted;
}

// Draw the marks inside the axis, each { style, at: its x or null, dots: [style, point] }: a
// vertical line, and dots on the curves.
function drawMarks(chart, marks) {
  const { x, y } = chart, inside = (at) => at !== null && x.holds(at);
  chart.marks.replaceChildren(...marks.filter(({ at }) => inside(at)).flatMap(({ style, at, dots = [] }) => [
    svgElement("line", { class: style, x1: x.place(at), x2: x.place(at), y1: FRAME.top - 4, y2: UP[0] }),
    ...dots.filter(([, point]) => point && inside(point[0])).map(([dot, [a, b]]) =>
      svgElement("circle", { class: dot, cx: x.place(a), cy: y.place(b), r: 4 })),
  ]));
}

// A sample of a curve's line, for a legend.
function swatch(style, dash = "") {
  const svg = svgElement("svg", { viewBox: "0 0 28 8", "aria-hidden": "true" });
  const line = svg.appendChild(svgElement("polyline", { class: style, points: "0,4 28,4" }));
  if (dash) line.setAttribute("stroke-dasharray", dash);
  return svg;
}

function legendEntry(style, name, dash = "") {
  const entry = element("span");
  entry.append(swatch(style, dash), name);
  return entry;
}

// --- pointer and zoom ---

function zoomTo(view, low, high) {
  const [first, last] = view.whole();
  if (high - low > Math.abs(high) / 2000) { // else both ends would have the same label
    view.zoom = low <= first && high >= last ? null : [Math.max(low, first), Math.min(high, last)];
  }
  view.redraw();
}

function seeAll(view) {
  view.zoom = null;
  view.redraw();
}

function followPointer(view, chart) {
  const { plot } = chart;
  let from = null;
  const at = (event) => chart.x.value(event.clientX - plot.getBoundingClientRect().left);
  plot.onpointerdown = (event) => { from = at(event); plot.setPointerCapture(event.pointerId); };
  plot.onpointermove = (event) => {
    view.cursor = at(event);
    if (from !== null) {
      const [left, right] = [from, view.cursor].map(chart.x.place).sort((a, b) => a - b);
      chart.chosen.setAttribute("x", left);
      chart.chosen.setAttribute("width", right - left);
    }
    view.moved();
  };
  plot.onpointerleave = () => {
    if (from !== null) return;
    view.cursor = null;
    view.moved();
  };
  plot.onpointercancel = () => { from = null; view.redraw(); };
  plot.onpointerup = (event) => {
    const start = from, to = at(event);
    from = null;
    if (start !== null && Math.abs(chart.x.place(to) - chart.x.place(start)) > 12) zoomTo(view, Math.min(start, to), Math.max(start, to));
    else {
      view.redraw();
      if (start !== null) view.picked?.(to);
    }
  };
  plot.ondblclick = () => seeAll(view);
}

// Redraw when the width of an element changes.
function watchWidth(root, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) draw();
    width = root.clientWidth;
  }).observe(root);
}
