// The message from Python: a header, and for each side its logits, the candidates' ids if not all
// are sent, and its attention.

function readMessage(data) {
  const [header, take] = unpack(data);
  for (const side of header.sides) {
    const steps = side.ids.length;
    side.logits = take(Float32Array, steps * side.candidates);
    side.listedIds = side.listed ? take(Int32Array, steps * side.candidates) : null;
    side.attention = take(Float32Array, steps * side.layers * side.heads * header.source.length);
    side.found = new Map(); // "step settings" -> the result of nextToken, computed once
  }
  return header;
}

const logitsOf = (side, step) =>
  side.logits.subarray(step * side.candidates, (step + 1) * side.candidates);

// The arithmetic of one step of one side; it indexes the candidates' columns, not their ids.
function stepOf(view, side, step) {
  const { temperature, topK, topP } = view.settings;
  const name = [step, temperature, topK, topP].join(" ");
  if (!side.found.has(name)) {
    if (side.found.size > 200) side.found.clear();
    side.found.set(name, nextToken(logitsOf(side, step), view.settings));
  }
  return side.found.get(name);
}

const idAt = (side, step, column) =>
  side.listedIds ? side.listedIds[step * side.candidates + column] : column;

function columnOf(side, step, id) {
  if (!side.listedIds) return id;
  return side.listedIds.subarray(step * side.candidates, (step + 1) * side.candidates).indexOf(id);
}

const MEAN = "mean";

// A step's attention weights over the source: of one head, or the mean over a layer's heads.
function lookOf(view, side, step) {
  const size = view.data.source.length;
  const layer = Math.min(view.look.layer, side.layers - 1);
  const start = (step * side.layers + layer) * side.heads * size;
  const row = (head) => side.attention.subarray(start + head * size, start + (head + 1) * size);
  if (view.look.head !== MEAN && view.look.head < side.heads) return row(view.look.head);
  const mean = new Float32Array(size);
  for (let head = 0; head < side.heads; head++) row(head).forEach((weight, i) => { mean[i] += weight / side.heads; });
  return mean;
}
