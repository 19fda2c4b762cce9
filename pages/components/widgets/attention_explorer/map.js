// One head, large: a row per query, a column per key, and below them each column's mean or sum.

// Largest height of a map in pixels: what the first screen has left for it.
const highest = () => Math.max(320, Math.min(560, innerHeight - 480));
const TALL = 400; // pixels: the labels of a taller map may be off screen

function buildMap(view, show) {
  const choice = view.previewed ?? view.choice;
  const first = kindOf(view.sides[0], choice.kind);
  const kind = show === "b" ? kindOf(view.sides[1], choice.kind) : first;
  const map = kind && shownMap(view, show, choice.kind, choice.layer, choice.head);
  const box = element("div", { class: "one" });
  if (view.sides.length > 1) box.append(element("h4", {}, sideTitle(view, show)));
  if (!map) {
    box.append(element("p", {}, "This model has no such head."));
    return box;
  }
  const [, , queries, keys] = kind.shape;
  const [asks, asked] = SIDES_OF[kind.id];
  const side = cellSide(view, kind);
  const canvas = element("canvas", { class: "map" });
  paintMap(view, canvas, kind, map, show === "difference");
  const stage = element("div", {
    class: "stage",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "attention map",
    "aria-label":
      `${headTitle(view, choice)}: ${queries} rows by ${keys} columns. Arrow keys move from ` +
      "cell to cell, Home and End along the row, with Control to the corners; Enter shows how the " +
      "weight comes about.",
  });
  stage.append(canvas);
  const columns = buildLabels(view, kind.keys, asked, "columns", side);
  const rows = buildLabels(view, kind.queries, asks, "rows", side);
  sizeMap(canvas, columns.box, rows.box, kind, side);
  const sums = element("canvas", { class: "map sums" });
  sums.style.width = `${side * keys}px`;
  sums.style.height = `${Math.max(side, 10)}px`;
  const sumName = element("span", { class: "sum-name" });
  const frame = element("div", { class: "frame" });
  const cursor = element("canvas", { class: "cursor", "aria-hidden": "true" });
  frame.append(cursor, element("div", { class: "corner" }), columns.box, rows.box, stage, sumName, sums);
  const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "The map" });
  scroller.append(frame);
  const [down, across] = AXES[kind.id];
  const body = element("div", { class: "body" });
  body.append(element("span", { class: "axis down" }, `← ${down}`), scroller);
  box.append(element("span", { class: "axis" }, `${across} →`), body);
  const drawn = { show, kind, map, canvas, stage, cursor, scroller, side, columns, rows, sums, sumName, asks, asked };
  view.maps.push(drawn);
  listenToMap(view, stage, drawn);
  return box;
}

function sideTitle(view, show) {
  if (show === "difference") return `${view.sides[0].label} minus ${view.sides[1].label}`;
  return view.sides[show === "b" ? 1 : 0].label;
}

function buildLabels(view, tokens, letter, name, side) {
  const box = element("div", { class: name });
  const labels = tokens.map((token, i) => tokenLabel(token, { "data-token": `${letter}${i}` }));
  box.style.fontSize = `${Math.min(12.8, side * 0.95)}px`;
  box.append(...labels);
  const id = (event) => event.target.dataset?.token;
  box.onpointerover = (event) => id(event) && point(view, everywhere(id(event)), null);
  box.onpointerleave = () => point(view, null, null);
  box.onclick = (event) => id(event) && pick(view, id(event), event.shiftKey);
  return { box, labels };
}

// The side of a cell: as large as the width allows, but no smaller than the eye can resolve. Two
// maps that would be too small beside each other stand below each other.
function cellSide(view, kind) {
  const longest = Math.max(...kind.queries.map((token) => token.length));
  const labels = Math.min(Math.max(8.2 * longest, 60), 130);
  const fits = (maps) => Math.floor((view.room / maps - labels - 44) / kind.keys.length);
  const two = view.sides.length > 1 && !view.show && fits(2) >= 14;
  // The map must also fit into the first screen, except for a long input.
  const high = Math.max(Math.floor(highest() / kind.queries.length), view.longest > LONG ? 8 : 13);
  return Math.max(8, Math.min(48, fits(two ? 2 : 1), high));
}

function paintMap(view, canvas, kind, map, difference) {
  const table = tableOf(view, difference);
  paintCells(canvas, kind, view.theme, (cell) =>
    table[placeIn(Math.abs(map[cell]) < view.hide ? 0 : map[cell], view.top, difference)]);
}

