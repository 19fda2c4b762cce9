// From logits to probabilities: temperature, top-k, top-p, softmax, in 64-bit floats.
// The same as transformer/decoding/next_token.py; a test compares the two.

function nextToken(logits, { temperature, topK, topP }) {
  const count = logits.length;
  const divided = Float64Array.from(logits, (logit) => logit / temperature);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  order.sort((a, b) => divided[b] - divided[a] || a - b);
  const rank = new Int32Array(count);
  order.forEach((token, place) => { rank[token] = place; });
  const inTopK = Array.from(rank, (place) => place < (topK || count));
  const shares = softmax(divided, inTopK).values;
  const before = new Float64Array(count); // total probability of all tokens that rank higher
  let sum = 0;
  for (const token of order) {
    before[token] = sum;
    sum += shares[token];
  }
  // The smallest set that reaches p: a token is in it if the tokens before it sum to less. With
  // p = 1 it has all tokens; a sum that rounds up to 1 early would cut the last ones.
  const kept = inTopK.map((inside, i) => inside && (topP >= 1 || before[i] < topP || rank[i] === 0));
  const final = softmax(divided, kept);
  return { logits, divided, order, rank, inTopK, before, kept, probabilities: final.values, top: final.top, sum: final.sum };
}

function softmax(values, kept) {
  let top = -Infinity;
  for (let i = 0; i < values.length; i++) if (kept[i] && values[i] > top) top = values[i];
  const found = new Float64Array(values.length);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    if (kept[i]) found[i] = Math.exp(values[i] - top);
    sum += found[i];
  }
  for (let i = 0; i < values.length; i++) found[i] /= sum;
  return { values: found, top, sum };
}

// The steps from logit to probability for one candidate, each as a calculation in words.
function inWords(found, i, name, { temperature, topK, topP }) {
  const count = found.logits.length;
  const keptCount = found.kept.filter(Boolean).length;
  const place = found.rank[i] + 1;
  const cutByK = !found.inTopK[i];
  const before = share(found.before[i]);
  const said = inPercent(found.probabilities[i]);
  const comesTo = /^[<>]/.test(said) ? said : `= ${said}`;
  const lines = {
    logit: `The decoder gives ${name} the logit ${decimal(found.logits[i], 3)}.`,
    divided: `Over the temperature: ${decimal(found.logits[i], 3)} ÷ ${plainNumber(temperature)} = ${decimal(found.divided[i], 3)}.`,
    topK: topK
      ? `Top-k ${topK}: ${name} ranks ${place} of ${count}, so it ${cutByK ? "is cut" : "stays"}.`
      : `Top-k keeps all; ${name} ranks ${place} of ${count}.`,
    topP: cutByK
      ? "Top-p: cut already."
      : topP < 1
        ? `Top-p ${plainNumber(topP)}: the tokens before it have ${before} together, ${found.kept[i] ? (found.rank[i] ? "less than that, so it stays" : "and the first always stays") : "which reaches that, so it is cut"}.`
        : `Top-p keeps all; the tokens before it have ${before} together.`,
    probability: found.kept[i]
      ? `Softmax over the ${keptCount} kept: exp(${decimal(found.divided[i], 3)} − ${decimal(found.top, 3)}) ÷ ${found.sum.toFixed(4)} ${comesTo}.`
      : "Softmax: cut, so its probability is 0.",
  };
  return lines;
}

const share = (value) => value.toFixed(3);

const plainNumber = (value) => String(Number(value.toFixed(4)));
