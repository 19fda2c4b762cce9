// Two charts on one axis: the loss against its baselines, and exact match.

const views = new WeakMap(); // root element -> what the person chose: axis, zoom, scale, place
const HEIGHT = 260, LEFT = 58, RIGHT = 14, TOP = 26, BOTTOM = 38;
// Columns of a training point.
const AXES = {
  step: { column: 0, title: "step (updates made)" },
  seconds: { column: 2, title: "seconds of training" },
  tokens: { column: 3, title: "tokens read, padding included" },
};
const BASELINES = [
  ["untrained", "untrained model"], ["uniform", "uniform guess, ln|V|"], ["unigram", "guess by frequency (unigram)"],
];

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".live_curve");
  let view = views.get(root);
  if (!view) {
    view = { axis: "step", zoom: null, third: undefined, log: false, place: null, moment: null };
    views.set(root, view);
    build(root, view);
    new ResizeObserver(() => draw(view)).observe(root);
    listen(root, view);
  }
  view.data = data;
  root.classList.toggle("dark", isDark(root));
  draw(view);
}

function isDark(element) {
  const text = getComputedStyle(element).color.match(/\d+/g).map(Number);
  return text[0] + text[1] + text[2] > 384; // light text: a dark page
}

// The time slider says at which moment it stands.
function listen(root, view) {
  const hear = ({ detail }) => {
    if (!root.isConnected) return window.removeEventListener("workbench-moment", hear);
    if (!view.data.run || detail.run !== view.data.run || detail.step === view.moment) return;
    view.moment = detail.step;
    drawCursors(view);
  };
  window.addEventListener("workbench-moment", hear);
}

function build(root, view) {
  root.innerHTML = `
    <div class="bar">
      <label>x axis <select>
        <option value="step">steps</option><option value="seconds">seconds</option><option value="tokens">tokens</option>
      </select></label>
      <label><input type="checkbox"> logarithmic loss</label>
      <button type="button" data-zoom="all" aria-pressed="true">all</button>
      <button type="button" data-zoom="last">last third</button>
      <span class="hint">Drag over the chart to zoom, double-click to see all. Keys: + − 0 zoom, ← → read.</span>
    </div>
    <div class="charts">
      <figure><figcaption>Loss: lower is better</figcaption><div class="plot loss" tabindex="0" role="application" aria-roledescription="chart"></div></figure>
      <figure><figcaption class="matching"></figcaption><div class="plot exact" role="img"></div></figure>
    </div>
    <div class="legend"></div>
    <p class="readout"></p>
    <p class="verdict"></p>`;
  const find = (selector) => root.querySelector(selector);
  Object.assign(view, {
    loss: find(".loss"), exact: find(".exact"), legend: find(".legend"), select: find("select"),
    matching: find(".matching"), readout: find(".readout"), verdict: find(".verdict"),
    buttons: root.querySelectorAll("button"),
  });
  find("input").onchange = (event) => { view.log = event.target.checked; draw(view); };
  view.select.onchange = () => {
    Object.assign(view, { axis: view.select.value, zoom: null, place: null });
    draw(view);
  };
  for (const button of view.buttons) {
    button.onclick = () => {
      const end = lastPlace(view);
      view.zoom = button.dataset.zoom === "all" ? null : [(end * 2) / 3, end];
      view.third = view.zoom;
      draw(view);
    };
  }
  for (const plot of [view.loss, view.exact]) followPointer(plot, view);
  // Spoken while one reads the chart by keys, not at every new point of a live run.
  view.loss.onfocus = () => view.readout.setAttribute("aria-live", "polite");
  view.loss.onblur = () => view.readout.removeAttribute("aria-live");
  view.loss.onkeydown = (event) => followKey(event, view);
}

// --- Places on the axis: steps, or the seconds or tokens that had passed by then ---------------

function placeOf(view, step) {
  const { column } = AXES[view.axis], { train } = view.data;
  if (column === 0 || !train.length) return step;
  let before = [0, 0, 0, 0];
  for (const point of train) {
    if (point[0] >= step) {
      const share = point[0] === before[0] ? 1 : (step - before[0]) / (point[0] - before[0]);
      return before[column] + share * (point[column] - before[column]);
    }
    before = point;
  }
  return before[column];
}

