// One step of decoding at a time: the output so far, the step's cross-attention, its candidates.

const HELP = [
  "The stronger the shade of a token, the more probable it was; dashed: given in place of the model's first choice. The longer the bar under an input token, the higher its weight.",
  "Keys: ← → walk over the steps, Home and End; ↑ ↓ over the candidates, Enter writes one.",
];

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const view = viewOf(parentElement, "decoding_steps", build);
  view.tellPlace = () => setStateValue("place", writePlace(view));
  view.write = (ids) => setTriggerValue("choice", ids);
  themeOf(view.root);
  if (view.raw === data) return;
  view.raw = data;
  view.data = readMessage(data);
  if (view.turn !== view.data.turn) {
    clearTimeout(view.timer); // the state about to be sent is outdated
    readPlace(view, view.data.place);
    view.turn = view.data.turn;
    if (!isNeutral(view.settings) || view.seed !== null) view.sampling.open = true;
  }
  clampPlace(view);
  listTokens(view);
  draw(view);
  view.justChosen = false;
}

function build(root) {
  const view = { root, turn: null };
  view.root.innerHTML = `
    <h3 id="output-title">Output: choose a step</h3>
    <p class="legend"></p>
    <div class="tokens output" role="group" aria-labelledby="output-title"></div>
    <div class="walk">
      <button type="button" class="back">◀ Back</button>
      <input type="range" min="0" aria-label="Step">
      <button type="button" class="forward">Forward ▶</button>
      <span class="where" aria-live="polite"></span>
    </div>
    <div class="columns-of-step">
      <section class="looks">
        <h3>What this step looks at in the input</h3>
        <p class="hint">Cross-attention, <select aria-label="Layer"></select> <select aria-label="Head"></select></p>
        <div class="tokens source"></div>
      </section>
      <section class="choices">
        <h3>Candidates: press one to write it instead</h3>
        <div class="tables"></div>
        <p class="more"><label><input type="checkbox" data-control="sums"> Show the arithmetic</label></p>
        <ol class="readout" aria-live="polite" aria-label="The arithmetic of one candidate"></ol>
        <form class="type">
          <label>Write another token <input type="text" list="decoding-tokens" autocomplete="off" spellcheck="false" class="typed"></label>
          <datalist id="decoding-tokens"></datalist>
          <button type="submit">Write it</button>
          <span class="refused" role="status"></span>
        </form>
      </section>
    </div>
    <details class="sampling">
      <summary></summary>
      <div class="controls" role="group" aria-label="Temperature, top-k, top-p">
        <label>Temperature <input type="range" min="0.1" max="3" step="0.1" aria-label="Temperature" data-control="temperature"><output></output></label>
        <label>Top-k <input type="range" min="1" max="40" step="1" aria-label="Top-k" data-control="topK"><output></output></label>
        <label>Top-p <input type="range" min="0.05" max="1" step="0.05" aria-label="Top-p" data-control="topP"><output></output></label>
        <button type="button" data-control="reset">Reset</button>
      </div>
      <div class="controls" role="group" aria-label="How the model goes on">
        <span>The model goes on</span>
        <label><input type="radio" name="path" value="greedy"> greedily</label>
        <label><input type="radio" name="path" value="sampled"> by sampling, with these settings and seed</label>
        <input type="number" min="0" max="2147483647" aria-label="Seed" data-control="seed">
        <button type="button" data-control="again">Draw again</button>
      </div>
    </details>`;
  view.root.append(buildHelp("decoding", "How to use and read this", HELP));
  const find = (selector) => view.root.querySelector(selector);
  Object.assign(view, {
    output: find(".output"), slider: find(".walk input"), where: find(".where"), back: find(".back"),
    forward: find(".forward"), tables: find(".tables"), source: find(".source"), readout: find(".readout"),
    layers: find("select[aria-label=Layer]"), heads: find("select[aria-label=Head]"), legend: find(".legend"), sampling: find(".sampling"),
    typed: find(".typed"), tokens: find("datalist"), refused: find(".refused"),
  });
  view.slider.oninput = () => walk(view, Number(view.slider.value));
  view.back.onclick = () => walk(view, view.step - 1);
  view.forward.onclick = () => walk(view, view.step + 1);
  view.layers.onchange = () => look(view, { layer: Number(view.layers.value) });
  view.heads.onchange = () => look(view, { head: view.heads.value === MEAN ? MEAN : Number(view.heads.value) });
  view.root.onkeydown = (event) => walkByKey(view, event);
  find(".type").onsubmit = (event) => {
    event.preventDefault();
    writeTyped(view);
  };
  buildControls(view);
  forgetOnLeaving(view);
  return view;
}

