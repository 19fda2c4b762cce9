// Two charts with a common x axis: the loss with its baselines, and exact match.

// Columns of a training point.
const AXES = {
  step: { column: 0, title: "step (updates made)" },
  seconds: { column: 2, title: "seconds of training" },
  tokens: { column: 3, title: "tokens read, padding included" },
};
// Baselines that need no model: each is a short line with a label at the right end.
const GUESSES = [["uniform", "uniform guess"], ["unigram", "guess by frequency"]];
// If a loss exceeds this multiple of the untrained model's, the axis becomes logarithmic by
// default: on a linear one, nothing else would be visible.
const OUTGROWN = 20;

export default function ({ data, parentElement }) {
  const view = viewOf(parentElement, "live_curve", build);
  view.data = data;
  themeOf(view.root);
  view.redraw();
}

// Follow the time slider of the same run, which sends its moment as an event.
function listen(view) {
  const hear = ({ detail }) => {
    if (!view.root.isConnected) return window.removeEventListener("workbench-moment", hear);
    if (!view.data.run || detail.run !== view.data.run || detail.step === view.moment) return;
    const first = view.moment === null;
    view.moment = detail.step;
    if (first) view.redraw(); // the legend names it
    else view.moved();
  };
  window.addEventListener("workbench-moment", hear);
}

// A click moves the time slider to the step nearest to it.
function pick(view, place) {
  const [, , step] = nearest([...view.points.train, ...view.points.evaluation], place) ?? [];
  if (view.moment === null || step === undefined) return;
  window.dispatchEvent(new CustomEvent("workbench-moment-wanted", { detail: { run: view.data.run, step } }));
}

function build(root) {
  root.innerHTML = `
    <div class="charts"></div>
    <div class="legend"></div>
    <div class="said"><p class="readout"></p><p class="verdict"></p></div>
    <div class="bar">
      <label>x axis <select>
        <option value="step">steps</option><option value="seconds">seconds</option><option value="tokens">tokens</option>
      </select></label>
      <label><input type="checkbox"> logarithmic loss</label>
      <button type="button" data-zoom="all" aria-pressed="true">all</button>
      <button type="button" data-zoom="last">last third</button>
      <span class="hint"></span>
    </div>`;
  const find = (selector) => root.querySelector(selector);
  const view = {
    root, hint: find(".hint"), axis: "step", zoom: null, third: undefined, log: null, cursor: null, moment: null,
    legend: find(".legend"), select: find("select"), readout: find(".readout"), verdict: find(".verdict"),
    buttons: root.querySelectorAll("button"),
    whole: () => [0, Math.max(view.axis === "step" ? view.data.steps : 0, lastPlace(view))],
    redraw: () => draw(view),
    moved: () => drawCursors(view),
    picked: (place) => pick(view, place),
  };
  view.loss = buildChart(view, "loss", "Loss: lower is better");
  view.exact = buildChart(view, "exact");
  view.charts = [view.loss, view.exact];
  find(".charts").append(...view.charts.map((chart) => chart.figure));
  for (const [name, value] of Object.entries({ tabindex: "0", role: "application", "aria-roledescription": "chart" })) {
    view.loss.plot.setAttribute(name, value);
  }
  view.exact.plot.setAttribute("role", "img");
  view.beyond = view.loss.plot.appendChild(element("div", { class: "beyond" }));
  view.box = find("input");
  view.box.onchange = () => { view.log = view.box.checked; draw(view); };
  view.select.onchange = () => {
    Object.assign(view, { axis: view.select.value, zoom: null, cursor: null });
    draw(view);
  };
  for (const button of view.buttons) {
    button.onclick = () => {
      const end = lastPlace(view);
      view.zoom = button.dataset.zoom === "all" ? null : [(end * 2) / 3, end];
      view.third = view.zoom ?? undefined;
      draw(view);
    };
  }
  // Read out only while the chart has the focus, not at every new point of a live run.
  view.loss.plot.onfocus = () => view.readout.setAttribute("aria-live", "polite");
  view.loss.plot.onblur = () => view.readout.removeAttribute("aria-live");
  view.loss.plot.onkeydown = (event) => followKey(event, view);
  watchWidth(root, () => view.data && draw(view));
  listen(view);
  return view;
}

