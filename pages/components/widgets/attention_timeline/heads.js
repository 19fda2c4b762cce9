// The maps of all heads at one moment, and the chosen head large.

const weightsOf = (kind, layer, head, moment) => {
  const [, heads, queries, keys] = kind.shape;
  const from = moment * kind.size + (layer * heads + head) * queries * keys;
  return kind.weights.subarray(from, from + queries * keys);
};

function buildGrid(view) {
  const { message } = view;
  view.maps = [];
  view.grid.replaceChildren();
  const kinds = message.kinds.filter((kind) => view.shown === "all" || view.shown === kind.id);
  view.grid.style.setProperty("--side", view.long ? "3.2rem" : "4.6rem");
  for (const kind of kinds) {
    const section = element("section", { "aria-label": kind.title });
    section.append(element("h4", {}, kind.title));
    for (let layer = 0; layer < kind.shape[0]; layer++) {
      const row = element("div", { class: "layer" });
      row.style.setProperty("--heads", kind.shape[1]);
      if (kind.shape[0] > 1) row.append(element("span", { class: "name" }, `Layer ${layer + 1}`));
      else row.classList.add("only");
      for (let head = 0; head < kind.shape[1]; head++) row.append(buildHead(view, kind, layer, head));
      section.append(row);
    }
    view.grid.append(section);
  }
  // Below long answers and several kinds, the help would be too low, so it goes below both columns.
  const low = view.long && kinds.length > 1;
  (low ? view.grid.parentElement.parentElement : view.grid).append(view.help);
}

function buildHead(view, kind, layer, head) {
  const name = `${kind.title}, layer ${layer + 1}, head ${head + 1}`;
  const button = element("button", { type: "button", class: "head", "aria-label": name, title: name });
  const canvas = button.appendChild(element("canvas"));
  view.maps.push({ canvas, kind, layer, head, button });
  button.onclick = () => {
    view.head = { kind: kind.id, layer, head };
    view.cell = null;
    buildLarge(view);
    paintAll(view);
  };
  return button;
}

function paint(view, map) {
  const weights = weightsOf(map.kind, map.layer, map.head, view.index);
  paintCells(map.canvas, map.kind, view.theme, (cell) => view.palette[weights[cell]]);
}

function buildLarge(view) {
  const { kind: id, layer, head } = view.head;
  const kind = view.message.kinds.find((one) => one.id === id);
  const [, , queries, keys] = kind.shape;
  const title = `${kind.title}, layer ${layer + 1}, head ${head + 1}`;
  const canvas = element("canvas", { class: "map" });
  const stage = element("div", {
    class: "stage", tabindex: "0", role: "application", "aria-roledescription": "attention map",
    "aria-label": `${title}: ${queries} rows by ${keys} columns. Arrow keys move from cell to cell.`,
  });
  const marker = element("div", { class: "marker" });
  stage.append(canvas, marker);
  const columns = element("div", { class: "columns" }), rows = element("div", { class: "rows" });
  columns.append(...kind.keys.map((token) => tokenLabel(token)));
  rows.append(...kind.queries.map((token) => tokenLabel(token)));
  const frame = element("div", { class: "frame" }), scroller = element("div", { class: "scroller" });
  frame.append(element("div"), columns, rows, stage);
  scroller.append(frame);
  const readout = element("p", { class: "readout", "aria-live": view.timer ? "off" : "polite" });
  const spark = svgElement("svg", { class: "spark", viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, "aria-hidden": "true" });
  const line = spark.appendChild(svgElement("polyline", { class: "cell" }));
  const dot = spark.appendChild(svgElement("circle", { class: "cell", r: 3.5 }));
  const foot = element("div", { class: "foot" });
  foot.append(readout, spark);
  const key = element("div", { class: "key" }), bar = element("div", { class: "bar" });
  bar.style.background = gradient(SCALES[view.theme]);
  key.append("weight 0", bar, "1");
  if (kind.causal) key.append("Grey: masked, a token cannot look at later ones.");
  const about = element("div", { class: "about" });
  about.append(element("h4", {}, title), key);
  view.large.replaceChildren(about, axes(kind), scroller, foot);
  view.stage = { layer, head, kind, canvas, columns, rows, marker, readout, spark, line, dot };
  followCells(view, stage);
  sizeLarge(view);
}

function axes(kind) {
  const asks = { encoder: "input token", decoder: "token being written", cross: "token being written" };
  const looked = { encoder: "input token it looks at", decoder: "token read before", cross: "input token it looks at" };
  return element("p", { class: "axes" }, `Rows: ${asks[kind.id]}. Columns: ${looked[kind.id]}.`);
}

function sizeLarge(view) {
  const { canvas, columns, rows, marker, kind } = view.stage;
  const [, , queries, keys] = kind.shape;
  const room = view.large.clientWidth - rows.offsetWidth - 12;
  const side = Math.max(12, Math.min(30, Math.floor(room / keys), Math.floor(260 / queries)));
  columns.parentElement.classList.toggle("small", side < 16);
  view.stage.side = side;
  sizeMap(canvas, columns, rows, kind, side);
  marker.style.width = marker.style.height = `${side}px`;
}

function followCells(view, stage) {
  const { canvas, kind } = view.stage;
  const show = (cell) => { view.cell = cell; tellCell(view); };
  stage.onpointermove = (event) => {
    const cell = cellAt(event, canvas, kind);
    if (cell) show(cell);
  };
  stage.onkeydown = (event) => {
    const by = ARROWS[event.key];
    if (!by) return;
    event.preventDefault();
    show(movedCell(view.cell ?? [-by[0], -by[1]], by, kind));
  };
}

// The cell stays chosen while the moment changes, so that the user can follow its weight.
function tellCell(view) {
  const { marker, readout, spark, line, dot, kind, side, layer, head } = view.stage;
  marker.hidden = !view.cell;
  spark.toggleAttribute("hidden", !view.cell);
  if (!view.cell) {
    readout.textContent = "Point at a cell, or use the arrow keys, to follow its weight through training.";
    return;
  }
  const [row, column] = view.cell;
  marker.style.transform = `translate(${column * side}px, ${row * side}px)`;
  const cell = row * kind.shape[3] + column;
  const at = (moment) => weightsOf(kind, layer, head, moment)[cell] / 255;
  const { steps } = view.message, last = steps.length - 1;
  line.setAttribute("points",
    steps.map((step, i) => view.spark(step, at(i)).map((place) => place.toFixed(1)).join(",")).join(" "));
  const [cx, cy] = view.spark(steps[view.index], at(view.index));
  dot.setAttribute("cx", cx);
  dot.setAttribute("cy", cy);
  readout.textContent = `“${kind.queries[row]}” (row ${row + 1}) looks at “${kind.keys[column]}” (column ${column + 1}): ` +
    (isMasked(kind, row, column) ? "masked, exactly 0" :
      `${at(view.index).toFixed(2)} now, ${at(0).toFixed(2)} at first, ${at(last).toFixed(2)} at last.`);
}

function paintAll(view) {
  const { kind, layer, head } = view.head;
  for (const map of view.maps) {
    paint(view, map);
    const pressed = map.kind.id === kind && map.layer === layer && map.head === head;
    map.button.setAttribute("aria-pressed", String(pressed));
  }
  paint(view, view.stage);
  tellCell(view);
}
