// One head, large: a row a query, a column a key, and below them what each key gets in all.

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
  canvas.style.width = `${side * keys}px`;
  canvas.style.height = `${side * queries}px`;
  const marker = element("div", { class: "marker" });
  const kept = element("div", { class: "marker kept" });
  for (const one of [marker, kept]) one.style.width = one.style.height = `${side}px`;
  const stage = element("div", {
    class: "stage",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "attention map",
    "aria-label":
      `${headTitle(view, choice)}: ${queries} rows by ${keys} columns. Arrow keys move from ` +
      "cell to cell; Enter shows how the weight comes about.",
  });
  stage.append(canvas, marker, kept);
  const columns = buildLabels(view, kind.keys, asked, "columns", side);
  const rows = buildLabels(view, kind.queries, asks, "rows", side);
  const sums = element("canvas", { class: "map sums" });
  sums.style.width = `${side * keys}px`;
  sums.style.height = `${Math.max(side, 10)}px`;
  const sumName = element("span", { class: "sum-name" });
  const frame = element("div", { class: "frame" });
  frame.append(element("div", { class: "corner" }), columns.box, rows.box, stage, sumName, sums);
  const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "The map" });
  scroller.append(frame);
  box.append(scroller);
  const drawn = { show, kind, map, canvas, marker, kept, side, columns, rows, sums, sumName, asks, asked };
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
  const labels = tokens.map((token, i) => {
    const label = element("span", { title: token, "data-token": `${letter}${i}` }, token);
    if (name === "columns") label.classList.toggle("upright", token.length === 1);
    return label;
  });
  box.style[name === "columns" ? "gridTemplateColumns" : "gridTemplateRows"] = `repeat(${tokens.length}, ${side}px)`;
  box.style.fontSize = `${Math.min(12.8, side * 0.95)}px`;
  box.append(...labels);
  const id = (event) => event.target.dataset?.token;
  box.onpointerover = (event) => id(event) && point(view, everywhere(id(event)), null);
  box.onpointerleave = () => point(view, null, null);
  box.onclick = (event) => id(event) && pick(view, id(event), event.shiftKey);
  return { box, labels };
}

// As large as the width allows, but no smaller than an eye can tell apart.
function cellSide(view, kind) {
  const longest = Math.max(...kind.queries.map((token) => token.length));
  const share = view.sides.length > 1 && !view.show && view.room > 560 ? 2 : 1;
  const room = view.room / share - Math.min(8.2 * longest, 130) - 24;
  return Math.max(8, Math.min(view.compact ? 22 : 34, Math.floor(room / kind.keys.length)));
}

// One pixel a cell; CSS enlarges it without smoothing.
function paintMap(view, canvas, kind, map, difference) {
  const [, , queries, keys] = kind.shape;
  canvas.width = keys;
  canvas.height = queries;
  const context = canvas.getContext("2d");
  const image = context.createImageData(keys, queries);
  const pixels = new Uint32Array(image.data.buffer);
  const table = tableOf(view, difference);
  const masked = pixel(MASKED[view.theme]);
  for (let cell = 0; cell < map.length; cell++) {
    const weight = Math.abs(map[cell]) < view.hide ? 0 : map[cell];
    pixels[cell] = isMasked(kind, Math.floor(cell / keys), cell % keys) ? masked : table[placeIn(weight, difference)];
  }
  context.putImageData(image, 0, 0);
}

function listenToMap(view, stage, drawn) {
  const [, , queries, keys] = drawn.kind.shape;
  const cellAt = (event) => {
    const box = drawn.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * keys);
    const row = Math.floor(((event.clientY - box.top) / box.height) * queries);
    return row >= 0 && row < queries && column >= 0 && column < keys ? [row, column] : null;
  };
  const show = (cell) =>
    point(view, cell && [`${drawn.asks}${cell[0]}`, `${drawn.asked}${cell[1]}`].flatMap(everywhere), cell);
  // Who comes straight from a head that was previewed still tells the map of that one, which is gone.
  stage.onpointermove = (event) => stage.isConnected && show(cellAt(event));
  stage.onpointerleave = () => show(null);
  stage.onclick = (event) => keepCell(view, cellAt(event));
  stage.onkeydown = (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (event.key === "Enter" && view.pointedCell) keepCell(view, view.pointedCell);
    else if (event.key === "Escape") keepCell(view, null);
    else if (!move) return;
    event.preventDefault();
    if (!move) return;
    const [row, column] = view.pointedCell ?? [-move[0], -move[1]];
    show([
      Math.min(Math.max(row + move[0], 0), queries - 1),
      Math.min(Math.max(column + move[1], 0), keys - 1),
    ]);
  };
}

function lightMap(view, drawn) {
  const lit = litTokens(view);
  for (const { labels } of [drawn.rows, drawn.columns]) {
    for (const label of labels) {
      label.classList.toggle("lit", lit.has(label.dataset.token));
      label.classList.toggle("picked", view.picked.has(label.dataset.token));
    }
  }
  const [, , queries, keys] = drawn.kind.shape;
  for (const [marker, cell] of [[drawn.marker, view.pointedCell], [drawn.kept, view.cell]]) {
    const shown = cell && cell[0] < queries && cell[1] < keys;
    marker.style.visibility = shown ? "visible" : "hidden"; // costs no layout
    if (cell) marker.style.transform = `translate(${cell[1] * drawn.side}px, ${cell[0] * drawn.side}px)`;
  }
  paintSums(view, drawn);
}

// Below each column: the sum over the picked rows, or the mean over all rows.
function paintSums(view, drawn) {
  const rows = pickedRows(view, drawn);
  const name = rows.join();
  if (drawn.sumsOf === name) return;
  drawn.sumsOf = name;
  drawn.total = sumRows(drawn, rows);
  drawn.sumName.textContent = rows.length ? `sum of ${rows.length}` : "mean";
  const keys = drawn.kind.shape[3];
  drawn.sums.width = keys;
  drawn.sums.height = 1;
  const context = drawn.sums.getContext("2d");
  const image = context.createImageData(keys, 1);
  const pixels = new Uint32Array(image.data.buffer);
  const difference = drawn.show === "difference";
  const table = tableOf(view, difference);
  drawn.total.forEach((value, i) => (pixels[i] = table[placeIn(value / (rows.length || 1), difference)]));
  context.putImageData(image, 0, 0);
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

// What the pointer is on, in words and exact numbers.
function readOut(view, drawn) {
  const { kind, map } = drawn;
  const keys = kind.shape[3];
  const cell = view.pointedCell ?? view.cell;
  if (cell && cell[0] < kind.shape[2] && cell[1] < keys) {
    const [row, column] = cell;
    const value = isMasked(kind, row, column) ? "masked, exactly 0" : map[row * keys + column].toFixed(6);
    return (
      `“${kind.queries[row]}” (row ${row + 1}) looks at “${kind.keys[column]}” (column ${column + 1}): ${value}`
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

// How much of the weight the threshold hides, over the whole map.
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
