// Runs on common axes. One cursor runs through all charts; the table has every run's values there.

const views = new WeakMap(); // root element -> what the person chose: zoom and cursor
const HEIGHT = 250, LEFT = 58, RIGHT = 16, TOP = 10, BOTTOM = 38;
const LOSS = 3, EXACT = 4, RATE = 4; // columns of a point, after step, seconds and tokens
const DASHES = ["", "8 4", "2 3", "10 3 2 3", "5 2", "16 4", "9 3 2 3 2 3", "1 4"];
const CHARTS = [
  { of: "evaluation", column: LOSS, title: "Evaluation loss: lower is better", unit: "loss (nats a token)", loss: true },
  { of: "evaluation", column: EXACT, title: "Exact match: higher is better", unit: "right answers", share: true },
  { of: "train", column: LOSS, title: "Training loss: lower is better", unit: "loss (nats a token)", loss: true },
  { of: "train", column: RATE, title: "Learning rate", unit: "learning rate" },
];

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".run_compare");
  let view = views.get(root);
  if (!view) {
    view = { zoom: null, cursor: null };
    views.set(root, view);
    build(root, view);
  }
  const text = JSON.stringify(data);
  if (view.text !== text) {
    if (view.data && view.data.unit !== data.unit) view.zoom = view.cursor = null;
    view.text = text;
    view.data = data;
  }
  root.classList.toggle("dark", isDark(root));
  draw(view);
}

function isDark(element) {
  const text = getComputedStyle(element).color.match(/\d+/g).map(Number);
  return text[0] + text[1] + text[2] > 384; // light text: a dark page
}

function build(root, view) {
  root.innerHTML = `
    <div class="scroll" tabindex="0" role="region" aria-label="Values of the chosen runs">
      <table>
        <caption></caption>
        <thead><tr><th scope="col">Run</th><th scope="col">at</th><th scope="col">Evaluation loss</th>
          <th scope="col">Exact match</th><th scope="col">Training loss</th><th scope="col">Learning rate</th></tr></thead>
        <tbody></tbody>
      </table>
    </div>
    <div class="bar">
      <span class="hint">Point at a chart, or use the arrow keys on it, for the values there. Drag to zoom.</span>
      <button type="button">Whole range</button>
    </div>
    <div class="charts" tabindex="0" role="slider" aria-label="Cursor through the curves"></div>
    <div class="baselines"></div>`;
  const find = (selector) => root.querySelector(selector);
  Object.assign(view, {
    root, caption: find("caption"), body: find("tbody"), whole: find("button"),
    charts: find(".charts"), baselines: find(".baselines"),
  });
  view.whole.onclick = () => { view.zoom = null; draw(view); };
  view.plots = CHARTS.map((chart) => {
    const figure = element("figure");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    figure.append(element("figcaption", {}, chart.title), svg);
    view.charts.append(figure);
    followPointer(svg, view);
    return { chart, svg };
  });
  view.charts.onkeydown = (event) => walk(event, view);
  let width = 0;
  new ResizeObserver(() => {
    if (view.data && view.charts.clientWidth !== width) draw(view);
    width = view.charts.clientWidth;
  }).observe(view.charts);
}

// --- axes ---

/** Points of a run as [x, y]; on a logarithmic axis what is not above 0 has no place. */
function points(run, chart, view) {
  const { column, log_x: logX } = view.data;
  return run[chart.of]
    .map((point) => [point[column], point[chart.column]])
    .filter(([x, y]) => x !== null && y !== null && (!logX || x > 0));
}

function wholeRange(view) {
  let low = Infinity, high = -Infinity;
  for (const run of view.data.runs) for (const chart of CHARTS) for (const [x] of points(run, chart, view)) {
    low = Math.min(low, x);
    high = Math.max(high, x);
  }
  if (low > high) return view.data.log_x ? [1, 10] : [0, 1];
  if (!view.data.log_x) low = Math.min(low, 0);
  return [low, high > low ? high : low + 1];
}

function xAxis(view, width) {
  const [low, high] = view.zoom ?? wholeRange(view);
  const log = view.data.log_x, f = log ? Math.log : (v) => v, g = log ? Math.exp : (v) => v;
  const span = f(high) - f(low);
  return {
    low, high,
    place: (x) => LEFT + ((f(x) - f(low)) / span) * (width - LEFT - RIGHT),
    value: (place) => g(f(low) + Math.min(Math.max((place - LEFT) / (width - LEFT - RIGHT), 0), 1) * span),
    ticks: (log ? logTicks(low, high) : linearTicks(low, high, width / 90)),
  };
}

function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.99);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) ticks.push(v);
  return ticks;
}

function logTicks(low, high) {
  const ticks = [], few = high / low < 100;
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const n of few ? [1, 2, 5] : [1]) {
      const v = n * 10 ** power;
      if (v >= low * 0.999 && v <= high * 1.001) ticks.push(v);
    }
  }
  return ticks;
}

