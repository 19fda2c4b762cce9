// The time slider: moving its thumb changes every map, and the mark on the run's loss chart.

const SPEEDS = [["slow", 600], ["normal", 220], ["fast", 90]]; // milliseconds per moment
const CALM = 1000; // milliseconds per moment if the system asks for reduced motion
const MANY = 14; // tokens; longer texts are drawn smaller

export default function ({ data, parentElement, setStateValue }) {
  const view = viewOf(parentElement, "attention_timeline", start);
  const theme = themeOf(view.root);
  if (view.data === data && view.theme === theme) return;
  const message = view.data === data ? view.message : readMessage(data);
  // Follow the newest moment (null), or stay at the step that the user chose.
  const step = view.follow || !view.message ? null : view.message.steps[view.index];
  const shapes = message.kinds.map(({ shape, queries, keys }) => [shape, queries, keys]);
  const signature = JSON.stringify([message.example, message.examples, shapes]);
  const rebuild = signature !== view.signature || theme !== view.theme;
  // Drawn elements refer to their kind, so it stays the same object and only gets new data.
  if (!rebuild) message.kinds = message.kinds.map((kind, i) => Object.assign(view.message.kinds[i], kind));
  Object.assign(view, { data, theme, message, signature });
  [, view.index] = nearest(message.steps.map((at, i) => [at, i]), step);
  view.choose = (number) => setStateValue("example", number);
  if (rebuild) build(view);
  fit(view);
}

function start(root) {
  const view = { root, follow: true, speed: 1, shown: null, head: null, cell: null };
  watchWidth(root, () => view.message && fit(view));
  listen(view);
  return view;
}

// Listen to the run's loss chart, which sends the step that the user clicked.
function listen(view) {
  const hear = ({ detail }) => {
    if (!view.root.isConnected) return window.removeEventListener("workbench-moment-wanted", hear);
    if (detail.run !== view.message?.run) return;
    stop(view);
    move(view, nearest(view.message.steps.map((at, i) => [at, i]), detail.step)[1]);
  };
  window.addEventListener("workbench-moment-wanted", hear);
}

// The bytes are, for all moments: each target token's probability and whether it is right, then the
// weights of each kind.
function readMessage(data) {
  const [message, take] = unpack(data);
  const moments = message.steps.length, tokens = message.target.length;
  message.probability = take(Uint8Array, moments * tokens);
  message.right = take(Uint8Array, moments * tokens);
  for (const kind of message.kinds) {
    kind.size = kind.shape.reduce((a, b) => a * b, 1);
    kind.weights = take(Uint8Array, moments * kind.size);
  }
  return message;
}

// --- Building, once per example ----------------------------------------------------------------

function build(view) {
  const { root, message } = view;
  stop(view);
  const focused = root.getRootNode().activeElement?.className;
  root.replaceChildren();
  view.palette = pixelTable(SCALES[view.theme], 255);
  if (!view.shown) view.shown = heads(message) <= 8 ? "all" : "cross";
  if (!view.head) view.head = { kind: "cross", layer: message.kinds.at(-1).shape[0] - 1, head: 0 };
  view.cell = null;

  view.help = element("p", { class: "help" });
  view.help.append("Drag the slider, press Play, or click in the chart of the loss, and watch every head form. ",
    element("b", {}, "What to look for. "), message.look_for);
  view.track = buildTrack(view);
  view.now = element("p", { class: "now" });
  view.long = message.target.length > MANY;
  view.answers = element("div", { class: view.long ? "answers long" : "answers" });
  view.tallest = 0;
  view.grid = element("div", { class: "grid" });
  view.large = element("div", { class: "large" });
  // Answers and grid are beside the large map, so that the answers of long texts move nothing down.
  const side = element("div", { class: "side" });
  side.append(view.answers, view.grid);
  const maps = element("div", { class: "maps" });
  maps.append(side, view.large);
  view.play = element("button", { type: "button", class: "play" }, "▶ Play");
  view.play.onclick = () => (view.timer ? stop(view) : play(view));
  const player = element("div", { class: "player" });
  player.append(view.play, view.track);
  root.append(player, view.now, buildControls(view), maps);
  buildGrid(view);
  buildLarge(view);
  if (focused) root.querySelector(`.${focused.split(" ")[0]}`)?.focus();
}

const heads = (message) => message.kinds.reduce((sum, kind) => sum + kind.shape[0] * kind.shape[1], 0);

function select(name, label, options, value, change) {
  const box = element("select", { class: name });
  for (const [id, text] of options) box.append(element("option", { value: id }, text));
  box.value = value;
  box.onchange = () => change(box.value);
  const labelled = element("label", {}, label);
  labelled.append(box);
  return labelled;
}

function buildControls(view) {
  const { message } = view;
  const controls = element("div", { class: "controls" });
  const jump = element("button", { type: "button", class: "jump" }, "Where the loss fell fastest");
  jump.onclick = () => { stop(view); move(view, steepest(message)); };
  if (!calm()) {
    controls.append(select("speed", "Speed", SPEEDS.map(([name], i) => [i, name]), view.speed,
      (value) => { view.speed = Number(value); }));
  }
  controls.append(jump);
  controls.append(select("shown", "Heads",
    [["all", "all three kinds"], ...message.kinds.map((kind) => [kind.id, kind.title])], view.shown,
    (value) => { view.shown = value; buildGrid(view); paintAll(view); }));
  if (message.examples.length > 1) {
    controls.append(select("example", "Example", message.examples.map((text, i) => [i, text]),
      message.example, (value) => { stop(view); view.choose(Number(value)); }));
  }
  return controls;
}

