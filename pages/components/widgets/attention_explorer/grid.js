// All heads of all kinds: one canvas for each kind, with a button on each head.

const THUMB = 64; // pixels of a head's picture
const GRID = 210; // widest grid in pixels, except if its buttons would become too small to press
const HIGH = 310; // largest height of all three grids together
const GAP = 4; // between pictures, for the border of the chosen one

function buildGrid(view) {
  const grid = element("div", { class: "grid" });
  view.buttons = [];
  view.pictures = [];
  for (const kind of view.sides[0].kinds) grid.append(buildSection(view, kind));
  return grid;
}

function buildSection(view, kind) {
  const [layers, heads] = kind.shape;
  const section = element("section", { "aria-label": kind.title });
  const rows = [...Array(layers).keys(), ...(layers > 1 ? [MEAN] : [])];
  const columns = [...Array(heads).keys(), ...(heads > 1 ? [MEAN] : [])];
  const label = (part) => (part === MEAN ? "mean" : String(part + 1));
  const table = element("div", { class: "heads" });
  table.style.setProperty("--columns", columns.length);
  table.style.setProperty("--rows", rows.length);
  const lines = view.sides[0].kinds.reduce((sum, { shape: [count] }) => sum + count + (count > 1), 0);
  const tile = Math.min(GRID / columns.length, HIGH / lines, 48);
  table.style.setProperty("--tile", `${Math.max(Math.floor(tile), 24)}px`);
  const top = element("div", { class: "over", "aria-hidden": "true" });
  top.append(...columns.map((head) => element("span", {}, label(head))));
  const left = element("div", { class: "beside", "aria-hidden": "true" });
  left.append(...rows.map((layer) => element("span", {}, layer === MEAN ? "mean" : `layer ${layer + 1}`)));
  const field = element("div", { class: "field" });
  const picture = { kind, rows, columns, canvas: element("canvas"), cursor: element("canvas", { class: "cursor" }) };
  view.pictures.push(picture);
  const buttons = rows.map((layer) =>
    columns.map((head) => buildButton(view, { kind: kind.id, layer, head })),
  );
  field.append(picture.canvas, picture.cursor, ...buttons.flat());
  field.onkeydown = (event) => moveFocus(view, event, buttons);
  field.onpointerleave = () => preview(view, null);
  table.append(element("span"), top, left, field);
  section.append(element("h3", {}, kind.title), table);
  return section;
}

function buildButton(view, choice) {
  const name = headName(choice);
  const title = headTitle(view, choice);
  const label = view.labels[name];
  const button = element("button", {
    type: "button",
    "data-head": name,
    "aria-label": title,
    title: label ? `${title}: ${label}` : title,
    tabindex: "-1",
  });
  button.onclick = (event) => (event.shiftKey ? addHead : chooseHead)(view, choice);
  button.ondblclick = () => isolate(view, choice);
  button.onpointerenter = () => preview(view, choice);
  button.onfocus = () => preview(view, choice);
  // Only after the next element has the focus, because redrawing would take the focus from it.
  button.onblur = () =>
    setTimeout(() => view.root.getRootNode().activeElement?.dataset?.head || preview(view, null));
  view.buttons.push([choice, button]);
  return button;
}

// Each kind has one tab stop; arrow keys move between its heads.
function moveFocus(view, event, buttons) {
  const row = buttons.findIndex((line) => line.includes(event.target));
  if (row < 0) return;
  const column = buttons[row].indexOf(event.target);
  if (event.key === "i" || event.key === "I") {
    isolate(view, parseHead(event.target.dataset.head));
  } else if (ARROWS[event.key]) {
    event.preventDefault();
    const next = buttons[row + ARROWS[event.key][0]]?.[column + ARROWS[event.key][1]];
    next?.focus();
  }
}

