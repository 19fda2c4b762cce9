// What Python sends, once: [length of header: uint32][header: JSON][weights: float32].
// The weights of all sides (the input shown, and what it is compared with) follow each other,
// kind by kind, each [layer, head, query, key].

function unpack(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const buffer = bytes.slice().buffer; // a copy of its own, so that floats are aligned
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  for (const side of header.sides) {
    for (const kind of side.kinds) {
      const size = kind.shape.reduce((a, b) => a * b, 1);
      kind.weights = new Float32Array(buffer, offset, size);
      kind.means = new Map(); // "layer.head" with "mean" in one or both -> a map, made once
      offset += 4 * size;
    }
  }
  return header;
}

const MEAN = "mean"; // stands for a layer or a head: the mean over all of them

// Where the rows and columns of a kind stand: s = source, w = written, r = read by the decoder.
const SIDES_OF = { encoder: ["s", "s"], decoder: ["w", "r"], cross: ["w", "s"] };

const kindOf = (side, id) => side.kinds.find((kind) => kind.id === id);

const isMasked = (kind, row, column) => kind.causal && column > row;

// The weights of one head, [query * keys + key]; null where this side has no such head.
function mapOf(kind, layer, head) {
  const [layers, heads, queries, keys] = kind.shape;
  const size = queries * keys;
  if (layer !== MEAN && head !== MEAN) {
    if (layer >= layers || head >= heads) return null;
    const start = (layer * heads + head) * size;
    return kind.weights.subarray(start, start + size);
  }
  if ((layer !== MEAN && layer >= layers) || (head !== MEAN && head >= heads)) return null;
  const name = `${layer}.${head}`;
  if (!kind.means.has(name)) {
    const some = (chosen, count) => (chosen === MEAN ? [...Array(count).keys()] : [chosen]);
    const parts = some(layer, layers).flatMap((l) => some(head, heads).map((h) => mapOf(kind, l, h)));
    const sum = new Float64Array(size);
    for (const part of parts) for (let i = 0; i < size; i++) sum[i] += part[i];
    kind.means.set(name, Float32Array.from(sum, (value) => value / parts.length));
  }
  return kind.means.get(name);
}

// What a head's picture shows: the first side, the second, or the first minus the second.
function shownMap(view, show, id, layer, head) {
  const [a, b] = view.sides.map((side) => mapOf(kindOf(side, id), layer, head));
  if (show === "b") return b ?? null;
  if (show !== "difference") return a;
  return a && b ? a.map((weight, i) => weight - b[i]) : null;
}
