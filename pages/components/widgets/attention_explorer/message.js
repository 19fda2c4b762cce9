// The message from Python: a header, then the weights of all sides (the input shown, and the one it
// is compared with), kind by kind, each [layer, head, query, key].

function readMessage(data) {
  const [header, take] = unpack(data);
  const kinds = header.sides.flatMap((side) => side.kinds);
  for (const kind of kinds) {
    kind.weights = take(Float32Array, kind.shape.reduce((a, b) => a * b, 1));
    kind.means = new Map(); // "layer.head" with "mean" in one or both -> a map, computed once
  }
  for (const kind of kinds) {
    const [layers, heads, queries] = kind.shape;
    kind.sums = kind.hasSums ? take(Float32Array, layers * heads * queries) : null;
  }
  return header;
}

const MEAN = "mean"; // instead of a layer or head: the mean over all of them

// The tokens of a kind's rows and columns: s = source, w = written, r = read by the decoder.
const SIDES_OF = { encoder: ["s", "s"], decoder: ["w", "r"], cross: ["w", "s"] };

const kindOf = (side, id) => side.kinds.find((kind) => kind.id === id);

// The weights of one head, [query * keys + key]; null if this side has no such head.
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
  if (!kind.means.has(name)) kind.means.set(name, meanOf(kind, layer, head, size));
  return kind.means.get(name);
}

// The mean over all heads is computed from the layers' means, which are cached.
function meanOf(kind, layer, head, size) {
  const [layers, heads] = kind.shape;
  const count = layer === MEAN ? layers : heads;
  const sum = new Float64Array(size);
  for (let number = 0; number < count; number++) {
    const part = layer === MEAN ? mapOf(kind, number, head) : mapOf(kind, layer, number);
    for (let i = 0; i < size; i++) sum[i] += part[i];
  }
  const mean = new Float32Array(size);
  for (let i = 0; i < size; i++) mean[i] = sum[i] / count;
  return mean;
}

// The score before softmax, from the weight: softmax divides e^score by a sum whose logarithm is
// known. Null for a mean over heads, a masked cell, or a weight that is 0.
function scoreOf(kind, { layer, head }, row, column) {
  if (!kind.sums || layer === MEAN || head === MEAN || isMasked(kind, row, column)) return null;
  const [, heads, queries, keys] = kind.shape;
  const line = (layer * heads + head) * queries + row;
  const weight = kind.weights[line * keys + column];
  return weight > 0 ? Math.log(weight) + kind.sums[line] : null;
}

// The map that a head's picture shows: the first side's, the second's, or their difference.
function shownMap(view, show, id, layer, head) {
  const [a, b] = view.sides.map((side) => mapOf(kindOf(side, id), layer, head));
  if (show === "b") return b ?? null;
  if (show !== "difference") return a;
  return a && b ? minus(a, b) : null;
}

function minus(a, b) {
  const difference = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) difference[i] = a[i] - b[i];
  return difference;
}
