// Controls: temperature, top-k, top-p, greedy or sampled decoding, and whether to show arithmetic.

const MOST_K = 40;

function buildControls(view) {
  const find = (name) => view.root.querySelector(`[data-control=${name}]`);
  for (const name of ["temperature", "topK", "topP"]) {
    const input = find(name);
    input.oninput = () => {
      const value = Number(input.value);
      view.settings[name] = name === "topK" && value === Number(input.max) ? 0 : value;
      settingsChanged(view);
    };
  }
  find("reset").onclick = () => {
    view.settings = { ...NEUTRAL };
    settingsChanged(view);
  };
  find("sums").onchange = () => {
    view.sums = find("sums").checked;
    view.root.classList.toggle("sums", view.sums);
    tellSoon(view);
  };
  for (const radio of view.root.querySelectorAll("input[name=path]")) {
    radio.onchange = () => takeRoad(view, radio.value === "sampled" ? view.lastSeed ?? view.data.seed : null);
  }
  find("seed").onchange = () => {
    const seed = Math.round(Number(find("seed").value));
    takeRoad(view, Number.isFinite(seed) ? Math.min(Math.max(seed, 0), 2 ** 31 - 1) : 1);
  };
  find("again").onclick = () => takeRoad(view, ((view.seed ?? 0) + 1) % 2 ** 31);
  view.controls = { find };
}

function settingsChanged(view) {
  drawControls(view);
  drawCandidates(view);
  tellSoon(view);
}

function takeRoad(view, seed) {
  view.seed = seed;
  drawControls(view);
  clearTimeout(view.timer);
  view.tellPlace();
}

function drawControls(view) {
  const { find } = view.controls;
  const { temperature, topK, topP } = view.settings;
  const most = Math.min(view.data.vocabulary.length, MOST_K);
  find("topK").max = most;
  find("temperature").value = temperature;
  find("topK").value = topK || most;
  find("topP").value = topP;
  find("temperature").setAttribute("aria-valuetext", plainNumber(temperature));
  find("topK").setAttribute("aria-valuetext", topK ? `${topK} tokens` : "all tokens");
  find("topP").setAttribute("aria-valuetext", plainNumber(topP));
  find("temperature").nextElementSibling.textContent = plainNumber(temperature);
  find("topK").nextElementSibling.textContent = topK || "all";
  find("topP").nextElementSibling.textContent = plainNumber(topP);
  find("reset").disabled = isNeutral(view.settings);
  find("sums").checked = view.sums;
  if (view.seed !== null) view.lastSeed = view.seed;
  const sampled = view.seed !== null;
  view.sampling.querySelector("summary").textContent =
    `Sampling: temperature ${plainNumber(temperature)}, top-k ${topK || "all"}, top-p ${plainNumber(topP)}; ` +
    `the model goes on ${sampled ? `by sampling, seed ${view.seed}` : "greedily"}`;
  for (const radio of view.root.querySelectorAll("input[name=path]")) radio.checked = (radio.value === "sampled") === sampled;
  find("seed").value = view.seed ?? view.lastSeed ?? view.data.seed;
  find("seed").disabled = find("again").disabled = !sampled;
}
