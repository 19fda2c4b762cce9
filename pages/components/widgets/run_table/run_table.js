// All runs in a table, a row for each. Rows stay the same elements, so that the focus stays, too.

const COLUMNS = [ // for each column: [key to sort by, title, whether high values come first], ...
  [["name", "Run", false]], [["task", "Task", false]], [["state", "State", false]],
  [["exact", "Exact match", true]], [["loss", "Loss", false]], [["step", "Steps", true]],
  [["time", "Time", true], ["tokens", "tokens", true]], [["size", "Size", true]],
  [["when", "Started", true]],
];

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const view = viewOf(parentElement, "run_table", build);
  themeOf(view.root);
  view.send = setTriggerValue;
  view.keep = setStateValue;
  const text = JSON.stringify(data);
  if (view.text === text) return;
  view.text = text;
  view.data = data;
  // A message sent for an earlier choice must not undo later ones.
  if (data.turn >= view.turn) Object.assign(view, { turn: data.turn, chosen: data.chosen });
  draw(view);
}

function toggle(view, id) {
  const others = view.chosen.filter((one) => one !== id);
  view.chosen = others.length < view.chosen.length ? others : [...others, id].slice(0, view.data.most);
  view.turn += 1;
  view.keep("chosen", { ids: view.chosen, turn: view.turn });
  draw(view);
}

function build(root) {
  const view = { root, rows: new Map(), chosen: [], turn: 0 };
  const table = element("table");
  const head = element("tr");
  const choose = element("th", { scope: "col", class: "choose" });
  choose.append(element("span", { class: "unseen" }, "Compare"));
  head.append(choose);
  view.heads = COLUMNS.map((keys) => {
    const cell = element("th", { scope: "col" });
    for (const [key, title, highFirst] of keys) {
      const button = element("button", { type: "button" });
      if (key === "size") button.title = "Parameters; below, layers of the encoder + decoder × width (d_model)";
      button.append(title, element("span", { class: "arrow", "aria-hidden": "true" }));
      button.onclick = () => {
        const first = highFirst ? `-${key}` : key, second = highFirst ? key : `-${key}`;
        view.send("order", view.data.order === first ? second : first);
      };
      cell.append(button);
    }
    head.append(cell);
    return cell;
  });
  const thead = element("thead");
  thead.append(head);
  view.body = element("tbody");
  table.append(thead, view.body);
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of runs" });
  scroll.append(table);
  root.replaceChildren(scroll);
  return view;
}

function draw(view) {
  const { rows, order, most } = view.data;
  const { root, chosen } = view;
  const focused = root.getRootNode().activeElement;
  COLUMNS.forEach((keys, place) => {
    const head = view.heads[place], falling = order.startsWith("-");
    const sorted = keys.findIndex(([key]) => order.replace("-", "") === key);
    head.setAttribute("aria-sort", sorted < 0 ? "none" : falling ? "descending" : "ascending");
    head.querySelectorAll(".arrow").forEach((arrow, n) => {
      arrow.textContent = n !== sorted ? "" : falling ? " ↓" : " ↑";
    });
  });
  const kept = new Map(rows.map((row) => [row.id, view.rows.get(row.id) ?? makeRow(view, row.id)]));
  view.rows = kept;
  const elements = [...kept.values()];
  if (elements.some((row, place) => view.body.children[place] !== row) || view.body.children.length !== elements.length) {
    view.body.replaceChildren(...elements);
    if (focused && root.contains(focused)) focused.focus({ preventScroll: true }); // moving a row blurs it
  }
  for (const row of rows) fill(kept.get(row.id), row, chosen.includes(row.id), chosen.length >= most);
}

function makeRow(view, id) {
  const row = element("tr");
  const choose = element("td", { class: "choose" });
  const box = element("input", { type: "checkbox" });
  box.onchange = () => toggle(view, id);
  choose.append(box);
  row.append(choose, ...COLUMNS.map(([[key, title]]) => element("td", { class: key, "data-title": title })));
  const name = element("button", { type: "button", class: "link", title: "Watch it on the Train page" });
  name.onclick = () => view.send("watch", id);
  row.querySelector(".name").append(name, element("span", { class: "small" }));
  const state = row.querySelector(".state");
  state.append(element("span", { class: "chip" }), element("span", { class: "small reason" }));
  row.querySelector(".loss").append(svgElement("svg", { class: "curve", viewBox: "0 0 60 16", "aria-hidden": "true" }));
  for (const key of ["exact", "loss", "time", "size"]) {
    row.querySelector(`.${key}`).append(element("span"), element("span", { class: "small" }));
  }
  // A click anywhere in the row chooses it.
  row.onclick = (event) => {
    if (!event.target.closest("button, input") && !box.disabled && !String(getSelection())) box.click();
  };
  return row;
}

// Names that would look equal when cut to a line have a short form that shows the difference.
function fillName(button, { name, short }) {
  if (button.dataset.shown === `${name}\n${short}`) return;
  button.dataset.shown = `${name}\n${short}`;
  button.setAttribute("aria-label", name);
  if (name === short) button.textContent = name;
  else button.replaceChildren(element("span", { class: "whole" }, name), element("span", { class: "cut" }, short));
}

// Draw the loss from the first update to the last, from 0 to its maximum.
function drawCurve(picture, points) {
  const text = JSON.stringify(points);
  if (picture.dataset.shown === text) return;
  picture.dataset.shown = text;
  const last = Math.max(1, ...points.map(([step]) => step)), top = Math.max(...points.map(([, loss]) => loss)) || 1;
  const places = points.map(([step, loss]) => `${1 + 58 * step / last},${15 - 14 * loss / top}`);
  picture.replaceChildren(...(points.length > 1 ? [svgElement("polyline", { points: places.join(" ") })] : []));
}

const WHEN = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

function fill(row, run, chosen, full) {
  const set = (selector, text) => {
    const found = row.querySelector(selector);
    if (found.textContent !== text) found.textContent = text;
  };
  const box = row.querySelector("input");
  box.checked = chosen;
  box.disabled = !chosen && full;
  box.setAttribute("aria-label", `Compare ${run.name}`);
  row.classList.toggle("chosen", chosen);
  const name = row.querySelector(".name button");
  fillName(name, run);
  name.disabled = run.damaged;
  set(".name .small", [
    run.author ? `by ${run.author}` : "", run.private ? "private" : "", run.parent ? `trained on from ${run.parent}` : "", run.notes,
  ].filter(Boolean).join(" · "));
  set(".task", run.task);
  set(".chip", run.state);
  row.querySelector(".chip").dataset.tone = run.tone;
  set(".reason", run.reason);
  row.querySelector(".reason").title = run.reason;
  set(".exact span", run.exact);
  set(".exact .small", run.untrained_exact);
  set(".loss span", run.loss);
  drawCurve(row.querySelector(".curve"), run.curve);
  set(".loss .small", run.untrained_loss);
  set(".step", run.steps);
  set(".time span", run.time);
  set(".time .small", run.tokens);
  set(".size span", run.size);
  set(".size .small", run.shape);
  set(".when", run.created ? WHEN.format(new Date(1000 * run.created)) : "");
  // Text that does not fit into the line is in a tooltip, and below the table for a chosen run.
  for (const cell of row.children) {
    const words = [...cell.querySelectorAll("button, span:not(.whole, .cut)")].map((part) => part.ariaLabel ?? part.textContent).filter(Boolean);
    if (words.length) cell.title = words.join(" · ");
  }
  for (const cell of row.children) cell.classList.toggle("blank", !cell.textContent && !cell.querySelector("input"));
}
