// The lines: all three attentions in one picture, with a line from each token to those it looks at.
// Four columns of tokens: input, input, written, read before; the encoder's lines run between
// the first two, the cross-attention's between the middle ones, the decoder's on the right.

const COLUMNS = [
  { letter: "s", title: "looked at", name: "Source tokens looked at" },
  { letter: "s", title: "input", name: "Source tokens" },
  { letter: "w", title: "written", name: "Tokens written" },
  { letter: "r", title: "read", name: "Tokens read by the decoder" },
];
// The columns that each kind connects: [column of the queries, column of the keys].
const BANDS = { encoder: [1, 0], cross: [2, 1], decoder: [2, 3] };
const FAINT = 0.004; // smallest weight drawn: less is below 1 of 255 shades
const MOST = 1200; // most lines drawn of a head, the strongest; more would be a grey cloud
const LEVELS = 24; // number of shades of a head's lines; each shade is one drawing operation
const STRIP = 7; // width in pixels of the strips beside the tokens

function buildLines(view) {
  const section = element("section", { class: "lines", "aria-label": "Lines between tokens" });
  const whose = view.sides.length > 1 ? ` (${view.sides[0].label})` : "";
  section.append(element("h4", {}, `All three attentions${whose}`));
  view.chips = element("div", { class: "chips" });
  const picture = element("div", { class: "bands" });
  view.linesCanvas = element("canvas", { "aria-hidden": "true" });
  picture.append(view.linesCanvas);
  view.tokenColumns = COLUMNS.map((column) => buildTokens(view, column));
  const titles = ["Encoder", "Cross", "Decoder"];
  view.tokenColumns.forEach((column, i) => {
    picture.append(column.box);
    if (titles[i]) picture.append(element("span", { class: "band" }, titles[i]));
  });
  view.bands = picture;
  view.drawnNote = element("p", { class: "hint" });
  section.append(
    view.chips,
    picture,
    view.drawnNote,
  );
  return section;
}

function buildTokens(view, { letter, title, name }) {
  const tokens = { s: view.sides[0].source, w: view.sides[0].written, r: view.sides[0].read }[letter];
  const box = element("div", { class: "tokens", role: "group", "aria-label": name });
  box.append(element("span", { class: "column-title" }, title));
  const pitch = Math.max(12, Math.min(22, Math.floor(900 / view.longest)));
  box.style.setProperty("--pitch", `${pitch}px`);
  view.pitch = pitch;
  const buttons = tokens.map((token, i) =>
    element(
      "button",
      { type: "button", "data-token": `${letter}${i}`, tabindex: i ? "-1" : "0", title: token, "aria-pressed": "false" },
      token,
    ),
  );
  box.append(...buttons);
  const id = (event) => event.target.dataset?.token;
  box.onpointerover = (event) => point(view, id(event) ? everywhere(id(event)) : null, null);
  box.onpointerleave = () => point(view, null, null);
  // focusin has no `onfocusin` property.
  box.addEventListener("focusin", (event) => {
    if (id(event) && event.target.matches(":focus-visible")) point(view, everywhere(id(event)), null);
  });
  box.addEventListener("focusout", () => point(view, null, null));
  box.onclick = (event) => id(event) && pick(view, id(event), event.shiftKey);
  box.onkeydown = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const place = buttons.indexOf(event.target);
    if (event.key === "Escape") pick(view, null, false);
    if (!step || place < 0 || !buttons[place + step]) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    buttons[place + step].tabIndex = 0;
    buttons[place + step].focus();
  };
  return { letter, box, buttons };
}

// The legend of the heads' colours; a click hides a head's lines, a double click all others.
function buildChips(view) {
  const off = view.off;
  view.off = new Set();
  const all = displayed(view);
  view.off = off;
  view.chips.replaceChildren(
    ...all.map((one) => {
      const name = headName(one);
      const chip = element("button", { type: "button", class: "chip", "aria-pressed": String(!off.has(name)) });
      const square = element("span", { class: "square", "aria-hidden": "true" });
      square.style.background = one.colour;
      const label = view.labels[name];
      const power = view.without.has(name) ? " (switched off)" : "";
      chip.append(square, headTitle(view, one) + power + (label ? `: ${label}` : ""));
      chip.onclick = () => {
        if (off.has(name)) off.delete(name);
        else off.add(name);
        chip.setAttribute("aria-pressed", String(!off.has(name)));
        drawLines(view);
        view.tell();
      };
      chip.ondblclick = () => isolate(view, one);
      return chip;
    }),
  );
}

function markPickedTokens(view) {
  for (const { buttons } of view.tokenColumns) {
    for (const button of buttons) {
      const picked = String(view.picked.has(button.dataset.token));
      if (button.getAttribute("aria-pressed") !== picked) button.setAttribute("aria-pressed", picked);
    }
  }
}

function measureLines(view) {
  if (!view.lines || !view.asLines) return;
  const box = fitCanvas(view.linesCanvas, view.bands);
  view.edges = view.tokenColumns.map(({ box: column, buttons }) => {
    const own = column.getBoundingClientRect();
    const first = buttons[0].getBoundingClientRect();
    return { left: own.left - box.left, right: own.right - box.left, top: first.top - box.top };
  });
}