function listenToMap(view, stage, drawn) {
  const [, , queries, keys] = drawn.kind.shape;
  const under = (event) => cellAt(event, drawn.canvas, drawn.kind);
  const show = (cell) =>
    point(view, cell && [`${drawn.asks}${cell[0]}`, `${drawn.asked}${cell[1]}`].flatMap(everywhere), cell);
  // The last pointer event while the pointer is on the map, because scrolling moves the map.
  let pointer = null;
  const scrolled = () => {
    if (!stage.isConnected) document.removeEventListener("scroll", scrolled, true);
    else if (pointer) show(under(pointer));
    else paintCursor(view, drawn); // the row labels stay visible
  };
  stage.onpointermove = (event) => {
    // Right after the preview of another head, the event can belong to a map that was removed.
    if (!stage.isConnected) return;
    if (!pointer) document.addEventListener("scroll", scrolled, true);
    pointer = event;
    show(under(event));
  };
  stage.onpointerleave = () => {
    document.removeEventListener("scroll", scrolled, true);
    pointer = null;
    show(null);
  };
  stage.onblur = () => stage.isConnected && show(null);
  drawn.scroller.onscroll = scrolled;
  stage.onclick = (event) => keepCell(view, under(event));
  stage.onkeydown = (event) => {
    const moves = {
      ...ARROWS,
      Home: [event.ctrlKey ? -queries : 0, -keys],
      End: [event.ctrlKey ? queries : 0, keys],
    };
    const move = moves[event.key];
    if (event.key === "Enter" && view.pointedCell) keepCell(view, view.pointedCell);
    else if (event.key === "Escape") {
      show(null);
      keepCell(view, null);
    } else if (!move) return;
    event.preventDefault();
    if (!move) return;
    // Without a cell, an arrow key goes to the first cell.
    const from = event.key.startsWith("Arrow") ? [-move[0], -move[1]] : [0, 0];
    const cell = movedCell(view.pointedCell ?? view.cell ?? from, move, drawn.kind);
    show(cell);
    bringIntoSight(drawn, cell[1]);
  };
}

// Scroll a map that is too wide, so that the column is visible beside the row labels.
function bringIntoSight({ scroller, stage, side }, column) {
  const room = scroller.clientWidth - stage.offsetLeft - side;
  scroller.scrollLeft = Math.min(Math.max(scroller.scrollLeft, column * side - room), column * side);
}

// Mark the picked tokens beside the map, and redraw the sums below it.
function markPicked(view, drawn) {
  for (const { labels } of [drawn.rows, drawn.columns]) {
    for (const label of labels) label.classList.toggle("picked", view.picked.has(label.dataset.token));
  }
  paintSums(view, drawn);
}

// Draw the cell pointed at, the cell kept by a click, and the highlighted labels. On a separate
// canvas: with elements, the browser would repaint, or even lay out, the page at every movement.
function paintCursor(view, drawn) {
  const { cursor, side, stage, scroller } = drawn;
  const lit = litTokens(view);
  if (view.asLines || (!lit.size && !view.cell && !drawn.fitted)) return; // nothing to draw, so no layout is measured
  const [left, top] = [stage.offsetLeft, stage.offsetTop];
  const fitted = `${left} ${top} ${devicePixelRatio}`;
  if (drawn.fitted !== fitted) {
    fitCanvas(cursor, cursor.parentElement); // the canvas is new, or labels or screen have changed
    drawn.fitted = fitted;
  }
  const [, , queries, keys] = drawn.kind.shape;
  const context = cursor.getContext("2d");
  context.clearRect(0, 0, cursor.width, cursor.height);
  context.fillStyle = LIT;
  for (const id of lit) {
    const place = Number(id.slice(1));
    if (id[0] === drawn.asks && place < queries) context.fillRect(scroller.scrollLeft, top + place * side, left, side);
    if (id[0] === drawn.asked && place < keys) context.fillRect(left + place * side, 0, side, top);
  }
  const ring = (cell, colour, width, grown) => {
    if (!within(drawn, cell)) return;
    context.strokeStyle = colour;
    context.lineWidth = width;
    const inset = width / 2 - grown;
    context.strokeRect(left + cell[1] * side + inset, top + cell[0] * side + inset, side - 2 * inset, side - 2 * inset);
  };
  ring(view.cell, "#fff", 1, 1);
  ring(view.cell, KEPT, 2, 0);
  ring(view.pointedCell, CURSOR, 2, 0);
  if (within(drawn, view.pointedCell)) writeValue(view, drawn, context, left, top);
}

