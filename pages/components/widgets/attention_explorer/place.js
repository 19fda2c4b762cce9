// The explorer's state: chosen head, added heads, heads switched off, cell, tokens. It is exchanged
// with the page in the format of the address: head=cross.0.1&with=cross.0.0&cell=2.3

const FIELDS = ["head", "view", "with", "alone", "off", "cell", "hide", "tokens", "show", "shade", "without"];

function parseHead(name) {
  const [kind, layer, head] = (name || "").split(".");
  const part = (text) => (text === MEAN ? MEAN : /^\d{1,4}$/.test(text ?? "") ? Number(text) : NaN);
  return { kind, layer: part(layer), head: part(head) };
}

const headName = ({ kind, layer, head }) => `${kind}.${layer}.${head}`;

function headTitle(view, { kind, layer, head }) {
  const title = kindOf(view.sides[0], kind).title;
  if (layer === MEAN && head === MEAN) return `${title}, mean over all heads`;
  if (layer === MEAN) return `${title}, head ${head + 1}, mean over the layers`;
  if (head === MEAN) return `${title}, layer ${layer + 1}, mean over the heads`;
  return `${title}, layer ${layer + 1}, head ${head + 1}`;
}

function exists(view, choice) {
  const kind = kindOf(view.sides[0], choice.kind);
  const within = (part, size) => part === MEAN || (Number.isInteger(part) && part < size);
  return Boolean(kind) && within(choice.layer, kind.shape[0]) && within(choice.head, kind.shape[1]);
}

// The head shown at first, as on all pages: cross-attention, last layer, first (analysis/heads.py).
function firstChoice(view) {
  const kind = view.sides[0].kinds.at(-1);
  return { kind: kind.id, layer: kind.shape[0] - 1, head: 0 };
}

function readPlace(view, text) {
  const given = new URLSearchParams(text);
  const choice = parseHead(given.get("head"));
  const added = (given.get("with") ?? "").split(" ").filter(Boolean).map(parseHead);
  const [row, column] = (given.get("cell") ?? "").split(".").map((part) => parseInt(part, 10));
  const hide = parseFloat(given.get("hide"));
  view.choice = exists(view, choice) ? choice : firstChoice(view);
  view.added = added.filter((one) => exists(view, one)).slice(0, HEAD_COLOURS.light.length - 1);
  view.asLines = given.get("view") === "lines";
  view.isolated = given.get("alone") === "1";
  view.off = new Set((given.get("off") ?? "").split(" ").filter((name) => exists(view, parseHead(name))));
  view.cell = row >= 0 && column >= 0 ? [row, column] : null;
  view.hide = hide > 0 && hide <= 1 ? hide : 0;
  view.picked = new Set((given.get("tokens") ?? "").split(" ").filter((id) => /^[swr]\d{1,4}$/.test(id)));
  view.show = ["b", "difference"].includes(given.get("show")) && view.sides.length > 1 ? given.get("show") : "";
  if (view.show === "difference" && view.noDifference) view.show = "";
  view.shade = ["whole", "largest"].includes(given.get("shade")) ? given.get("shade") : "";
  view.without = new Set((given.get("without") ?? "").split(" ").filter((name) => isHead(parseHead(name)) && exists(view, parseHead(name))));
}

const isHead = ({ layer, head }) => layer !== MEAN && head !== MEAN;

function writePlace(view) {
  const all = {
    head: headName(view.choice) === headName(firstChoice(view)) ? "" : headName(view.choice), // so that another model shows its own first head
    view: view.asLines ? "lines" : "",
    with: view.added.map(headName).join(" "),
    alone: view.isolated ? "1" : "",
    off: [...view.off].join(" "),
    cell: view.cell ? view.cell.join(".") : "",
    hide: view.hide ? String(view.hide) : "",
    tokens: [...view.picked].join(" "),
    show: view.show,
    shade: view.shade,
    without: [...view.without].join(" "),
  };
  return new URLSearchParams(FIELDS.filter((name) => all[name]).map((name) => [name, all[name]])).toString();
}

// Whether each map is shaded up to its largest weight: the user's choice, else for long inputs.
const isStretched = (view) => (view.shade ? view.shade === "largest" : view.longest > LONG);

// The heads shown as lines, with colours; a kind without any shows its last layer's mean in grey.
function displayed(view) {
  const chosen = [view.choice, ...view.added].map((one, i) => ({
    ...one,
    colour: HEAD_COLOURS[view.theme][i],
  }));
  if (view.isolated) return chosen.slice(0, 1);
  const missing = view.sides[0].kinds.filter((kind) => !chosen.some((one) => one.kind === kind.id));
  const means = missing.map((kind) => ({
    kind: kind.id,
    layer: kind.shape[0] - 1,
    head: MEAN,
    colour: MEAN_COLOUR[view.theme],
  }));
  return [...chosen, ...means].filter((one) => !view.off.has(headName(one)));
}

// A token's ids in all columns: the token written at position 3 is read at position 4.
function everywhere(id) {
  const place = Number(id.slice(1));
  if (id[0] === "w") return [id, `r${place + 1}`];
  if (id[0] === "r" && place > 0) return [id, `w${place - 1}`];
  return [id];
}

// The highlighted tokens: those under the pointer, else those picked.
function litTokens(view) {
  return view.pointed ?? new Set([...view.picked].flatMap(everywhere));
}