// --- Moving -----------------------------------------------------------------------------------

function move(view, index) {
  const last = view.message.steps.length - 1;
  view.index = Math.min(Math.max(index, 0), last);
  view.follow = view.index === last;
  draw(view);
}

function draw(view) {
  const { message, index } = view;
  const step = message.steps[index], loss = message.losses[index];
  const [thumb, filled] = view.moving;
  thumb.setAttribute("cx", view.x(step));
  filled.setAttribute("x2", view.x(step));
  tellMoment(view, step, loss);
  paintAll(view);
  // The loss chart of the same run, elsewhere on the page, marks the step, too.
  window.dispatchEvent(new CustomEvent("workbench-moment", { detail: { run: message.run, step } }));
}

function tellMoment(view, step, loss) {
  const { message, index } = view;
  const tokens = message.target.length, from = index * tokens;
  const right = message.right.subarray(from, from + tokens);
  const count = right.reduce((sum, one) => sum + one, 0);
  const general = lossAt(message, step);
  const parts = [`Step ${whole(step)} of ${whole(message.planned)}`];
  if (step === 0) parts[0] += ", untrained";
  if (general) parts.push(`loss ${threeDigits(general[1])} ${general[0]}`);
  if (loss !== null) parts.push(`loss of this example ${threeDigits(loss)}`);
  const sentence = `${parts.join(" · ")} · moment ${index + 1} of ${message.steps.length}`;
  view.now.textContent = sentence;
  view.track.setAttribute("aria-valuenow", index);
  view.track.setAttribute("aria-valuetext",
    `${parts.join(", ")}, ${count} of ${tokens} tokens right`);

  const predicted = message.target.map((token, i) => {
    const share = message.probability[from + i] / 255;
    const chip = element("span", {
      class: right[i] ? "chip" : "chip wrong", title: `${right[i] ? "the likeliest here" : "another is likelier here"}; probability ${share.toFixed(2)}`,
    }, token);
    chip.style.setProperty("--p", `${100 * share}%`);
    return chip;
  });
  const verdict = count === tokens ? `✓ all ${tokens} right` : `✗ ${count} of ${tokens} right`;
  const title = "Given the true tokens before it";
  view.answers.replaceChildren(answer(title, predicted, verdict), ...writtenAt(message, step));
  // Keep the largest height, so that answers of other lengths do not move the maps below.
  view.tallest = Math.max(view.tallest ?? 0, view.answers.offsetHeight);
  view.answers.style.minHeight = `${view.tallest}px`;
}

function answer(title, chips, verdict) {
  const row = element("span", { class: "chips" });
  row.append(...chips, element("span", { class: "verdict" }, verdict));
  const line = element("div");
  line.append(element("span", {}, title), row);
  return line;
}

// The model's own output at the last evaluation up to this moment. An untrained model often repeats
// one token to the end; more than two wrong repeats are drawn once, with their number.
function writtenAt({ written, target }, step) {
  const found = written.filter(([at]) => at <= step).at(-1);
  if (!found) return [];
  const [at, tokens, right] = found;
  const isRight = (i) => i < target.length - 1 && tokens[i] === target[i];
  const chips = [];
  for (let i = 0, end; i < tokens.length; i = end) {
    end = i + 1;
    while (end < tokens.length && tokens[end] === tokens[i] && !isRight(end)) end++;
    const shown = end - i > 2 ? 1 : end - i;
    for (let j = i; j < i + shown; j++) {
      chips.push(element("span", { class: isRight(j) ? "chip" : "chip wrong" }, tokens[j]));
    }
    if (end - i > 2) chips.push(`× ${end - i}`);
  }
  if (!tokens.length) chips.push("(nothing)");
  return [answer(`Written by itself at step ${whole(at)}`, chips, right ? "✓ right" : "✗ wrong")];
}

// The held-out loss if it was measured at this step, else the training loss near it.
function lossAt({ curves, evaluated_on: where }, step) {
  const measured = curves.evaluation.find(([at]) => at === step);
  if (measured) return [`on ${where}`, measured[1]];
  const training = interpolated(curves.train, step);
  return training === null ? null : ["on training batches", training];
}

// --- Playing ----------------------------------------------------------------------------------

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function play(view) {
  if (view.index === view.message.steps.length - 1) move(view, 0);
  view.play.textContent = "❚❚ Pause";
  const next = () => {
    if (!view.root.isConnected) return stop(view);
    move(view, view.index + 1);
    if (view.index === view.message.steps.length - 1) return stop(view);
    view.timer = setTimeout(next, wait());
  };
  const wait = () => (calm() ? CALM : SPEEDS[view.speed][1]);
  view.timer = setTimeout(next, wait());
}

function stop(view) {
  clearTimeout(view.timer);
  view.timer = null;
  if (view.play) view.play.textContent = "▶ Play";
}
