// One step of decoding at a time: the output so far, what the step looked at, its candidates.

const views = new WeakMap(); // root element -> what the person chose: step and layer

export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  const root = parentElement.querySelector(".decoding_steps");
  let view = views.get(root);
  if (!view) {
    view = { step: 0, layer: null };
    views.set(root, view);
    build(root, view);
  }
  const text = JSON.stringify(data);
  if (view.text !== text) {
    if (view.turn !== data.turn) view.step = data.selected;
    view.turn = data.turn;
    view.text = text;
    view.data = data;
    view.step = Math.min(view.step, data.steps.length - 1);
    view.layer = Math.min(view.layer ?? Infinity, data.steps[0].attention.length - 1);
  }
  view.tellStep = () => setStateValue("step", view.step);
  view.choose = (id) => setTriggerValue("choice", [view.step, id]);
  draw(view);
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text; // never HTML: tokens may look like markup
  return made;
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;

function build(root, view) {
  root.innerHTML = `
    <h3 id="output-title">Output: choose a step</h3>
    <div class="tokens output" role="group" aria-labelledby="output-title"></div>
    <div class="walk">
      <button type="button" class="back">◀ Back</button>
      <input type="range" min="0" aria-label="Step">
      <button type="button" class="forward">Forward ▶</button>
      <span class="where" aria-live="polite"></span>
    </div>
    <div class="halves">
      <section>
        <h3>Candidates for this step</h3>
        <p class="hint">Choose one to write it instead and decode on from there.</p>
        <ol class="candidates"></ol>
      </section>
      <section>
        <h3>What this step looks at in the input</h3>
        <p class="hint">Cross-attention, mean over the heads of
          <select aria-label="Layer"></select>: the higher the bar, the more weight.</p>
        <div class="tokens source"></div>
      </section>
    </div>`;
  const find = (selector) => root.querySelector(selector);
  Object.assign(view, {
    output: find(".output"), slider: find("input"), where: find(".where"), back: find(".back"),
    forward: find(".forward"), candidates: find(".candidates"), source: find(".source"), layers: find("select"),
  });
  view.slider.oninput = () => walk(view, Number(view.slider.value));
  view.back.onclick = () => walk(view, view.step - 1);
  view.forward.onclick = () => walk(view, view.step + 1);
  view.layers.onchange = () => { view.layer = Number(view.layers.value); draw(view); };
}

function walk(view, step) {
  view.step = Math.min(Math.max(step, 0), view.data.steps.length - 1);
  draw(view);
  clearTimeout(view.timer); // the address follows once the walking pauses
  view.timer = setTimeout(() => view.tellStep(), 400);
}

function draw(view) {
  const { steps, source } = view.data;
  const step = steps[view.step];
  view.slider.max = steps.length - 1;
  view.slider.value = view.step;
  view.back.disabled = view.step === 0;
  view.forward.disabled = view.step === steps.length - 1;
  view.where.textContent = `Step ${view.step + 1} of ${steps.length}: writes “${step.token}” with probability ${percent(step.probability)}`;
  drawOutput(view, steps);
  drawCandidates(view, step);
  drawSource(view, step, source);
}

function drawOutput(view, steps) {
  // Kept where they are, so that the keyboard's focus stays on the button pressed.
  while (view.output.childElementCount > steps.length) view.output.lastChild.remove();
  steps.forEach((step, i) => {
    const button = view.output.children[i] ?? view.output.appendChild(element("button", { type: "button" }));
    button.onclick = () => walk(view, i);
    button.setAttribute("aria-pressed", String(i === view.step));
    button.className = `token${step.forced ? " forced" : ""}${i > view.step ? " later" : ""}`;
    const note = step.forced ? ", chosen by you" : "";
    button.title = `step ${i + 1}: ${step.token}, probability ${percent(step.probability)}${note}`;
    button.replaceChildren(
      element("span", {}, step.token),
      element("small", {}, `${(100 * step.probability).toFixed(0)} %`),
    );
  });
}

function drawCandidates(view, step) {
  const root = view.candidates.getRootNode();
  const focused = view.candidates.contains(root.activeElement);
  view.candidates.replaceChildren(
    ...step.candidates.map(([token, id, probability]) => {
      const chosen = id === step.id;
      const button = element("button", { type: "button", "data-token": token });
      button.setAttribute("aria-pressed", String(chosen));
      button.setAttribute("aria-label", `${token}, ${percent(probability)}${chosen ? ", written here" : ", write this instead"}`);
      const bar = element("span", { class: "bar" });
      bar.style.width = `${100 * probability}%`;
      button.append(
        element("span", { class: "name" }, token),
        element("span", { class: "track" }),
        element("span", { class: "share" }, percent(probability)),
        element("span", { class: "mark" }, chosen ? "✓ written" : ""),
      );
      button.children[1].append(bar);
      button.onclick = () => { if (!chosen) view.choose(id); };
      const item = element("li");
      item.append(button);
      return item;
    }),
  );
  // The list is made anew: keep the keyboard where it was, on the candidate now written.
  if (focused) view.candidates.querySelector("[aria-pressed=true]")?.focus();
}

function drawSource(view, step, source) {
  const layers = step.attention.length;
  if (view.layers.childElementCount !== layers) {
    view.layers.replaceChildren(...step.attention.map((_, i) => element("option", { value: i }, `layer ${i + 1}`)));
  }
  view.layers.value = view.layer;
  const weights = step.attention[view.layer];
  view.source.replaceChildren(
    ...source.map((token, i) => {
      const chip = element("span", { class: "weighed", title: `${token}: ${weights[i].toFixed(4)}` });
      const column = element("span", { class: "column" });
      const bar = element("span", { class: "height" });
      bar.style.height = `${100 * weights[i]}%`;
      column.append(bar);
      const name = element("span", { class: "name" }, token);
      name.style.setProperty("--weight", `${Math.round(85 * weights[i])}%`);
      chip.append(column, name, element("small", {}, weights[i].toFixed(2)));
      return chip;
    }),
  );
}