function lastPlace(view) {
  const ends = [view.data.train, view.data.evaluation, view.data.exact].map((points) => points.at(-1)?.[0] ?? 0);
  return Math.max(placeOf(view, Math.max(...ends)), 1e-9);
}

function range(view) {
  if (view.zoom) return view.zoom;
  const planned = view.axis === "step" ? view.data.steps : 0;
  return [0, Math.max(planned, lastPlace(view))];
}

function zoomTo(view, low, high) {
  const { zoom } = view;
  view.zoom = null;
  const [, end] = range(view);
  const least = end / 2000;
  if (high - low < least) return void (view.zoom = zoom);
  const from = Math.max(low, 0), to = Math.min(high, end);
  view.zoom = from <= 0 && to >= end ? null : [from, to];
  draw(view);
}

// --- Pointer and keys -------------------------------------------------------------------------

function followPointer(plot, view) {
  let from = null;
  const placeAt = (event) => {
    const box = plot.getBoundingClientRect(), [low, high] = range(view);
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    return low + Math.min(Math.max(share, 0), 1) * (high - low);
  };
  plot.onpointerdown = (event) => { from = placeAt(event); plot.setPointerCapture(event.pointerId); };
  plot.onpointermove = (event) => { view.place = placeAt(event); drawCursors(view); };
  plot.onpointerleave = () => { view.place = null; drawCursors(view); };
  plot.onpointerup = (event) => {
    const to = placeAt(event), [low, high] = range(view);
    if (from !== null && Math.abs(to - from) > (high - low) / 50) {
      zoomTo(view, Math.min(from, to), Math.max(from, to));
    }
    from = null;
  };
  plot.ondblclick = () => { view.zoom = null; draw(view); };
}

