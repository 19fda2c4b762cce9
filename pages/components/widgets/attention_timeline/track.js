// The slider's track: the loss curve over log(1 + step / early), on which moments are even.

const HEIGHT = 134, TOP = 8, RAIL = 86, LEFT = 44, RIGHT = 14;

function buildTrack(view) {
  const track = element("div", {
    class: "track", role: "slider", tabindex: "0", "aria-label": "Moment of training",
    "aria-orientation": "horizontal",
  });
  const moveTo = (event) => {
    const places = view.message.steps.map((step, i) => [view.x(step), i]);
    const [, best] = nearest(places, event.clientX - track.getBoundingClientRect().left);
    if (best !== view.index) move(view, best);
  };
  track.onpointerdown = (event) => {
    stop(view);
    track.setPointerCapture(event.pointerId);
    moveTo(event);
  };
  track.onpointermove = (event) => { if (track.hasPointerCapture(event.pointerId)) moveTo(event); };
  track.onkeydown = (event) => {
    const last = view.message.steps.length - 1;
    const to = {
      ArrowLeft: view.index - 1, ArrowDown: view.index - 1, ArrowRight: view.index + 1,
      ArrowUp: view.index + 1, PageDown: view.index - 10, PageUp: view.index + 10, Home: 0, End: last,
    }[event.key];
    if (event.key === " ") {
      event.preventDefault();
      view.play.click();
    }
    if (to === undefined) return;
    event.preventDefault();
    stop(view);
    move(view, to);
  };
  return track;
}

// Sizes follow the room there is; what moves with the thumb is drawn by move().
function fit(view) {
  const { message } = view;
  const width = view.track.clientWidth;
  if (!width) return;
  if (width !== view.width) view.tallest = 0;
  view.width = width;
  const end = Math.max(message.planned, message.steps.at(-1), 1);
  const scale = (step) => Math.log1p(step / message.early);
  view.x = (step) => LEFT + (scale(step) / scale(end)) * (width - LEFT - RIGHT);
  const examples = message.steps.map((step, i) => [step, message.losses[i]]).filter(([, loss]) => loss !== null);
  const { train, evaluation } = message.curves;
  const tallest = Math.max(...[...train, ...evaluation, ...examples].map(([, loss]) => loss), 1e-9);
  const { place: y, ticks } = axis([0, tallest], [RAIL - 14, TOP]);
  const parts = [];
  for (const loss of ticks) {
    parts.push(`<line class="line" x1="${LEFT}" x2="${width - RIGHT}" y1="${y(loss)}" y2="${y(loss)}"/>`);
    parts.push(`<text x="${LEFT - 6}" y="${y(loss) + 4}" text-anchor="end">${short(loss)}</text>`);
  }
  parts.push(`<text transform="translate(10 ${(RAIL - 14 + TOP) / 2}) rotate(-90)" text-anchor="middle">loss, nats</text>`);
  let free = -Infinity;
  for (const step of stepTicks(end)) {
    const text = whole(step), half = 3.5 * text.length;
    if (view.x(step) - half < free || (step < end && view.x(step) + half > width - RIGHT - 3.7 * whole(end).length * 2)) continue;
    free = view.x(step) + half + 10;
    const anchor = step === end && step > 0 ? "end" : "middle";
    parts.push(`<text x="${view.x(step) + (anchor === "end" ? RIGHT : 0)}" y="${RAIL + 24}" text-anchor="${anchor}">${text}</text>`);
  }
  const line = (points, name) => {
    const places = points.map(([step, loss]) => `${view.x(step).toFixed(1)},${y(loss).toFixed(1)}`);
    parts.push(`<polyline class="${name}" points="${places.join(" ")}"/>`);
  };
  line(train, "train");
  line(evaluation, "evaluation");
  for (const [step, loss] of evaluation) parts.push(`<circle class="evaluation" cx="${view.x(step)}" cy="${y(loss)}" r="2.5"/>`);
  line(examples, "example");
  parts.push(`<line class="rail" x1="${LEFT}" x2="${width - RIGHT}" y1="${RAIL}" y2="${RAIL}"/>`);
  parts.push(`<line class="filled" x1="${LEFT}" y1="${RAIL}" y2="${RAIL}"/>`);
  for (const step of message.steps) parts.push(`<circle class="mark" cx="${view.x(step)}" cy="${RAIL}" r="1.5"/>`);
  parts.push(`<polyline class="cell"/>`);
  parts.push(`<line class="cursor" y1="${TOP - 8}" y2="${RAIL}"/><circle class="example at" r="5"/>`);
  parts.push(`<circle class="thumb" cy="${RAIL}" r="9"/>`);
  parts.push(`<text x="${(LEFT + width - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">step (updates made), early ones drawn wider</text>`);
  view.track.innerHTML = `<svg viewBox="0 0 ${width} ${HEIGHT}" aria-hidden="true">${parts.join("")}</svg>`;
  view.y = y;
  view.share = (weight) => RAIL - 14 - weight * (RAIL - 14 - TOP);
  view.cellLine = view.track.querySelector(".cell");
  view.moving = ["cursor", "thumb", "filled", "at"].map((name) => view.track.querySelector(`.${name}`));
  view.track.setAttribute("aria-valuemin", 0);
  view.track.setAttribute("aria-valuemax", message.steps.length - 1);
  const legend = [
    ["train", "training batches", train], ["evaluation", message.evaluated_on, evaluation],
    ["example", "this example alone", examples],
  ].filter(([, , points]) => points.length);
  legend.push(["cell", "weight of the chosen cell, from 0 at the bottom to 1 at the top"]);
  view.legend.replaceChildren(...legend.map(([name, text]) => {
    const entry = legendEntry(name, text);
    entry.classList.add(`of-${name}`);
    return entry;
  }));
  sizeLarge(view);
  draw(view);
}

function stepTicks(end) {
  const ticks = [0];
  for (let power = 1; power < end; power *= 10) ticks.push(power, 3 * power);
  return [...ticks.filter((step) => step >= 3 && step < end || step === 0), end];
}

// Around which moment the loss fell most, once it is below what guessing by frequency gives:
// learning the frequencies is the first fall, often the steepest, and needs no attention.
function steepest({ steps, losses, curves, baselines }) {
  const known = steps.map((step, i) => interpolated(curves.train, step) ?? losses[i]);
  const guess = Math.min(...[baselines.unigram, baselines.uniform].filter((loss) => loss > 0), Infinity);
  const last = steps.length - 1;
  for (const cap of [guess, Infinity]) {
    const capped = known.map((loss) => Math.min(loss ?? cap, cap));
    let best = 0, most = 0.01;
    for (let i = 1; i <= last; i++) {
      const fall = capped[i - 1] - capped[Math.min(i + 1, last)];
      if (fall > most) [best, most] = [i, fall];
    }
    if (best) return best;
  }
  return last;
}
