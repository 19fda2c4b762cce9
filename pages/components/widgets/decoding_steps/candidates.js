// The candidates of a step: from logit to probability, a column for each operation.

const SHOWN = 8;
const COLUMNS = ["probability", "logit", "divided", "topK", "topP"]; // all but the first are the arithmetic
const IN_ORDER = ["logit", "divided", "topK", "topP", "probability"];

function drawCandidates(view) {
  const root = view.tables.getRootNode();
  const focused = view.tables.contains(root.activeElement) ? root.activeElement.dataset.token : undefined;
  view.pointed = null;
  view.tables.replaceChildren(...view.data.sides.map((side, s) => tableOf(view, side, s)));
  // The table is new: give the focus back to the same candidate, else to the one written now.
  if (focused !== undefined) {
    const buttons = [...view.tables.querySelectorAll("button")];
    const pressed = view.tables.querySelector("[aria-pressed=true]");
    (view.justChosen ? pressed : buttons.find((one) => one.dataset.token === focused) ?? pressed)?.focus();
  }
  if (!view.pointed) point(view, 0, writtenColumn(view, view.data.sides[0]));
}

const writtenColumn = (view, side) =>
  view.step < side.ids.length ? columnOf(side, view.step, side.ids[view.step]) : -1;

// The columns of the best candidates, then of the token written and the right token.
function rowsOf(view, side, found) {
  const columns = [...found.order.subarray(0, SHOWN)];
  for (const id of [side.ids[view.step], view.data.wanted[view.step]]) {
    const column = id === undefined ? -1 : columnOf(side, view.step, id);
    if (column >= 0 && !columns.includes(column)) columns.push(column);
  }
  return columns;
}

function tableOf(view, side, s) {
  const box = element("div", { class: s ? "candidates other" : "candidates" });
  if (view.data.sides.length > 1) box.append(element("h4", { class: "ab"[s] }, side.label));
  if (view.step >= side.ids.length) {
    box.append(element("p", { class: "hint" }, "This output has ended."));
    return box;
  }
  const found = stepOf(view, side, view.step);
  const table = element("table");
  table.append(headOf(view, side), bodyOf(view, side, s, found));
  box.append(table);
  const cut = found.kept.length - found.kept.filter(Boolean).length;
  const unsent = view.data.vocabulary.length - side.candidates;
  const more = found.order.length - table.tBodies[0].rows.length;
  box.append(element("p", { class: "hint" }, [
    more > 0 ? `${more} more tokens, less likely.` : "",
    cut ? `${cut} of ${found.kept.length} are cut.` : "",
    unsent > 0 ? `Only the ${side.candidates} highest of ${view.data.vocabulary.length} logits take part.` : "",
  ].filter(Boolean).join(" ")));
  return box;
}

function headOf(view) {
  const { temperature, topK, topP } = view.settings;
  const head = element("thead");
  const row = element("tr");
  const titles = ["token", "probability", "logit", `÷ ${plainNumber(temperature)}`, `top-k ${topK || "all"}`, `top-p ${plainNumber(topP)}`];
  titles.forEach((title, i) => row.append(element("th", { scope: "col", ...(i > 1 ? { class: "sum" } : {}) }, title)));
  head.append(row);
  return head;
}

function bodyOf(view, side, s, found) {
  const body = element("tbody");
  const columns = rowsOf(view, side, found);
  for (const column of columns) body.append(rowOf(view, side, s, found, column));
  return body;
}

function rowOf(view, side, s, found, column) {
  const id = idAt(side, view.step, column);
  const name = nameOf(view, id);
  const written = id === side.ids[view.step];
  const right = id === view.data.wanted[view.step];
  const row = element("tr", { class: [written && "written", !found.kept[column] && "cut"].filter(Boolean).join(" ") });
  const head = element("th", { scope: "row" });
  const cell = head.appendChild(element("div", { class: "candidate" }));
  const label = [name, inPercent(found.probabilities[column]), right ? "the right token" : "", written ? "written here" : s ? "" : "write this instead"];
  if (s === 0) {
    const button = element("button", { type: "button", "data-token": name, "aria-pressed": String(written), "aria-label": label.filter(Boolean).join(", ") });
    button.append(element("span", { class: "name" }, name));
    button.onclick = () => { if (!written && !side.pending) choose(view, id); };
    button.onfocus = () => point(view, s, column);
    button.onkeydown = (event) => stepThroughRows(event, button);
    cell.append(button);
  } else {
    cell.append(element("span", { class: "name" }, name));
  }
  const marks = [written ? "✓ written" : "", right && !written ? "◎ right" : ""].filter(Boolean).join(" ");
  if (marks) cell.append(element("small", { class: right && !written ? "mark right" : "mark" }, marks));
  row.append(head, ...COLUMNS.map((name_) => cellOf(view, s, found, column, name_)));
  row.onpointerenter = () => point(view, s, column);
  row.onpointerleave = () => point(view, 0, focusedColumn(view) ?? writtenColumn(view, view.data.sides[0]));
  row.dataset.column = column;
  return row;
}

function focusedColumn(view) {
  const active = view.tables.getRootNode().activeElement;
  const row = view.tables.contains(active) ? active.closest("tr") : null;
  return row ? Number(row.dataset.column) : null;
}

function cellOf(view, s, found, column, name) {
  const cell = element("td", { class: name === "probability" ? name : `sum ${name}` });
  const mark = (kept) => (kept ? "✓" : "cut");
  if (name === "probability") {
    const bar = element("span", { class: `bar ${"ab"[s]}` });
    bar.style.width = `${100 * found.probabilities[column]}%`;
    const track = element("span", { class: "track", "aria-hidden": "true" });
    track.append(bar);
    cell.append(track, element("span", {}, inPercent(found.probabilities[column])));
  } else {
    cell.textContent = {
      logit: () => decimal(found.logits[column], 2),
      divided: () => decimal(found.divided[column], 2),
      topK: () => `${mark(found.inTopK[column])} ${found.rank[column] + 1}`,
      topP: () => (found.inTopK[column] ? `${mark(found.kept[column])} ${share(found.before[column])}` : "–"),
    }[name]();
  }
  cell.onpointerenter = () => { point(view, s, column, name); };
  return cell;
}

function stepThroughRows(event, button) {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!move) return;
  event.preventDefault();
  const buttons = [...button.closest("tbody").querySelectorAll("button")];
  buttons[buttons.indexOf(button) + move]?.focus();
}

// Highlight a row, by mouse or keyboard, and write out its arithmetic below the table.
function point(view, s, column, part = null) {
  const side = view.data.sides[s];
  if (column < 0 || view.step >= side.ids.length) {
    view.readout.replaceChildren();
    return;
  }
  view.pointed = [s, column];
  const found = stepOf(view, side, view.step);
  const name = `“${nameOf(view, idAt(side, view.step, column))}”`;
  const lines = inWords(found, column, name, view.settings);
  view.readout.replaceChildren(
    ...IN_ORDER.map((key) => element("li", key === part ? { class: "lit" } : {}, lines[key])),
  );
  for (const row of view.tables.querySelectorAll("tbody tr")) row.classList.remove("pointed");
  const table = view.tables.children[s];
  table?.querySelector(`tr[data-column="${column}"]`)?.classList.add("pointed");
}