function followKey(event, view) {
  const [low, high] = range(view), width = high - low;
  const at = view.place ?? Math.min(lastPlace(view), high);
  const zoom = (by) => zoomTo(view, at - (at - low) * by, at + (high - at) * by);
  const read = (place) => {
    view.place = Math.min(Math.max(place, low), high);
    drawCursors(view);
  };
  const pan = (by) => {
    const to = Math.min(Math.max(low + by, 0), Math.max(lastPlace(view), view.data.steps * (view.axis === "step")) - width);
    if (view.zoom) zoomTo(view, to, to + width);
  };
  const actions = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "−": () => zoom(2),
    0: () => { view.zoom = null; draw(view); }, Escape: () => { view.zoom = null; draw(view); },
    ArrowLeft: () => (event.shiftKey ? pan(-width / 4) : read(at - width / 40)),
    ArrowRight: () => (event.shiftKey ? pan(width / 4) : read(at + width / 40)),
    Home: () => read(low), End: () => read(high),
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

// --- Drawing ----------------------------------------------------------------------------------

function draw(view) {
  const { data } = view;
  if (!data || !view.loss.clientWidth) return;
  const measured = data.train.every((point) => point.length > 3);
  view.select.parentElement.hidden = !measured || !data.train.length;
  for (const button of view.buttons) {
    button.setAttribute("aria-pressed", String(view.zoom === (button.dataset.zoom === "all" ? null : view.third)));
  }
  const ends = range(view), [low, high] = ends;
  const placed = (points) => points.map((point) => [placeOf(view, point[0]), point[1]]);
  // One point beyond either end, so that lines reach the edges.
  const inside = (points) => points.filter(([x], i) =>
    (points[i + 1]?.[0] ?? x) >= low && (points[i - 1]?.[0] ?? x) <= high);
  const column = AXES[view.axis].column;
  const train = inside(measured ? data.train.map((point) => [point[column], point[1]]) : placed(data.train));
  const evaluation = inside(placed(data.evaluation));
  const baselines = BASELINES.map(([style, name]) => ({ style, name, value: data[style] }))
    .filter(({ value }) => typeof value === "number");

  const values = [...train, ...evaluation].map((point) => point[1]).filter((v) => v > 0);
  const tallest = Math.max(...values, ...(view.zoom ? [] : baselines.map((b) => b.value)), 1e-6);
  const lowest = Math.min(...values, tallest);
  const scale = view.log ? logAxis(Math.max(lowest, 1e-7), tallest) : linearAxis(0, tallest * 1.06, 4);
  const seen = ({ value }) => value <= scale.high * 1.001 && value >= scale.low;
  view.plots = [
    chart(view.loss, ends, scale, AXES[view.axis].title, "loss (nats a token)", [
      ...baselines.filter(seen).map(({ value, style }) => ({ points: [[low, value], [high, value]], style })),
      { points: train, style: "train" },
      { points: evaluation, style: "evaluation", dots: true },
    ]),
    chart(view.exact, ends, linearAxis(0, 1, 4, (v) => `${Math.round(100 * v)} %`), AXES[view.axis].title,
      "right answers", [{ points: inside(placed(data.exact)), style: "evaluation", dots: true }]),
  ];
  markBeyond(view.loss, baselines.filter((line) => !seen(line)), scale);
  view.matching.textContent = `Exact match on ${data.evaluated_on}: higher is better`;
  drawLegend(view, baselines);
  view.verdict.textContent = verdict(data);
  drawCursors(view);
}

// A baseline out of view is named above the chart, with an arrow to where it lies.
function markBeyond(plot, baselines, scale) {
  const marks = document.createElement("div");
  marks.className = "beyond";
  for (const { style, name, value } of baselines) {
    const mark = document.createElement("span");
    mark.className = `of-${style}`;
    mark.textContent = `${value > scale.high ? "▲" : "▼"} ${name.split(",")[0].split(" (")[0]} ${short(value)}`;
    marks.append(mark);
  }
  plot.append(marks);
}

function drawLegend(view, baselines) {
  const legend = [
    ["train", "training batches"],
    ["evaluation", view.data.evaluated_on],
    ...baselines.map((line) => [line.style, `${line.name}: ${short(line.value)}`]),
    ...(view.moment === null ? [] : [["moment", "moment of the time slider"]]),
  ];
  view.legend.replaceChildren(...legend.map(([style, name]) => {
    const entry = document.createElement("span");
    entry.innerHTML = `<svg viewBox="0 0 24 8"><line class="${style}" x2="24" y1="4" y2="4"/></svg>`;
    entry.append(name);
    return entry;
  }));
}

// Both charts show the place that is pointed at, and the time slider's moment.
function drawCursors(view) {
  const places = {
    pointed: view.place, moment: view.moment === null ? null : placeOf(view, view.moment),
  };
  for (const plot of view.plots ?? []) {
    for (const [name, place] of Object.entries(places)) {
      const line = plot.svg.querySelector(`.${name}`), x = place === null ? 0 : plot.x(place);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      const hidden = place === null || x < LEFT - 1 || x > plot.width - RIGHT + 1;
      line.setAttribute("visibility", hidden ? "hidden" : "visible");
    }
  }
  if (view.moment !== null && !view.legend.querySelector(".moment")) draw(view);
  else tell(view);
}

function nearest(view, points) {
  if (view.place === null) return points.at(-1);
  let best = null, distance = Infinity;
  for (const point of points) {
    const away = Math.abs(placeOf(view, point[0]) - view.place);
    if (away < distance) [best, distance] = [point, away];
  }
  return best;
}

function tell(view) {
  const { data } = view, parts = [];
  const train = nearest(view, data.train), evaluation = nearest(view, data.evaluation), exact = nearest(view, data.exact);
  if (train) parts.push(`Step ${whole(train[0])}: training loss ${short(train[1])}`);
  if (train?.length > 3) parts[0] += ` after ${whole(Math.round(train[2]))} s and ${whole(train[3])} tokens`;
  if (evaluation) parts.push(`step ${whole(evaluation[0])}: loss on ${data.evaluated_on} ${short(evaluation[1])}`);
  if (exact) parts.push(`exact match ${(100 * exact[1]).toFixed(1)} %`);
  view.readout.textContent = parts.join(" · ");
}

// The newest evaluation against the baselines, in words.
function verdict({ evaluation, untrained, uniform, unigram, evaluated_on: where }) {
  const newest = evaluation.at(-1);
  if (!newest || newest[0] === 0 || typeof untrained !== "number") return "";
  const [step, loss] = newest;
  const start = `At step ${whole(step)}, the loss on ${where} is `;
  if (loss >= untrained) return `${start}no better than untrained (${short(untrained)}).`;
  const likelier = Math.exp(untrained - loss);
  const words = [
    `${loss > 0 ? times(untrained / loss) : "infinitely"} below untrained: the right token is typically ` +
    `${times(likelier)} as likely as before training`,
  ];
  if (typeof unigram === "number" && loss < Math.min(unigram, uniform)) {
    words.push(`it is below guessing by frequency (${short(unigram)}), so the model uses what it reads: the input, or the tokens before`);
  } else if (typeof unigram === "number" && loss < uniform) {
    words.push(`that is better than a uniform guess (${short(uniform)}), not yet than guessing by frequency (${short(unigram)})`);
  } else {
    words.push(`that is ${loss < uniform ? "better" : "not yet better"} than a uniform guess (${short(uniform)})`);
  }
  return `${start}${words.join("; ")}.`;
}

const whole = (number) => Math.round(number).toLocaleString("en");
const times = (ratio) => (ratio < 10 ? `${ratio.toFixed(1)} times` : `${whole(Number(ratio.toPrecision(2)))} times`);
const short = (value) => (value === 0 ? "0" : value < 100 ? Number(value).toPrecision(3) : whole(value));

function linearAxis(low, high, count, label = (v) => String(Number(v.toPrecision(3)))) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.99);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high * 1.0001; i++) ticks.push(i * step);
  return { low, high, ticks, label, place: (v) => (v - low) / (high - low) };
}

