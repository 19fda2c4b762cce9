// The map's numbers as a table, for screen readers and for copying.

function buildTable(view) {
  const details = element("details", { class: "table" });
  details.append(element("summary", {}, "This head as a table"));
  const box = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Table of weights" });
  details.append(box);
  details.ontoggle = () => fillTable(view);
  view.table = { details, box };
  return details;
}

// Filled only while it is open: a long input has ten thousand cells.
function fillTable(view) {
  if (!view.table?.details.open) return;
  view.table.box.replaceChildren(...view.maps.map((drawn) => tableOfMap(view, drawn)));
}

function tableOfMap(view, { kind, map, show }) {
  const table = element("table");
  const title = headTitle(view, view.previewed ?? view.choice);
  table.append(element("caption", {}, view.sides.length > 1 ? `${title}: ${sideTitle(view, show)}` : title));
  const head = element("tr");
  head.append(element("th", { scope: "col" }, "looks at →"));
  for (const token of kind.keys) head.append(element("th", { scope: "col" }, token));
  const body = element("tbody");
  const keys = kind.keys.length;
  kind.queries.forEach((token, row) => {
    const line = element("tr");
    line.append(element("th", { scope: "row" }, token));
    for (let column = 0; column < keys; column++) {
      line.append(element("td", {}, isMasked(kind, row, column) ? "–" : map[row * keys + column].toFixed(4)));
    }
    body.append(line);
  });
  const top = element("thead");
  top.append(head);
  table.append(top, body);
  return table;
}
