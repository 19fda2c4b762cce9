// Two charts on one axis of steps: the loss against its baselines, and exact match.

const views = new WeakMap(); // root element -> what the person chose: zoom, logarithmic scale
const WIDTH = 520, HEIGHT = 260, LEFT = 56, RIGHT = 14;

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".live_curve");
  let view = views.get(root);
  if (!view) {
    view = { zoom: null, log: false };
    views.set(root, view);
    build(root, view);
  }
  view.data = data;
  root.classList.toggle("dark", isDark(root));
  draw(view);
}

function isDark(element) {
  const text = getComputedStyle(element).color.match(/\d+/g).map(Number);
  return text[0] + text[1] + text[2] > 384; // light text: a dark page
}

function build(root, view) {
  root.innerHTML = `
    <div class="bar">
      <label><input type="checkbox"> logarithmic loss</label>
      <button type="button" data-zoom="last">last third</button>
      <button type="button" data-zoom="all" aria-pressed="true">all steps</button>
      <span class="hint">drag over the chart to zoom, double-click to see all</span>
    </div>
    <div class="charts">
      <figure><figcaption>Loss: lower is better</figcaption><svg class="loss"></svg></figure>
      <figure><figcaption class="matching"></figcaption><svg class="exact"></svg></figure>
    </div>
    <div class="legend"></div>
    <p class="readout"></p>`;
  const find = (selector) => root.querySelector(selector);
  Object.assign(view, {
    loss: find(".loss"), exact: find(".exact"), legend: find(".legend"),
    matching: find(".matching"), readout: find(".readout"), buttons: root.querySelectorAll("button"),
  });
  find("input").onchange = (event) => { view.log = event.target.checked; draw(view); };
  for (const button of view.buttons) {
    button.onclick = () => {
      const last = lastStep(view.data);
      view.zoom = button.dataset.zoom === "all" ? null : [Math.floor((last * 2) / 3), last];
      draw(view);
    };
  }
  for (const svg of [view.loss, view.exact]) followPointer(svg, view);
}

function lastStep(data) {
  const ends = [data.train, data.evaluation, data.exact].map((points) => points.at(-1)?.[0] ?? 0);
  return Math.max(...ends, 1);
}

function followPointer(svg, view) {
  let from = null;
  const stepAt = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const [low, high] = range(view);
    const share = Math.min(Math.max((x - LEFT) / (WIDTH - LEFT - RIGHT), 0), 1);
    return low + share * (high - low);
  };
  svg.onpointerdown = (event) => { from = stepAt(event); svg.setPointerCapture(event.pointerId); };
  svg.onpointermove = (event) => tell(view, stepAt(event));
  svg.onpointerleave = () => tell(view, null);
  svg.onpointerup = (event) => {
    const to = stepAt(event), [low, high] = range(view);
    if (from !== null && Math.abs(to - from) > (high - low) / 50) {
      view.zoom = [Math.min(from, to), Math.max(from, to)];
      draw(view);
    }
    from = null;
  };
  svg.ondblclick = () => { view.zoom = null; draw(view); };
}

const range = (view) => view.zoom ?? [0, Math.max(view.data.steps, lastStep(view.data))];

function nearest(points, step) {
  let best = null;
  for (const point of points) {
    if (!best || Math.abs(point[0] - step) < Math.abs(best[0] - step)) best = point;
  }
  return best;
}

function tell(view, step) {
  const { data } = view;
  const parts = [];
  const at = (points) => (step === null ? points.at(-1) : nearest(points, step));
  const train = at(data.train), evaluation = at(data.evaluation), exact = at(data.exact);
  if (train) parts.push(`training loss ${short(train[1])} at step ${train[0]}`);
  if (evaluation) parts.push(`${data.evaluated_on} loss ${short(evaluation[1])} at step ${evaluation[0]}`);
  if (exact) parts.push(`exact match ${(100 * exact[1]).toFixed(1)} %`);
  view.readout.textContent = parts.join(", ");
}