// --- Places on the x axis: steps, or the seconds or tokens up to a step -------------------------

function placeOf(view, step) {
  const { column } = AXES[view.axis], { train } = view.data;
  if (column === 0 || !train.length) return step;
  return interpolated([[0, 0], ...train.map((point) => [point[0], point[column]])], step);
}

// Points [step, value, ...] as [place, value, step, value, ...].
const placed = (view, points) => points.map((point) => [placeOf(view, point[0]), point[1], ...point]);

function lastPlace(view) {
  const ends = [view.data.train, view.data.evaluation, view.data.exact].map((points) => points.at(-1)?.[0] ?? 0);
  return Math.max(placeOf(view, Math.max(...ends)), 1e-9);
}

function followKey(event, view) {
  const [low, high] = rangeOf(view), width = high - low;
  const at = view.cursor ?? Math.min(lastPlace(view), high);
  const zoom = (by) => zoomTo(view, at - (at - low) * by, at + (high - at) * by);
  const read = (place) => {
    view.cursor = Math.min(Math.max(place, low), high);
    drawCursors(view);
  };
  const pan = (by) => {
    const to = Math.min(Math.max(low + by, 0), view.whole()[1] - width);
    if (view.zoom) zoomTo(view, to, to + width);
  };
  const actions = {
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "−": () => zoom(2),
    0: () => seeAll(view), Escape: () => seeAll(view),
    ArrowLeft: () => (event.shiftKey ? pan(-width / 4) : read(at - width / 40)),
    ArrowRight: () => (event.shiftKey ? pan(width / 4) : read(at + width / 40)),
    Home: () => read(low), End: () => read(high), Enter: () => pick(view, at),
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

// --- Drawing ----------------------------------------------------------------------------------

function draw(view) {
  const { data } = view, { column, title } = AXES[view.axis];
  const measured = data.train.every((point) => point.length > 3);
  view.select.parentElement.hidden = !measured || !data.train.length;
  for (const button of view.buttons) {
    button.setAttribute("aria-pressed", String(view.zoom === (button.dataset.zoom === "all" ? null : view.third)));
  }
  view.points = {
    train: measured ? data.train.map((point) => [point[column], point[1], ...point]) : placed(view, data.train),
    evaluation: placed(view, data.evaluation),
    exact: placed(view, data.exact),
  };
  const x = xAxis(view, widthOf(view.loss));
  const [train, evaluation, exact] = Object.values(view.points).map((points) => visible(points, x));
  const known = ({ value }) => typeof value === "number";
  const untrained = [{ style: "untrained", name: "untrained model", value: data.untrained }].filter(known);
  const guesses = GUESSES.map(([style, name]) => ({ style, name, value: data[style] })).filter(known);
  const levels = view.zoom ? [] : [...untrained, ...guesses].map((line) => line.value);
  const losses = [...train, ...evaluation].map((point) => point[1]);
  view.box.checked = view.log ?? Math.max(...losses) > OUTGROWN * (data.untrained ?? Infinity);
  const y = lossAxis([...losses, ...levels], view.box.checked);
  const seen = ({ value }) => y.holds(value);
  drawChart(view.loss, x, y, title, "loss (nats per token)", [
    ...untrained.filter(seen).map(({ value, style }) => ({ points: flat(x, value), style })),
    { points: train, style: "train" },
    { points: evaluation, style: "evaluation", dots: true },
  ]);
  labelLevels(view.loss, guesses.filter(seen).map(({ name, value }) => [value, `${name} ${threeDigits(value)}`]));
  drawChart(view.exact, x, shareAxis(), title, "right answers", [{ points: exact, style: "evaluation", dots: true }]);
  for (const [chart, unit] of [[view.loss, "loss (nats per token)"], [view.exact, "right answers"]]) {
    chart.plot.setAttribute("aria-label", `${unit} over ${title}, ${count(x.low)} to ${count(x.high)}`);
  }
  // A baseline out of view is named above the chart, with an arrow up or down.
  view.beyond.replaceChildren(...[...untrained, ...guesses].filter((line) => !seen(line)).map(({ name, value }) =>
    element("span", {}, `${value > y.high ? "▲" : "▼"} ${name} ${threeDigits(value)}`)));
  view.exact.caption.textContent = `Exact match on ${data.evaluated_on}: higher is better`;
  view.legend.replaceChildren(...[
    ["train", "training batches"],
    ["evaluation", data.evaluated_on],
    ...untrained.map((line) => [line.style, `${line.name}: ${threeDigits(line.value)}`]),
    ...(view.moment === null ? [] : [["moment", "moment of the time slider"]]),
  ].map(([style, name]) => legendEntry(style, name)));
  view.hint.textContent = `Drag to zoom, double-click to see all${view.moment === null ? "" : ", click for its maps"}. Keys: + − 0 ← →${view.moment === null ? "" : " Enter"}`;
  view.verdict.textContent = verdict(data);
  drawCursors(view);
}

// Draw the cursor and the time slider's moment in both charts.
function drawCursors(view) {
  for (const chart of view.charts) {
    drawMarks(chart, [
      { style: "moment", at: view.moment === null ? null : placeOf(view, view.moment) },
      { style: "pointed", at: view.cursor },
    ]);
  }
  const { evaluated_on: where } = view.data, parts = [];
  const [train, evaluation, exact] = Object.values(view.points).map((points) => nearest(points, view.cursor)?.slice(2));
  if (train) parts.push(`Step ${whole(train[0])}: training loss ${threeDigits(train[1])}`);
  if (train?.length > 3) parts[0] += ` after ${whole(train[2])} s and ${whole(train[3])} tokens`;
  if (evaluation) parts.push(`step ${whole(evaluation[0])}: loss on ${where} ${threeDigits(evaluation[1])}`);
  if (exact) parts.push(`exact match ${(100 * exact[1]).toFixed(1)} %`);
  view.readout.textContent = parts.join(" · ");
  view.readout.hidden = view.cursor === null && view.verdict.textContent !== "";
  view.verdict.hidden = !view.readout.hidden;
}

// The newest evaluation in words: first the probability of the right token, then the loss and the
// baselines that it beats.
function verdict({ evaluation, exact, untrained, uniform, unigram, evaluated_on: where }) {
  const newest = evaluation.at(-1);
  if (!newest || newest[0] === 0 || typeof untrained !== "number") return "";
  const [step, loss] = newest;
  const felt = `Right token: ${likely(untrained)} → ${likely(loss)} likely (${where}, step ${whole(step)}). Loss ${threeDigits(loss)}`;
  if (loss >= untrained) return `${felt}, no better than untrained (${threeDigits(untrained)}).`;
  if (typeof unigram === "number" && loss < Math.min(unigram, uniform)) {
    return `${felt}, below guessing by frequency (${threeDigits(unigram)})${meaning(exact.at(-1)?.[1] ?? 0, where)}.`;
  }
  if (typeof unigram === "number" && loss < uniform) {
    return `${felt}, better than a uniform guess (${threeDigits(uniform)}), not yet than guessing by frequency (${threeDigits(unigram)}).`;
  }
  return `${felt}, ${loss < uniform ? "better" : "not yet better"} than a uniform guess (${threeDigits(uniform)}).`;
}

// What a low loss means: a model that sees the answer in training has a low loss, too, but no right
// output; a model that is tested on its training pairs may know nothing else.
function meaning(right, where) {
  if (right === 0) return "; no answer is right yet";
  if (right < 0.5) return "; few answers are right yet";
  return where.includes("training") ? ": it knows these pairs" : ": it uses what it reads";
}

// The probability that a loss means, in per cent; never rounded to 0 or 100.
function likely(loss) {
  const share = 100 * Math.exp(-loss);
  if (share >= 99.95 && loss > 0) return "99.9 %";
  return share < 0.05 ? "under 0.1 %" : `${share.toFixed(1)} %`;
}