function paintGrid(view) {
  const difference = view.show === "difference";
  for (const picture of view.pictures) {
    const { kind, rows, columns, canvas, cursor } = picture;
    canvas.width = cursor.width = columns.length * (THUMB + GAP);
    canvas.height = cursor.height = rows.length * (THUMB + GAP);
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const spans = kind.shape.slice(2).map(thumbSpans);
    rows.forEach((layer, i) =>
      columns.forEach((head, j) => {
        const start = (i * (THUMB + GAP) + GAP / 2) * canvas.width + j * (THUMB + GAP) + GAP / 2;
        const map = shownMap(view, view.show, kind.id, layer, head);
        // The other side may have other lengths.
        const own = view.show === "b" ? kindOf(view.sides[1], kind.id) : kind;
        const fit = own === kind ? spans : own.shape.slice(2).map(thumbSpans);
        if (map) paintThumb(view, pixels, start, canvas.width, own, map, fit, difference);
      }),
    );
    context.putImageData(image, 0, 0);
  }
}

// For each pixel of a picture the cells that it covers, as [from, to).
function thumbSpans(cells) {
  return Array.from({ length: THUMB }, (_, i) => [
    Math.floor((i * cells) / THUMB),
    Math.max(Math.ceil(((i + 1) * cells) / THUMB), Math.floor((i * cells) / THUMB) + 1),
  ]);
}

// A pixel shows the strongest cell that it covers, so that a thin diagonal does not vanish.
function paintThumb(view, pixels, start, stride, kind, map, [down, across], difference) {
  const table = tableOf(view, difference);
  const top = topWeight(view, kind, [map]);
  const masked = pixel(MASKED[view.theme]);
  const keys = kind.shape[3];
  for (let y = 0; y < THUMB; y++) {
    const [first, end] = down[y];
    for (let x = 0; x < THUMB; x++) {
      const [left, right] = across[x];
      let strongest = 0;
      for (let row = first; row < end; row++) {
        for (let cell = row * keys + left; cell < row * keys + right; cell++) {
          if (Math.abs(map[cell]) > Math.abs(strongest)) strongest = map[cell];
        }
      }
      pixels[start + y * stride + x] = isMasked(kind, end - 1, left)
        ? masked
        : table[placeIn(strongest, top, difference)];
    }
  }
}

// Mark the heads shown, and set the tab stops; unchanged buttons are not touched, for speed.
function markGrid(view) {
  const shown = [view.choice, ...view.added].map(headName);
  for (const [choice, button] of view.buttons) {
    const place = shown.indexOf(headName(choice));
    const entry = choice.kind === view.choice.kind ? place === 0 : choice.layer === 0 && choice.head === 0;
    const state = `${place} ${entry} ${view.theme}`;
    if (button.state === state) continue;
    button.state = state;
    button.setAttribute("aria-pressed", String(place >= 0));
    button.style.borderColor = place >= 0 ? HEAD_COLOURS[view.theme][place] : "";
    button.tabIndex = entry ? 0 : -1;
  }
}

// Draw the rows and columns of the highlighted tokens across the pictures of all heads.
function lightGrid(view) {
  const lit = litTokens(view);
  for (const { kind, rows, columns, cursor } of view.pictures) {
    if (!view.inSight.has(cursor)) continue;
    const context = cursor.getContext("2d");
    const { width, height } = cursor;
    context.clearRect(0, 0, width, height);
    context.fillStyle = CURSOR;
    const [asks, asked] = SIDES_OF[kind.id];
    const [queries, keys] = kind.shape.slice(2);
    const at = (thumb, place, cells) => thumb * (THUMB + GAP) + GAP / 2 + ((place + 0.5) / cells) * THUMB - 0.5;
    for (const id of lit) {
      const place = Number(id.slice(1));
      if (id[0] === asks && place < queries) rows.forEach((_, i) => context.fillRect(0, at(i, place, queries), width, 1));
      if (id[0] === asked && place < keys) columns.forEach((_, j) => context.fillRect(at(j, place, keys), 0, 1, height));
    }
  }
}
