// The slider's rail, with steps on the scale log(1 + step / early), on which moments are evenly
// spaced. The run's own loss chart marks the moment; a click there moves the slider.

const HEIGHT = 46, RAIL = 14, LEFT = 34, RIGHT = 14;
const SPARK = { width: 220, height: 40 };

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

// Draw the rail for the available width; draw() then sets what moves with the thumb.
function fit(view) {
  const { message } = view;
  const width = view.track.clientWidth;
  if (!width) return;
  if (width !== view.width) {
    view.tallest = 0;
    view.answers.style.minHeight = ""; // else a height from a narrower page would stay
  }
  view.width = width;
  const end = Math.max(message.planned, message.steps.at(-1), 1);
  const scale = (step) => Math.log1p(step / message.early) / Math.log1p(end / message.early);
  view.x = (step) => LEFT + scale(step) * (width - LEFT - RIGHT);
  view.spark = (step, weight) => [3 + scale(step) * (SPARK.width - 6), SPARK.height - 3 - weight * (SPARK.height - 6)];
  const parts = [`<text x="${LEFT - 14}" y="${RAIL + 26}" text-anchor="end">step</text>`];
  let free = -Infinity;
  for (const step of stepTicks(end)) {
    const text = whole(step), half = 3.5 * text.length;
    if (view.x(step) - half < free || (step < end && view.x(step) + half > width - RIGHT - 3.7 * whole(end).length * 2)) continue;
    free = view.x(step) + half + 10;
    const anchor = step === end && step > 0 ? "end" : "middle";
    parts.push(`<text x="${view.x(step) + (anchor === "end" ? RIGHT : 0)}" y="${RAIL + 26}" text-anchor="${anchor}">${text}</text>`);
  }
  parts.push(`<line class="rail" x1="${LEFT}" x2="${width - RIGHT}" y1="${RAIL}" y2="${RAIL}"/>`);
  parts.push(`<line class="filled" x1="${LEFT}" y1="${RAIL}" y2="${RAIL}"/>`);
  for (const step of message.steps) parts.push(`<circle class="mark" cx="${view.x(step)}" cy="${RAIL}" r="1.5"/>`);
  parts.push(`<circle class="thumb" cy="${RAIL}" r="9"/>`);
  view.track.innerHTML = `<svg viewBox="0 0 ${width} ${HEIGHT}" aria-hidden="true">${parts.join("")}</svg>`;
  view.moving = ["thumb", "filled"].map((name) => view.track.querySelector(`.${name}`));
  view.track.setAttribute("aria-valuemin", 0);
  view.track.setAttribute("aria-valuemax", message.steps.length - 1);
  sizeLarge(view);
  draw(view);
}

function stepTicks(end) {
  const ticks = [0];
  for (let power = 1; power < end; power *= 10) ticks.push(power, 3 * power);
  return [...ticks.filter((step) => step >= 3 && step < end || step === 0), end];
}

// The moment around which the loss fell most after it passed below the guess by frequency: before
// that, the model learns the frequencies, often the steepest fall, which needs no attention.
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