function walkByKey(view, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  const to = { ArrowLeft: view.step - 1, ArrowRight: view.step + 1, Home: 0, End: view.steps - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  walk(view, to);
}

function walk(view, step) {
  helpRead("decoding");
  view.step = Math.min(Math.max(step, 0), view.steps - 1);
  draw(view);
  tellSoon(view);
}

function look(view, change) {
  Object.assign(view.look, change);
  clampPlace(view);
  drawSource(view);
  tellSoon(view);
}

// Send the state to the page, and so to the address, once the user pauses.
function tellSoon(view) {
  clearTimeout(view.timer);
  view.timer = setTimeout(() => view.root.isConnected && view.tellPlace(), 400);
}

// Send nothing after a click on a link to another page: the server would answer for this page once
// more, and the other page would stay empty.
function forgetOnLeaving(view) {
  const clicked = (event) => {
    if (!view.root.isConnected) removeEventListener("click", clicked, true);
    else if (opensPage(event)) clearTimeout(view.timer);
  };
  addEventListener("click", clicked, true);
}

function opensPage(event) {
  const link = event.composedPath().find((node) => node.tagName === "A" && node.href);
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || link?.target === "_blank";
  return link && !elsewhere && link.href.split("#")[0] !== location.href.split("#")[0];
}

// Write this token at this step; the server then continues decoding from it. This step's attention
// and candidates stay the same, and the token's probability is known, so they are drawn at once;
// only the tokens after it must wait for the server.
function choose(view, id) {
  view.justChosen = true;
  clearTimeout(view.timer);
  const side = view.data.sides[0];
  const ids = [...side.ids.slice(0, view.step), id];
  view.write(ids);
  if (view.step >= side.ids.length) return; // there is no data for a step after the output's end
  const column = columnOf(side, view.step, id);
  if (column < 0) return;
  const { divided, top, sum } = nextToken(logitsOf(side, view.step), NEUTRAL);
  const logProb = divided[column] - top - Math.log(sum);
  Object.assign(side, {
    ids, forced: ids.length, pending: true,
    logProbs: [...side.logProbs.slice(0, view.step), logProb],
  });
  clampPlace(view);
  draw(view);
}

function listTokens(view) {
  const names = view.data.vocabulary.slice(0, 500);
  const name = names.join("\n");
  if (view.listed === name) return;
  view.listed = name;
  view.tokens.replaceChildren(...names.map((token) => element("option", { value: token })));
}

function writeTyped(view) {
  const text = view.typed.value.replaceAll(" ", "␣");
  const id = view.data.vocabulary.indexOf(text);
  view.refused.textContent = "";
  if (view.data.sides[0].pending) {
    view.refused.textContent = "The model is still going on from the last choice.";
  } else if (view.step > view.data.sides[0].ids.length) {
    view.refused.textContent = "This output has ended before this step.";
  } else if (id < 0) {
    const known = view.data.vocabulary.slice(4, 34).join(" ");
    view.refused.textContent = text
      ? `The model has no token “${text.slice(0, 40)}”. It has: ${known}${view.data.vocabulary.length > 34 ? " …" : ""}`
      : "Type a token first.";
  } else {
    view.typed.value = "";
    choose(view, id);
  }
}

function draw(view) {
  const { sides } = view.data;
  view.anyWrong = sides[0].ids.some((_, i) => isWrong(view, i));
  view.slider.max = view.steps - 1;
  view.slider.value = view.step;
  view.slider.setAttribute("aria-valuetext", `step ${view.step + 1} of ${view.steps}`);
  view.back.disabled = view.step === 0;
  view.forward.disabled = view.step === view.steps - 1;
  drawLegend(view);
  drawOutput(view);
  describeStep(view);
  drawSource(view);
  drawControls(view);
  drawCandidates(view);
  view.root.classList.toggle("two", sides.length > 1);
  view.root.classList.toggle("sums", view.sums);
  view.root.classList.toggle("pending", Boolean(sides[0].pending));
}

function drawLegend(view) {
  const { sides } = view.data;
  view.legend.hidden = sides.length < 2;
  if (sides.length < 2) return;
  const parting = partingOf(sides);
  const names = sides.map((side, s) => {
    const name = element("span", { class: `key ${"ab"[s]}` });
    name.append(element("span", { class: "square", "aria-hidden": "true" }), `${s ? "lower" : "upper"} row: ${side.label}`);
    return name;
  });
  const words = parting >= 0 ? `They part at step ${parting + 1} (≠).` : sides[1].forced < sides[1].ids.length ? "Both write the same." : wouldHaveWritten(view, sides[1]);
  view.legend.replaceChildren(...names, element("strong", {}, words));
}

// For a side that was given the other's tokens: at how many steps it prefers another token.
function wouldHaveWritten(view, side) {
  const others = side.ids.filter((id, step) => firstChoice(side, step) !== id).length;
  return `Given the same tokens, “${side.label}” would have written another at ${others} of ${side.ids.length} steps.`;
}