// Write the weight beside the cell pointed at: with a long input, the text below the map is off
// screen, and the labels may be, too.
function writeValue(view, drawn, context, left, top) {
  const { kind, side, cursor, scroller } = drawn;
  const [row, column] = view.pointedCell;
  const names = side * kind.shape[2] > TALL ? `${short(kind.queries[row])} → ${short(kind.keys[column])}  ` : "";
  const words = names + valueAt(drawn, row, column).split(",")[0];
  const { font, ground, ink } = view.tag;
  context.font = font;
  const width = context.measureText(words).width + 10;
  const [begin, end] = [left + column * side - 4, left + (column + 1) * side + 4];
  const room = Math.min(cursor.offsetWidth, scroller.scrollLeft + scroller.clientWidth);
  // At the height of its row, so that it hides neither labels nor the next cell of a diagonal.
  let [x, y] = [end, top + Math.max((row + 0.5) * side - 10, 0)];
  if (x + width > room) x = begin - width;
  if (x < scroller.scrollLeft) {
    // No room on either side: above the cell, or below it in the first rows.
    x = Math.max(room - width, scroller.scrollLeft);
    y = top + (row * side > 24 ? row * side - 24 : (row + 1) * side + 4);
  }
  context.fillStyle = ground;
  context.fillRect(x, y, width, 20);
  context.strokeStyle = CURSOR;
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, width - 1, 19);
  context.fillStyle = ink;
  context.fillText(words, x + 5, y + 14);
}

const short = (token) => (token.length > 12 ? `${token.slice(0, 11)}…` : token);

const within = ({ kind }, cell) => Boolean(cell) && cell[0] < kind.shape[2] && cell[1] < kind.shape[3];

const valueAt = ({ kind, map }, row, column) =>
  isMasked(kind, row, column) ? "masked, exactly 0" : map[row * kind.shape[3] + column].toFixed(6);

// Below each column: the sum over the picked rows, or the mean over all rows.
function paintSums(view, drawn) {
  const rows = pickedRows(view, drawn);
  const name = rows.join();
  if (drawn.sumsOf === name) return;
  drawn.sumsOf = name;
  drawn.total = sumRows(drawn, rows);
  drawn.sumName.textContent = rows.length ? `sum of ${rows.length}` : "mean";
  const difference = drawn.show === "difference";
  const table = tableOf(view, difference);
  paintCells(drawn.sums, { shape: [1, 1, 1, drawn.kind.shape[3]] }, view.theme, (key) =>
    table[placeIn(drawn.total[key] / (rows.length || 1), view.top, difference)]);
}

const pickedRows = (view, drawn) =>
  [...view.picked]
    .filter((id) => id[0] === drawn.asks && Number(id.slice(1)) < drawn.kind.shape[2])
    .map((id) => Number(id.slice(1)));

function sumRows(drawn, rows) {
  const [, , queries, keys] = drawn.kind.shape;
  const all = rows.length ? rows : [...Array(queries).keys()];
  const total = new Float64Array(keys);
  for (const row of all) for (let i = 0; i < keys; i++) total[i] += drawn.map[row * keys + i];
  return rows.length ? total : total.map((value) => value / queries);
}

// What is under the pointer, in words and exact numbers.
function readOut(view, drawn) {
  const { kind } = drawn;
  const cell = view.pointedCell ?? view.cell;
  if (within(drawn, cell)) {
    const [row, column] = cell;
    return (
      `“${kind.queries[row]}” (row ${row + 1}) looks at “${kind.keys[column]}” (column ${column + 1}): ` +
      valueAt(drawn, row, column)
    );
  }
  const rows = pickedRows(view, drawn);
  if (rows.length) {
    const most = drawn.total.indexOf(Math.max(...drawn.total));
    return (
      `Sum over ${rows.length} picked ${rows.length === 1 ? "row" : "rows"}: most on “${kind.keys[most]}” ` +
      `(column ${most + 1}): ${drawn.total[most].toFixed(6)}`
    );
  }
  return "Point at a cell, or use the arrow keys, to read its weight.";
}

// The number of links that the threshold hides, and their share of the map's total weight.
function hiddenWeight(view, drawn) {
  let hidden = 0;
  let links = 0;
  let total = 0;
  for (let cell = 0; cell < drawn.map.length; cell++) {
    const weight = Math.abs(drawn.map[cell]);
    total += weight;
    if (weight < view.hide && weight > 0) {
      hidden += weight;
      links += 1;
    }
  }
  return { links, share: total ? hidden / total : 0 };
}