function yAxis(chart, values, logLoss) {
  const place = (low, high, f) => (v) => HEIGHT - BOTTOM - ((f(v) - f(low)) / (f(high) - f(low))) * (HEIGHT - TOP - BOTTOM);
  if (chart.share) {
    return { place: place(0, 1, (v) => v), ticks: [0, 0.25, 0.5, 0.75, 1], label: (v) => `${Math.round(100 * v)} %`, holds: () => true };
  }
  const high = Math.max(...values, 1e-9);
  if (chart.loss && logLoss) {
    const low = Math.max(Math.min(...values.filter((v) => v > 0), high / 2), 1e-9) / 1.1;
    const top = high * 1.1;
    const clamp = (v) => Math.log(Math.max(v, low));
    return { place: place(low, top, clamp), ticks: logTicks(low, top), label: short, holds: (v) => v >= low && v <= top };
  }
  const top = high * 1.06;
  return { place: place(0, top, (v) => v), ticks: linearTicks(0, top, 4), label: short, holds: (v) => v <= top };
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10000) return COMPACT.format(value);
  return size >= 0.001 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const count = (value) => (Math.abs(value) >= 10000 ? COMPACT.format(value) : String(Number(value.toPrecision(4))));

// --- drawing; numbers only go into this markup, names are set as text ---

function draw(view) {
  view.whole.disabled = !view.zoom;
  for (const plot of view.plots) drawChart(plot, view);
  drawBaselines(view);
  drawCursor(view);
}

function drawChart(plot, view) {
  const { chart, svg } = plot;
  const width = Math.max(svg.parentElement.clientWidth, 240);
  const x = xAxis(view, width);
  const lines = view.data.runs.map((run) => visible(points(run, chart, view), x));
  const flat = chart.loss ? view.data.baselines : [];
  const shown = lines.flat().map((point) => point[1]);
  const y = yAxis(chart, view.zoom ? shown : [...shown, ...flat.map((line) => line.loss)], view.data.log_loss);
  const parts = [`<defs><clipPath id="inside-${CHARTS.indexOf(chart)}"><rect x="${LEFT}" y="0" width="${width - LEFT - RIGHT + 4}" height="${HEIGHT - BOTTOM + 4}"/></clipPath></defs>`];
  for (const tick of y.ticks) {
    parts.push(`<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${y.place(tick)}" y2="${y.place(tick)}"/>`);
    parts.push(`<text x="${LEFT - 6}" y="${y.place(tick) + 4}" text-anchor="end">${y.label(tick)}</text>`);
  }
  for (const tick of x.ticks) {
    parts.push(`<text x="${x.place(tick)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${count(tick)}</text>`);
  }
  flat.forEach((line, place) => {
    if (!y.holds(line.loss)) return;
    const at = y.place(line.loss);
    parts.push(`<line class="baseline kind-${kind(view, place)}" x1="${LEFT}" x2="${width - RIGHT}" y1="${at}" y2="${at}"/>`);
  });
  lines.forEach((line, place) => {
    const places = line.map(([a, b]) => `${x.place(a).toFixed(1)},${y.place(b).toFixed(1)}`);
    parts.push(`<polyline class="run run-${place}" clip-path="url(#inside-${CHARTS.indexOf(chart)})" stroke-dasharray="${DASHES[place]}" points="${places.join(" ")}"/>`);
    if (line.length === 1) parts.push(`<circle class="run-${place}" cx="${x.place(line[0][0])}" cy="${y.place(line[0][1])}" r="3"/>`);
  });
  parts.push(`<text transform="translate(12 ${(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" text-anchor="middle">${chart.unit}</text>`);
  parts.push(`<text x="${(LEFT + width - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">${view.data.unit}</text>`);
  parts.push(`<rect class="chosen" y="${TOP}" height="${HEIGHT - TOP - BOTTOM}" width="0"/><g class="cursor"></g>`);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  svg.setAttribute("aria-hidden", "true"); // the table has the values
  svg.innerHTML = parts.join("");
  Object.assign(plot, { x, y, width });
}

/** The points inside the axis, and one beyond either end so that lines reach the edge. */
function visible(line, x) {
  const first = line.findIndex(([at]) => at >= x.low);
  const last = line.findLastIndex(([at]) => at <= x.high);
  return first < 0 || last < 0 ? [] : line.slice(Math.max(0, first - 1), last + 2);
}

/** Which dash a baseline has: the place of its name among the names. */
function kind(view, place) {
  const names = [...new Set(view.data.baselines.map((line) => line.name))];
  return names.indexOf(view.data.baselines[place].name);
}

function drawBaselines(view) {
  view.baselines.replaceChildren(...view.data.baselines.map((line, place) => {
    const entry = element("span");
    entry.innerHTML = `<svg viewBox="0 0 28 8" aria-hidden="true"><line class="baseline kind-${kind(view, place)}" x2="28" y1="4" y2="4"/></svg>`;
    entry.append(`${line.name}: ${short(line.loss)}`);
    if (line.of.length === view.data.runs.length) return entry;
    for (const n of line.of) {
      const mark = swatch(n);
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", `of ${view.data.runs[n].name}`);
      entry.append(mark);
    }
    return entry;
  }));
}

