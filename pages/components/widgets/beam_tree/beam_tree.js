// A beam search, explored by mouse or arrow keys; a sentence below says how the hypothesis ended.

export default function ({ data, parentElement, setTriggerValue }) {
  const view = viewOf(parentElement, "beam_tree", build);
  const text = JSON.stringify(data);
  if (view.text !== text) {
    Object.assign(view, { text, data });
    // Start at the last token of the answer.
    const column = data.beams.length - 1;
    view.chosen = { column, slot: data.beams[column].indexOf(data.answer) };
    fillTable(view);
  }
  view.open = () => setTriggerValue("open", data.beams[view.chosen.column][view.chosen.slot]);
  draw(view, false);
}

function build(root) {
  root.innerHTML = `
    <h3></h3>
    <p class="hint">Each column is the beam after one step, the best score on top. Walk with the
      arrow keys: left to what a hypothesis grew from, right to what grew from it.</p>
    <div class="scroll"></div>
    <p class="legend">Thick: the way to the answer ★ · dashed and struck through: dropped at the next step, others scored better ·
      ■ round: ended, and outscored · … dotted: still growing when the search stopped.
      The number is the score: log-probability over the length penalty. A long tree scrolls sideways.</p>
    <div class="why" aria-live="polite"><p class="what"></p><p class="reason"></p></div>
    <div class="do">
      <button type="button" class="open">Open it in the steps above</button>
      <button type="button" class="save">Picture (SVG)</button>
    </div>
    <details><summary>Every hypothesis that came to an end, as a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Hypotheses"><table></table></div>
    </details>`;
  const find = (selector) => root.querySelector(selector);
  const view = {
    root, title: find("h3"), box: find(".scroll"), what: find(".what"), reason: find(".reason"), table: find("table"),
  };
  find(".open").onclick = () => view.open();
  find(".save").onclick = () => save(view);
  view.box.onclick = (event) => {
    const cell = event.target.closest("g[role=button]");
    if (cell) choose(view, Number(cell.dataset.column), Number(cell.dataset.slot));
  };
  view.box.onkeydown = (event) => {
    const step = walk(view, event.key);
    if (event.key === "Enter" || event.key === " ") view.open();
    else if (step) choose(view, ...step);
    else return;
    event.preventDefault();
  };
  return view;
}

// Where a key leads from the chosen place, as [column, slot]; null for other keys.
function walk(view, key) {
  const { beams, nodes } = view.data;
  const { column, slot } = view.chosen;
  const bounded = (at, row) => [at, Math.min(row, beams[at].length - 1)];
  if (key === "ArrowUp") return [column, Math.max(slot - 1, 0)];
  if (key === "ArrowDown") return bounded(column, slot + 1);
  if (key === "Home") return bounded(0, slot);
  if (key === "End") return bounded(beams.length - 1, slot);
  if (key === "ArrowLeft") return column === 0 ? [0, slot] : [column - 1, cameFrom(view.data, column, slot)];
  if (key === "ArrowRight") {
    const node = beams[column][slot];
    const next = (beams[column + 1] ?? []).findIndex((one) => one === node || nodes[one].parent === node);
    return next < 0 ? [column, slot] : [column + 1, next];
  }
  return null;
}

function choose(view, column, slot) {
  view.chosen = { column, slot };
  draw(view, true);
}

function draw(view, focus) {
  const { data, chosen } = view;
  view.title.textContent = data.title;
  view.box.replaceChildren(drawTree(data, inks(view.root), chosen));
  if (focus) view.box.querySelector('[tabindex="0"]').focus();
  const node = data.nodes[data.beams[chosen.column][chosen.slot]];
  view.what.replaceChildren(
    element("code", {}, node.text),
    `: step ${node.position + 1}, written with probability ${(100 * Math.exp(node.log_prob)).toFixed(2)} %; ` +
      `log-probability ${decimal(node.total, 4)}, score ${decimal(node.score, 4)}.`,
  );
  view.reason.textContent = node.why;
}

function fillTable(view) {
  const head = element("tr");
  head.append(...["Hypothesis", "Log-probability", "Score", "What became of it"].map((title) => element("th", { scope: "col" }, title)));
  const ends = view.data.nodes.filter((node) => node.kind);
  ends.sort((a, b) => (b.kind === "answer") - (a.kind === "answer") || b.decided - a.decided || b.score - a.score);
  const rows = ends.map((node) => {
    const row = element("tr");
    const name = element("td");
    name.append(element("code", {}, node.text));
    row.append(
      name, element("td", { class: "number" }, decimal(node.total, 4)), element("td", { class: "number" }, decimal(node.score, 4)),
      element("td", { class: "reason" }, node.why),
    );
    return row;
  });
  view.table.replaceChildren(head, ...rows);
}

function save(view) {
  const svg = drawTree(view.data, inks(view.root), view.chosen);
  svg.setAttribute("font-family", "sans-serif");
  download("beam.svg", new XMLSerializer().serializeToString(svg), "image/svg+xml");
}