function drawLines(view) {
  if (!view.lines || !view.asLines) return;
  const context = view.linesCanvas.getContext("2d");
  context.clearRect(0, 0, view.linesCanvas.width, view.linesCanvas.height);
  const heads = view.previewed
    ? [...displayed(view).filter((one) => one.kind !== view.previewed.kind), { ...view.previewed, colour: HEAD_COLOURS[view.theme][0] }]
    : displayed(view);
  const lit = litTokens(view);
  lightTokens(view, context, lit);
  const counts = {};
  view.drawnWeight = view.allWeight = 0;
  for (const head of heads) {
    counts[head.kind] = (counts[head.kind] ?? -1) + 1;
    drawHead(view, context, head, lit, counts[head.kind]);
  }
  if (!lit.size && heads.length) sayDrawn(view);
}

function lightTokens(view, context, lit) {
  context.fillStyle = LIT;
  view.tokenColumns.forEach(({ letter, buttons }, column) => {
    const { left, right, top } = view.edges[column];
    for (const id of lit) {
      const place = Number(id.slice(1));
      if (id[0] !== letter || place >= buttons.length) continue;
      context.fillRect(left, top + place * view.pitch, right - left, view.pitch);
    }
  });
}

function sayDrawn(view) {
  const share = Math.floor((100 * view.drawnWeight) / view.allWeight);
  const says =
    `The lines carry ${share} % of these heads' weight. ` +
    (share < 99 ? "Weaker links are left out; point at a token to see all its links." : "");
  if (view.drawnNote.textContent !== says) view.drawnNote.textContent = says;
}

// The smallest weight of a head that is drawn, so that there are at most MOST lines.
function strongest(map) {
  if (map.length <= MOST) return FAINT;
  const bins = new Uint32Array(1001);
  for (let i = 0; i < map.length; i++) bins[Math.floor(map[i] * 1000)]++;
  let bin = 1000;
  let count = bins[bin];
  while (bin > 4 && count + bins[bin - 1] <= MOST) count += bins[--bin];
  return Math.max(bin / 1000, FAINT);
}

function drawHead(view, context, head, lit, number) {
  const kind = kindOf(view.sides[0], head.kind);
  const map = mapOf(kind, head.layer, head.head);
  const [, , queries, keys] = kind.shape;
  const [from, to] = BANDS[head.kind];
  const [asks, asked] = SIDES_OF[head.kind];
  const leftward = to < from;
  const xFrom = leftward ? view.edges[from].left : view.edges[from].right;
  const xTo = leftward ? view.edges[to].right : view.edges[to].left;
  const y = (column, place) => view.edges[column].top + (place + 0.5) * view.pitch;
  const litQuery = Array.from({ length: queries }, (_, i) => lit.has(`${asks}${i}`));
  const litKey = Array.from({ length: keys }, (_, i) => lit.has(`${asked}${i}`));
  const least = Math.max(view.hide, lit.size ? FAINT : strongest(map));
  const levels = Array.from({ length: LEVELS + 1 }, () => []);
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) {
      if (lit.size && !litQuery[query] && !litKey[key]) continue;
      const weight = map[query * keys + key];
      if (weight >= least) {
        levels[Math.round(weight * LEVELS)].push(query, key);
        view.drawnWeight += weight;
      }
    }
  }
  view.allWeight += queries; // each row sums to 1
  context.strokeStyle = head.colour;
  levels.forEach((ends, level) => {
    if (!ends.length) return;
    const share = Math.max(level, 0.35) / LEVELS;
    context.globalAlpha = 0.06 + 0.94 * share;
    context.lineWidth = 0.6 + 2.4 * share;
    context.beginPath();
    for (let i = 0; i < ends.length; i += 2) {
      context.moveTo(xFrom, y(from, ends[i]));
      context.lineTo(xTo, y(to, ends[i + 1]));
    }
    context.stroke();
  });
  context.globalAlpha = 1;
  if (!lit.size) return;
  // Strips: how much the highlighted tokens look at each key, and each query at them.
  context.fillStyle = head.colour;
  const shift = number * (STRIP + 1);
  const strip = (column, outward, place, share) => {
    context.globalAlpha = Math.min(share, 1);
    const edge = outward ? view.edges[column].right + shift : view.edges[column].left - STRIP - shift;
    context.fillRect(edge, view.edges[column].top + place * view.pitch + 1, STRIP, view.pitch - 2);
  };
  for (let key = 0; key < keys; key++) {
    let sum = 0;
    for (let query = 0; query < queries; query++) if (litQuery[query]) sum += map[query * keys + key];
    if (sum >= least) strip(to, leftward, key, sum);
  }
  for (let query = 0; query < queries; query++) {
    let sum = 0;
    for (let key = 0; key < keys; key++) if (litKey[key]) sum += map[query * keys + key];
    if (sum >= least) strip(from, !leftward, query, sum);
  }
  context.globalAlpha = 1;
}
