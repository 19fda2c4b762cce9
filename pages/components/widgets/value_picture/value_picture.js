// Numbers as colours: a row per position, a column per feature or key; a cell under the pointer
// shows its number.

const WIDEST = 520, TALLEST = 260; // pixels that one map may take

export default function ({ data, parentElement }) {
  const view = viewOf(parentElement, "value_picture", (root) => ({ root }));
  const theme = themeOf(view.root);
  if (view.data === data && view.theme === theme) return;
  Object.assign(view, { data, theme });
  const [message, take] = unpack(data);
  for (const one of message.pictures) one.numbers = take(Float32Array, one.shape[0] * one.shape[1]);
  view.told = element("p", { class: "told" });
  const pictures = element("div", { class: "pictures" });
  const most = largest(message.pictures);
  for (const one of message.pictures) {
    pictures.append(one.unit === "bars" ? bars(one) : map(view, one, message, most));
  }
  view.root.replaceChildren(pictures);
  if (message.pictures[0].unit !== "bars") view.root.append(scale(message.pictures[0].unit, most, theme), view.told);
}

// The largest absolute value of all heads, so that their colours can be compared.
function largest(pictures) {
  let most = 0;
  for (const { numbers } of pictures) for (const value of numbers) if (Math.abs(value) > most) most = Math.abs(value);
  return most || 1;
}

const short = (value) => (Number.isNaN(value) ? "hidden" : Math.abs(value) >= 1000 || (value && Math.abs(value) < 0.001) ? value.toExponential(3).replaceAll("-", "−") : decimal(value, 4));

function map(view, one, { current, pictures }, most) {
  const [rows, columns] = one.shape, share = one.unit === "share";
  const table = pixelTable((share ? SCALES : DIVERGING)[view.theme], 255), hidden = pixel(MASKED[view.theme]);
  const room = Math.min(view.root.clientWidth || WIDEST, WIDEST) - 60;
  const across = one.columns.length || pictures.length > 1 ? Math.min(room, Math.max(150, 2 * columns)) : room;
  const side = Math.max(one.columns.length ? 8 : 1, Math.min(across / columns, 18));
  const height = Math.max(9, Math.min(TALLEST / rows, 18));
  const canvas = element("canvas", { role: "img", "aria-label": inWords(one) });
  Object.assign(canvas, { width: columns, height: rows });
  Object.assign(canvas.style, { width: `${side * columns}px`, height: `${height * rows}px` });
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  one.numbers.forEach((value, cell) => {
    const place = share ? value : (value / most + 1) / 2;
    pixels[cell] = Number.isNaN(value) ? hidden : table[Math.round(255 * Math.min(Math.max(place, 0), 1))];
  });
  context.putImageData(image, 0, 0);
  canvas.onpointermove = (event) => tell(view, one, event, canvas);
  canvas.onpointerleave = () => (view.told.textContent = "");
  const figure = element("figure"), grid = element("div", { class: "grid" });
  if (one.title) figure.append(element("figcaption", {}, one.title));
  const left = element("div", { class: "rows" }), top = element("div", { class: "columns" });
  left.style.gridTemplateRows = `repeat(${rows}, ${height}px)`;
  top.style.gridTemplateColumns = `repeat(${columns}, ${side}px)`;
  one.rows.forEach((token, row) => left.append(element("span", row === current ? { class: "current" } : {}, token)));
  one.columns.forEach((token) => top.append(element("span", token.length === 1 ? { class: "upright" } : {}, token)));
  if (one.columns.length) grid.append(top);
  grid.append(left, canvas);
  figure.append(grid);
  return figure;
}

const inWords = ({ title, shape: [rows, columns], columns: keys, unit }) =>
  `${title ? `${title}: ` : ""}${rows} rows of ${columns} ${keys.length ? (unit === "share" ? "weights" : "scores") : "numbers"} as colours`;

function tell(view, one, event, canvas) {
  const box = canvas.getBoundingClientRect(), [rows, columns] = one.shape;
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  if (row < 0 || row >= rows || column < 0 || column >= columns) return;
  const what = one.columns.length ? `${one.rows[row]} → ${one.columns[column]}` : `${one.rows[row]}, number ${column + 1}`;
  view.told.textContent = `${one.title ? `${one.title}: ` : ""}${what}: ${short(one.numbers[row * columns + column])}`;
}

function scale(unit, most, theme) {
  const line = element("div", { class: "scale" }), bar = element("i");
  bar.style.background = gradient((unit === "share" ? SCALES : DIVERGING)[theme]);
  line.append(unit === "share" ? "0" : short(-most), bar, unit === "share" ? "1" : short(most));
  return line;
}

function bars({ numbers, columns }) {
  const table = element("table", { class: "bars" });
  const most = Math.max(...[...numbers].filter(Number.isFinite).map(Math.abs)) || 1;
  columns.forEach((token, i) => {
    const row = element("tr"), bar = element("td", { class: "bar" }), fill = element("i", numbers[i] < 0 ? { class: "below" } : {});
    fill.style.width = `${(100 * Math.min(Math.abs(numbers[i]), most)) / most}%`;
    bar.append(fill);
    row.append(element("th", { scope: "row" }, token), bar, element("td", { class: "number" }, short(numbers[i])));
    table.append(row);
  });
  return table;
}
