// Runs on common axes. All charts have the same cursor; the table has every run's values at it.

const LOSS = 3, EXACT = 4, RATE = 4; // columns of a point, after step, seconds and tokens
const DASHES = ["", "8 4", "2 3", "10 3 2 3", "5 2", "16 4", "9 3 2 3 2 3", "1 4"];
const CHARTS = [
  { of: "evaluation", column: LOSS, title: "Evaluation loss: lower is better", unit: "loss (nats per token)", loss: true },
  { of: "evaluation", column: EXACT, title: "Exact match: higher is better", unit: "right answers", share: true },
  { of: "train", column: LOSS, title: "Training loss: lower is better", unit: "loss (nats per token)", loss: true },
  { of: "train", column: RATE, title: "Learning rate", unit: "learning rate" },
];

export default function ({ data, parentElement }) {
  const view = viewOf(parentElement, "run_compare", build);
  if (view.data && view.data.unit !== data.unit) view.zoom = view.cursor = null;
  view.data = data;
  themeOf(view.root);
  draw(view);
}

function build(root) {
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
  const view = {
    root, zoom: null, cursor: null, caption: find("caption"), at: find("th:nth-child(2)"), body: find("tbody"),
    reset: find("button"), field: find(".charts"), baselines: find(".baselines"),
    whole: () => wholeRange(view),
    redraw: () => draw(view),
    moved: () => drawCursor(view),
  };
  view.charts = CHARTS.map((what, n) => Object.assign(buildChart(view, `chart-${n}`, what.title), { what }));
  view.field.append(...view.charts.map((chart) => chart.figure));
  view.reset.onclick = () => seeAll(view);
  view.field.onkeydown = (event) => walk(event, view);
  watchWidth(view.field, () => view.data && draw(view));
  return view;
}

/** Points of a run as [x, y]; on a logarithmic axis without those whose x is not above 0. */
function points(run, { of, column }, { data }) {
  return run[of]
    .map((point) => [point[data.column], point[column]])
    .filter(([x, y]) => x !== null && y !== null && (!data.log_x || x > 0));
}

function wholeRange(view) {
  const all = view.data.runs.flatMap((run) => CHARTS.flatMap((what) => points(run, what, view).map(([x]) => x)));
  if (!all.length) return view.data.log_x ? [1, 10] : [0, 1];
  let low = view.data.log_x ? Infinity : 0, high = -Infinity; // a loop, as Math.min cannot take so many arguments
  for (const x of all) [low, high] = [Math.min(low, x), Math.max(high, x)];
  return [low, high > low ? high : low + 1];
}

// --- drawing ---

function draw(view) {
  const { data } = view;
  view.reset.disabled = !view.zoom;
  for (const chart of view.charts) {
    const { what } = chart, x = xAxis(view, widthOf(chart), data.log_x);
    chart.curves = data.runs.map((run) => points(run, what, view));
    const lines = chart.curves.map((line) => visible(line, x));
    const flats = what.loss ? data.baselines : [];
    const values = [...lines.flat().map((point) => point[1]), ...(view.zoom ? [] : flats.map((line) => line.loss))];
    const y = what.share ? shareAxis() : lossAxis(values, what.loss && data.log_loss);
    drawChart(chart, x, y, data.unit, what.unit, [
      ...flats.filter((line) => y.holds(line.loss)).map((line) => ({ points: flat(x, line.loss), style: baselineStyle(data, line) })),
      ...lines.map((line, n) => ({ points: line, style: `run run-${n}`, dash: DASHES[n], dots: line.length === 1 })),
    ]);
  }
  drawBaselines(view);
  drawCursor(view);
}

/** Baselines with the same name have the same dashes. */
function baselineStyle({ baselines }, { name }) {
  return `baseline kind-${[...new Set(baselines.map((line) => line.name))].indexOf(name)}`;
}

function drawBaselines({ data, baselines }) {
  baselines.replaceChildren(...data.baselines.map((line) => {
    const entry = legendEntry(baselineStyle(data, line), `${line.name}: ${short(line.loss)}`);
    if (line.of.length === data.runs.length) return entry;
    for (const n of line.of) {
      const mark = swatch(`run run-${n}`, DASHES[n]);
      mark.removeAttribute("aria-hidden");
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", `of ${data.runs[n].name}`);
      entry.append(mark);
    }
    return entry;
  }));
}

function drawCursor(view) {
  const { data, cursor, charts } = view;
  const found = charts.map((chart) => chart.curves.map((line) => nearest(line, cursor)));
  charts.forEach((chart, c) => drawMarks(chart, [{ style: "cursor", at: cursor, dots: found[c].map((point, n) => [`run-${n}`, point]) }]));
  const unit = data.unit.replace(/ \(.*/, "");
  view.caption.textContent = cursor === null
    ? "The last value of each run" : `The values nearest to ${unit} ${count(data.column === 1 ? cursor : Math.round(cursor))}`;
  const said = [];
  view.body.replaceChildren(...data.runs.map((run, n) => {
    const row = element("tr"), name = element("th", { scope: "row" });
    name.append(swatch(`run run-${n}`, DASHES[n]), element("span", {}, run.name));
    const values = found.map((line, c) => (!line[n] ? "–" : CHARTS[c].share ? percent(line[n][1]) : short(line[n][1])));
    row.append(name, ...[found[0][n] ? count(found[0][n][0]) : "–", ...values].map((text) => element("td", {}, text)));
    said.push(`${run.name}: loss ${values[0]}, exact match ${values[1]}`);
    return row;
  }));
  view.at.textContent = unit;
  const [low, high] = rangeOf(view);
  const spoken = { min: low, max: high, now: cursor ?? high, text: `${view.caption.textContent}. ${said.join("; ")}` };
  for (const [what, value] of Object.entries(spoken)) view.field.setAttribute(`aria-value${what}`, value);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Arrow keys move the cursor by one evaluation, with Shift by ten. */
function walk(event, view) {
  const [{ curves, x }] = view.charts;
  const stops = [...new Set(curves.flat().map((point) => point[0]))].filter((at) => at >= x.low && at <= x.high).sort((a, b) => a - b);
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