function logAxis(low, high) {
  const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high) + 1e-9);
  const ticks = [];
  for (let power = from; power <= to; power++) ticks.push(10 ** power);
  return {
    low: 10 ** from, high: 10 ** to, ticks,
    label: (v) => (v >= 0.001 && v < 1000 ? String(Number(v.toPrecision(1))) : v.toExponential(0)),
    place: (v) => (Math.log10(Math.max(v, 10 ** from)) - from) / (to - from),
  };
}

const compact = (v) => (v >= 1e6 ? `${Number((v / 1e6).toPrecision(4))} M` : v >= 1e4 ? `${Number((v / 1e3).toPrecision(4))} k` : String(Number(v.toPrecision(4))));

// Numbers only go into this markup; names are set as text.
function chart(plot, [low, high], axis, title, unit, lines) {
  const width = plot.clientWidth, clip = `inside-${plot.classList[1]}`;
  const x = (place) => LEFT + ((place - low) / (high - low || 1)) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM);
  const parts = [`<clipPath id="${clip}"><rect x="${LEFT - 4}" y="${TOP - 4}" width="${width - LEFT - RIGHT + 8}" height="${HEIGHT - TOP - BOTTOM + 8}"/></clipPath>`];
  for (const tick of axis.ticks) {
    parts.push(`<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${y(tick)}" y2="${y(tick)}"/>`);
    parts.push(`<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${axis.label(tick)}</text>`);
  }
  for (const tick of linearAxis(low, high, Math.max(2, Math.min(6, width / 90))).ticks) {
    parts.push(`<text x="${Math.min(x(tick), width - 16)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${compact(tick)}</text>`);
  }
  parts.push(`<text x="${(LEFT + width - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">${title}</text>`);
  parts.push(`<text transform="translate(12 ${(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" text-anchor="middle">${unit}</text>`);
  for (const { points, style, dots } of lines) {
    const places = points.map(([place, value]) => [x(place).toFixed(1), y(value).toFixed(1)]);
    parts.push(`<polyline class="${style}" clip-path="url(#${clip})" points="${places.join(" ")}"/>`);
    if (dots) for (const [cx, cy] of places) {
      if (cx >= LEFT - 1 && cx <= width - RIGHT + 1) parts.push(`<circle class="${style}" cx="${cx}" cy="${cy}" r="3"/>`);
    }
  }
  for (const name of ["moment", "pointed"]) {
    parts.push(`<line class="${name}" y1="${TOP - 4}" y2="${HEIGHT - BOTTOM}" visibility="hidden"/>`);
  }
  plot.setAttribute("aria-label", `${unit} over ${title}, ${compact(low)} to ${compact(high)}`);
  plot.innerHTML = `<svg viewBox="0 0 ${width} ${HEIGHT}" aria-hidden="true">${parts.join("")}</svg>`;
  return { svg: plot.firstChild, x, width };
}