/** The line of a run, as in a legend. */
function swatch(n) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 28 8");
  svg.innerHTML = `<line class="run run-${n}" stroke-dasharray="${DASHES[n]}" x2="28" y1="4" y2="4"/>`;
  return svg;
}

function nearest(line, x) {
  let best = null;
  for (const point of line) if (!best || Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
  return best;
}

function drawCursor(view) {
  const { data, cursor } = view;
  const at = (run, chart) => {
    const line = points(run, chart, view);
    return cursor === null ? line.at(-1) : nearest(line, cursor);
  };
  for (const { chart, svg, x, y } of view.plots) {
    const group = svg.querySelector(".cursor");
    if (cursor === null || cursor < x.low || cursor > x.high) { group.innerHTML = ""; continue; }
    const place = x.place(cursor);
    const dots = data.runs.map((run, n) => {
      const point = at(run, chart);
      if (!point || point[0] < x.low || point[0] > x.high) return "";
      return `<circle class="run-${n}" cx="${x.place(point[0])}" cy="${y.place(point[1])}" r="4"/>`;
    });
    group.innerHTML = `<line x1="${place}" x2="${place}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>${dots.join("")}`;
  }
  const unit = data.unit.replace(/ \(.*/, "");
  view.caption.textContent = cursor === null
    ? "The last value of each run" : `The values nearest to ${unit} ${count(data.column === 1 ? cursor : Math.round(cursor))}`;
  const said = [];
  view.body.replaceChildren(...data.runs.map((run, n) => {
    const row = element("tr"), name = element("th", { scope: "row" });
    name.append(swatch(n), element("span", {}, run.name));
    const found = CHARTS.map((chart) => at(run, chart));
    const values = found.map((point, c) => (!point ? "–" : CHARTS[c].share ? percent(point[1]) : short(point[1])));
    row.append(name, ...[found[0] ? count(found[0][0]) : "–", ...values].map((text) => element("td", {}, text)));
    said.push(`${run.name}: loss ${values[0]}, exact match ${values[1]}`);
    return row;
  }));
  view.body.parentElement.querySelector("th:nth-child(2)").textContent = unit;
  const [low, high] = view.zoom ?? wholeRange(view);
  view.charts.setAttribute("aria-valuemin", low);
  view.charts.setAttribute("aria-valuemax", high);
  view.charts.setAttribute("aria-valuenow", cursor ?? high);
  view.charts.setAttribute("aria-valuetext", `${view.caption.textContent}. ${said.join("; ")}`);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

// --- the person's hand ---

function followPointer(svg, view) {
  let from = null;
  const plot = () => view.plots.find((one) => one.svg === svg);
  const at = (event) => plot().x.value(event.clientX - svg.getBoundingClientRect().left);
  svg.onpointerdown = (event) => { from = at(event); svg.setPointerCapture(event.pointerId); };
  svg.onpointermove = (event) => {
    view.cursor = at(event);
    if (from !== null) {
      const { x } = plot(), ends = [x.place(from), x.place(view.cursor)].sort((a, b) => a - b);
      const rect = svg.querySelector(".chosen");
      rect.setAttribute("x", ends[0]);
      rect.setAttribute("width", ends[1] - ends[0]);
    }
    drawCursor(view);
  };
  svg.onpointerleave = () => { if (from === null) { view.cursor = null; drawCursor(view); } };
  svg.onpointercancel = () => { from = null; draw(view); };
  svg.onpointerup = (event) => {
    const { x } = plot(), to = at(event), start = from;
    from = null;
    if (start !== null && Math.abs(x.place(to) - x.place(start)) > 12) {
      view.zoom = [Math.min(start, to), Math.max(start, to)];
    }
    draw(view);
  };
  svg.ondblclick = () => { view.zoom = null; draw(view); };
}

/** Arrow keys go from evaluation to evaluation, with Shift ten at once. */
function walk(event, view) {
  const { x } = view.plots[0];
  const all = view.data.runs.flatMap((run) => points(run, CHARTS[0], view).map((point) => point[0]));
  const stops = [...new Set(all)].filter((at) => at >= x.low && at <= x.high).sort((a, b) => a - b);
  if (!stops.length) return;
  const far = event.shiftKey ? 10 : 1, last = stops.length - 1, now = view.cursor ?? x.high;
  const before = stops.findLastIndex((at) => at < now), after = stops.findIndex((at) => at > now);
  const moves = {
    ArrowLeft: () => stops[Math.max((before < 0 ? 0 : before) - far + 1, 0)],
    ArrowRight: () => stops[Math.min((after < 0 ? last : after) + far - 1, last)],
    Home: () => stops[0],
    End: () => stops[last],
    Escape: () => { view.zoom = null; return null; },
  };
  if (!(event.key in moves)) return;
  event.preventDefault();
  view.cursor = moves[event.key]();
  draw(view);
}
