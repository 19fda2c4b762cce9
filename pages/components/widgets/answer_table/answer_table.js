// Inputs and outputs, a row for each. A click anywhere in a row, or its button, opens it.

export default function ({ data, parentElement, setTriggerValue }) {
  const view = viewOf(parentElement, "answer_table", (root) => ({ root }));
  const text = JSON.stringify(data);
  if (view.text === text) return;
  view.text = text;
  draw(view.root, data, (id) => {
    setTriggerValue("open", id);
    // Scroll to the top, where the page shows the opened row's steps.
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.querySelector("[data-testid=stMain]")?.scrollTo({ top: 0, behavior: still ? "auto" : "smooth" });
  });
}

function draw(root, data, open) {
  const head = element("tr");
  head.append(...data.columns.map((title) => element("th", { scope: "col" }, title)));
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  body.append(...data.rows.map((row) => rowOf(row, data.columns, open)));
  const table = element("table");
  table.append(thead, body);
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": data.label });
  scroll.append(table);
  root.replaceChildren(scroll);
}

function rowOf(row, columns, open) {
  const made = element("tr");
  row.cells.forEach((cell, place) => {
    const td = element("td", { "data-title": columns[place] });
    if (place === 0) {
      const text = row.problem ? "span" : "button";
      const first = element(text, text === "button" ? { type: "button" } : {}, cell || "(nothing)");
      if (text === "button") {
        first.setAttribute("aria-label", `Open ${cell} in the steps`);
        first.onclick = () => open(row.id);
      }
      td.append(first);
    } else if (typeof cell === "string") {
      td.append(element("span", {}, cell));
      if (!cell) td.classList.add("blank");
    } else {
      td.append(tokensOf(cell));
    }
    made.append(td);
  });
  if (row.problem) {
    const td = element("td", { colspan: columns.length - row.cells.length });
    td.append(element("span", { class: "problem" }, row.problem));
    made.append(td);
  } else {
    made.onclick = (event) => {
      if (!event.target.closest("button") && !String(getSelection())) open(row.id);
    };
    made.classList.add("opens");
  }
  return made;
}

function tokensOf({ tokens, marked, tone }) {
  const line = element("span", { class: "tokens" });
  tokens.forEach((token, place) => {
    if (place === marked) {
      const mark = element("mark", { class: tone }, token);
      mark.append(element("span", { class: "unseen" }, tone === "wrong" ? " (first wrong token)" : " (expected here)"));
      line.append(mark);
    } else {
      line.append(element("span", {}, token));
    }
  });
  return line;
}