const short = (value) => (value === 0 ? "0" : Number(value).toPrecision(3));

function draw(view) {
  const { data } = view;
  for (const button of view.buttons) {
    button.setAttribute("aria-pressed", String((button.dataset.zoom === "all") === !view.zoom));
  }
  const [low, high] = range(view);
  const inside = (points) => points.filter(([step]) => step >= low && step <= high);
  const train = inside(data.train), evaluation = inside(data.evaluation);
  const baselines = [
    { value: data.untrained, name: "untrained model", style: "untrained" },
    { value: data.uniform, name: "uniform guess, ln|V|", style: "uniform" },
  ].filter((line) => line.value !== null);

  const values = [...train, ...evaluation].map((point) => point[1]).filter((v) => v > 0);
  const tallest = Math.max(...values, ...(view.zoom ? [] : baselines.map((b) => b.value)), 1e-6);
  const lowest = Math.min(...values, tallest);
  const lossAxis = view.log
    ? logAxis(Math.max(lowest, 1e-7), tallest)
    : linearAxis(0, tallest * 1.06, 4);
  const marks = baselines.map((line) => ({ ...line, points: [[low, line.value], [high, line.value]] }));
  chart(view.loss, [low, high], lossAxis, "loss (nats a token)", [
    ...marks.filter((line) => line.value <= lossAxis.high * 1.001 && line.value >= lossAxis.low),
    { points: train, style: "train" },
    { points: evaluation, style: "evaluation", dots: true },
  ]);
  const legend = [
    ["train", "training batches"],
    ["evaluation", data.evaluated_on],
    ...baselines.map((line) => [line.style, `${line.name}: ${short(line.value)}`]),
  ];
  view.legend.replaceChildren(...legend.map(([style, name]) => {
    const entry = document.createElement("span");
    entry.innerHTML = `<svg viewBox="0 0 24 8"><line class="${style}" x2="24" y1="4" y2="4"/></svg>`;
    entry.append(name);
    return entry;
  }));

  view.matching.textContent = `Exact match on ${data.evaluated_on}: higher is better`;
  chart(view.exact, [low, high], linearAxis(0, 1, 4, (v) => `${Math.round(100 * v)} %`),
    "right answers", [{ points: inside(data.exact), style: "evaluation", dots: true }]);
  tell(view, null);
}

function linearAxis(low, high, count, label = (v) => String(Number(v.toPrecision(3)))) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.99);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high * 1.0001; v += step) ticks.push(v);
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

// Numbers only go into this markup; names are set as text.
function chart(svg, [low, high], axis, unit, lines) {
  const height = HEIGHT, top = 8, bottom = 36;
  const x = (step) => LEFT + ((step - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => height - bottom - axis.place(value) * (height - top - bottom);
  const parts = [];
  for (const tick of axis.ticks) {
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}"/>`);
    parts.push(`<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${axis.label(tick)}</text>`);
  }
  for (const tick of linearAxis(low, high, 6).ticks) {
    parts.push(`<text x="${x(tick)}" y="${height - bottom + 16}" text-anchor="middle">${Math.round(tick)}</text>`);
  }
  parts.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${height - 3}" text-anchor="middle">step (updates made)</text>`);
  parts.push(`<text transform="translate(11 ${(height - bottom + top) / 2}) rotate(-90)" text-anchor="middle">${unit}</text>`);
  for (const { points, style, dots } of lines) {
    const places = points.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    parts.push(`<polyline class="${style}" points="${places.join(" ")}"/>`);
    if (dots) for (const place of places) {
      const [cx, cy] = place.split(",");
      parts.push(`<circle class="${style}" cx="${cx}" cy="${cy}" r="3"/>`);
    }
  }
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${unit} over steps ${Math.round(low)} to ${Math.round(high)}`);
  svg.innerHTML = parts.join("");
}
