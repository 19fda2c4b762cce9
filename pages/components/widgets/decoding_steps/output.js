// The output: one button per step, whose shade is the token's probability.

function drawOutput(view) {
  const { sides, wanted } = view.data;
  const root = view.output.getRootNode();
  const focused = view.output.contains(root.activeElement);
  // Reuse the buttons, so that the one that was pressed keeps the focus.
  while (view.output.childElementCount > view.steps) view.output.lastChild.remove();
  const parting = partingOf(sides);
  for (let i = 0; i < view.steps; i++) {
    const button = view.output.children[i] ?? view.output.appendChild(element("button", { type: "button" }));
    button.onclick = () => walk(view, i);
    drawStep(view, button, i, parting, wanted);
  }
  const current = view.output.children[view.step];
  for (const button of view.output.children) button.tabIndex = button === current ? 0 : -1;
  if (focused) current.focus();
}

// The first step at which two paths differ; -1 if they are equal or there is only one.
function partingOf(sides) {
  if (sides.length < 2) return -1;
  const [a, b] = sides.map((side) => side.ids);
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

function drawStep(view, button, i, parting, wanted) {
  const { sides } = view.data;
  const side = sides[0];
  const wrong = isWrong(view, i);
  button.setAttribute("aria-pressed", String(i === view.step));
  button.className = [
    "token", isSwapped(side, i) && "forced", i > view.step && "later", wrong && "wrong", i === parting && "parting",
  ].filter(Boolean).join(" ");
  const lines = sides.map((one) => lineOf(view, one, i));
  const right = wrong && wanted[i] !== undefined ? nameOf(view, wanted[i]) : "";
  const notes = [
    `step ${i + 1}: ${lines.map((line) => line.words).join("; ")}`,
    isSwapped(side, i) ? "given in place of the model's first choice" : i < side.forced ? "given" : "",
    wrong ? (right ? `wrong, the target has ${right}` : "wrong, the target has ended") : "",
    i === parting ? "here the two part" : "",
  ];
  button.title = notes.filter(Boolean).join(", ");
  button.setAttribute("aria-label", button.title);
  button.replaceChildren(...lines.flatMap((line) => line.parts));
  if (view.anyWrong) button.append(markOf(wrong, right));
}

// The target's token below a wrong one, labelled in words: a cross would mark it as wrong.
const markOf = (wrong, right) =>
  element("small", { class: "instead" }, wrong ? (right ? `target: ${right}` : "target ended") : "\u00a0");

// Whether the token was given instead of the model's first choice; given tokens may also equal it.
const isSwapped = (side, i) => i < side.forced && firstChoice(side, i) !== side.ids[i];

function firstChoice(side, step) {
  const row = logitsOf(side, step);
  return idAt(side, step, row.indexOf(row.reduce((a, b) => Math.max(a, b))));
}

// A token that the user wrote instead of the model's choice does not count as the model's mistake.
const isWrong = (view, i) => {
  const [side] = view.data.sides;
  return view.data.wanted.length > 0 && i < side.ids.length && side.ids[i] !== view.data.wanted[i] && !isSwapped(side, i);
};

function lineOf(view, side, i) {
  if (i >= side.ids.length) {
    return { words: `${side.label} has ended`, parts: [element("span", { class: "name" }, "·"), element("small", {}, "\u00a0")] };
  }
  const probability = Math.exp(side.logProbs[i]);
  const name = nameOf(view, side.ids[i]);
  const shown = element("span", { class: "name" }, name);
  shown.style.setProperty("--shade", `${Math.round(45 * probability)}%`);
  const label = view.data.sides.length > 1 ? `${side.label} ` : "";
  return {
    words: `${label}${name}, probability ${inPercent(probability)}`,
    parts: [shown, element("small", {}, inPercent(probability))],
  };
}

const nameOf = (view, id) => view.data.vocabulary[id] ?? "?";

function describeStep(view) {
  const { sides } = view.data;
  const said = sides.map((side) => {
    const who = sides.length > 1 ? `${side.label}: ` : "";
    if (view.step >= side.ids.length) return `${who}has ended`;
    const so = side.logProbs.slice(0, view.step + 1).reduce((sum, value) => sum + value, 0);
    const name = nameOf(view, side.ids[view.step]);
    const verb = view.step < side.forced ? `given “${name}”, which has` : `writes “${name}” with`;
    return `${who}${verb} probability ${inPercent(Math.exp(side.logProbs[view.step]))}; log-probability so far ${decimal(so, 4)}`;
  });
  view.where.textContent = `Step ${view.step + 1} of ${sides[0].pending ? "…" : view.steps}: ${said.join(" · ")}`;
}
