// Branches as a table: a row for each, a column for each step, so that shared tokens are aligned.

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".branch_tree");
  const text = JSON.stringify(data);
  themeOf(root);
  if (root.dataset.shown === text) return; // a rerun must not take the focus away
  root.dataset.shown = text;
  draw(root, data, (...act) => setTriggerValue("act", act));
}

function draw(root, data, act) {
  const focused = root.getRootNode().activeElement?.dataset?.focus;
  const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Tree of branches" });
  scroller.append(tableOf(data, act));
  const more = element("p", { class: "more", hidden: "" }, "The table goes on to the right: swipe or scroll it sideways.");
  root.replaceChildren(scroller, more, editorOf(data, act));
  watchEdges(scroller, more);
  // The elements are new: give the focus back to the one that had it.
  const again = focused && [...root.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused);
  (again || null)?.focus();
}

// While columns are hidden on the right, show a line that says so and a shadow at that edge.
function watchEdges(scroller, more) {
  const look = () => {
    const hidden = scroller.scrollWidth - scroller.clientWidth;
    more.hidden = hidden <= 1;
    scroller.classList.toggle("goes-on", hidden - scroller.scrollLeft > 1);
  };
  scroller.onscroll = look;
  new ResizeObserver(look).observe(scroller);
  look();
}

function tableOf({ rows, step }, act) {
  const longest = Math.max(...rows.map((row) => row.tokens.length));
  const table = element("table");
  const head = element("tr");
  for (const title of ["branch", "compare", "log-probability", "answer"]) head.append(element("th", { scope: "col" }, title));
  for (let i = 0; i < longest; i++) head.append(element("th", { scope: "col", class: i === step ? "now" : "" }, i + 1));
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  rows.forEach((row, index) => body.append(rowOf(row, index, longest, step, act)));
  table.append(top, body);
  table.onkeydown = walkRows;
  return table;
}

function rowOf(row, index, longest, step, act) {
  const line = element("tr", { class: row.open ? "open" : "" });
  const head = element("th", { scope: "row" });
  const open = element("button", { type: "button", class: "name", "data-focus": `open ${row.name}`, "aria-pressed": String(row.open) });
  open.style.marginLeft = `${0.9 * row.depth}rem`;
  open.append(element("span", { "aria-hidden": "true" }, row.depth ? "└ " : ""), row.name);
  open.title = row.open ? "shown above" : "show this branch above";
  open.onclick = () => act("open", index, null);
  head.append(open);
  line.append(head);
  const last = element("td");
  if (!row.open) {
    const compare = element("button", { type: "button", "data-focus": `compare ${row.name}`, "aria-pressed": String(row.compared), "aria-label": `Compare ${row.name} with the branch shown` });
    compare.textContent = row.compared ? "✓ beside" : "beside";
    compare.onclick = () => act("compare", index, null);
    last.append(compare);
  } else {
    last.textContent = "shown";
  }
  line.append(
    last,
    element("td", { class: "number" }, decimal(row.log_prob, 4)),
    verdictCell(row.verdict),
  );
  for (let i = 0; i < longest; i++) line.append(tokenCell(row, index, i, step, act));
  return line;
}

function verdictCell(verdict) {
  const cell = element("td", { class: verdict });
  if (verdict) cell.append(verdict === "right" ? "✓" : "✗", element("span", { class: "word" }, ` ${verdict}`));
  return cell;
}

// Tokens that a branch shares with its parent are drawn only in the parent's row; here is a line.
function tokenCell(row, index, i, step, act) {
  const cell = element("td", { class: i === step ? "token now" : "token" });
  if (i >= row.tokens.length) return cell;
  if (row.depth && i < row.parts) {
    cell.classList.add("shared");
    cell.append(element("span", { class: "unseen" }, row.tokens[i]));
    return cell;
  }
  const token = element("span", {}, row.tokens[i]);
  token.style.setProperty("--shade", `${Math.round(45 * row.probabilities[i])}%`);
  if (row.dashed.includes(i)) token.classList.add("forced");
  if (i === row.wrong) token.classList.add("wrong");
  if (row.depth && i === row.parts) cell.classList.add("parts");
  cell.title = `${row.name}, step ${i + 1}: ${row.tokens[i]}, probability ${inPercent(row.probabilities[i])}`;
  cell.append(token);
  cell.onclick = () => act("open", index, i);
  return cell;
}

function walkRows(event) {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const button = event.target.closest("button.name");
  if (!move || !button) return;
  event.preventDefault();
  const all = [...button.closest("tbody").querySelectorAll("button.name")];
  all[all.indexOf(button) + move]?.focus();
}

function editorOf({ rows }, act) {
  const index = rows.findIndex((row) => row.open);
  const row = rows[index];
  const form = element("form", { class: "editor" });
  const label = element("label", {}, "Name of the branch shown ");
  const field = element("input", { type: "text", maxlength: "40", "data-focus": "name" });
  field.value = row.name;
  label.append(field);
  const save = element("button", { type: "submit", "data-focus": "save" }, row.kept ? "Name it" : "Keep it under this name");
  form.append(label, save);
  form.onsubmit = (event) => {
    event.preventDefault();
    act("name", index, field.value);
  };
  if (row.kept && index > 0) {
    const remove = element("button", { type: "button", "data-focus": "remove" }, "Remove it");
    remove.onclick = () => act("remove", index, null);
    form.append(remove);
  }
  return form;
}
