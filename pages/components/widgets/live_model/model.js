// The Transformer's forward pass and greedy decoding in plain JavaScript, after the paper.
// Weights are 32-bit floats; sums are computed in 64 bits. A matrix is [row * columns + column],
// and the weights of a linear layer are [output, input], as in the checkpoint.

class LiveModel {
  // header: config, vocabularies, and the shape of each tensor. take: reads the next numbers.
  constructor(header, take) {
    Object.assign(this, header);
    this.tensors = {};
    for (const [name, shape] of header.shapes)
      this.tensors[name] = take(Float32Array, shape.reduce((a, b) => a * b, 1));
    this.ids = new Map(this.source.tokens.map((token, id) => [token, id]));
  }

  // Text -> ids as the encoder reads them. Throws an Error with a message for the user.
  encode(text) {
    const tokens = this.source.kind === "characters" ? [...text.trim()] : text.split(/\s+/).filter(Boolean);
    const unknown = [...new Set(tokens.filter((token) => !(this.ids.get(token) >= this.source.special)))];
    if (!tokens.length) throw new Error("Type something for the model to read.");
    if (unknown.length)
      throw new Error(`This model does not know ${unknown.slice(0, 5).join(" ")}. It knows: ${this.source.tokens.slice(this.source.special).join(" ")}`);
    const { source_frame: frame, bos_id: bos, eos_id: eos, max_length: most } = this.config;
    const ids = tokens.map((token) => this.ids.get(token));
    const framed = [...(frame === "bos-eos" ? [bos] : []), ...ids, ...(frame === "none" ? [] : [eos])];
    if (framed.length > most) throw new Error(`This model reads at most ${most} tokens; these are ${framed.length}.`);
    return framed;
  }

  // The model's greedy output for a text, token by token, and all attention weights.
  // off: names of heads that are switched off, such as "cross.0.1".
  answer(text, off = new Set()) {
    const source = this.encode(text);
    const { decoder_start_id: start, eos_id: eos, max_length: longest } = this.config;
    const most = Math.min(longest, this.most);
    const kept = { encoder: [], decoder: [], cross: [] }; // rows of weights, in the order of computation
    const memory = this.encoder(source, off, kept.encoder);
    const past = this.crossed(memory, source.length);
    const written = [];
    const logits = [];
    for (let token = start; written.length < most && token !== eos; ) {
      logits.push(this.decoderStep(token, written.length, past, off, kept));
      token = greatest(logits.at(-1));
      written.push(token);
    }
    const read = [start, ...written.slice(0, -1)];
    const ended = written.at(-1) === eos;
    const tokens = written.slice(0, ended ? -1 : undefined).map((id) => this.target.tokens[id]);
    const output = tokens.join(this.target.kind === "characters" ? "" : " ");
    return { source, read, written, logits, output, ended, weights: this.gathered(kept, source.length, written.length) };
  }

  // Weights [layer, head, query, key] of the three attentions; keys after the query have weight 0.
  // sums: the logarithm of softmax's denominator, [layer, head, query].
  gathered(kept, source, target) {
    const { num_heads: heads, num_encoder_layers: encoder, num_decoder_layers: decoder } = this.config;
    const shapes = { encoder: [encoder, heads, source, source], decoder: [decoder, heads, target, target], cross: [decoder, heads, target, source] };
    const found = {};
    for (const [kind, shape] of Object.entries(shapes)) {
      const [, , queries, keys] = shape;
      const numbers = new Float32Array(shape.reduce((a, b) => a * b, 1));
      const sums = new Float32Array(numbers.length / keys);
      for (const [layer, head, query, row, sum] of kept[kind]) {
        const line = (layer * heads + head) * queries + query;
        numbers.set(row, line * keys);
        sums[line] = sum;
      }
      found[kind] = { shape, weights: numbers, sums };
    }
    return found;
  }

  // --- Section 3.1: the stacks ----------------------------------------------------------------

  encoder(ids, off, kept) {
    let x = this.embed("source_embedding", ids, 0);
    for (let layer = 0; layer < this.config.num_encoder_layers; layer++) {
      const name = `encoder.layers.${layer}`;
      x = this.residual(`${name}.self_attention_residual`, x, (y) => {
        const { keys, values } = this.project(`${name}.self_attention`, y);
        return this.attend(`${name}.self_attention`, y, keys, values, ids.length, ["encoder", layer, 0], off, kept);
      });
      x = this.residual(`${name}.feed_forward_residual`, x, (y) => this.feedForward(`${name}.feed_forward`, y));
    }
    return this.config.final_norm ? this.norm("encoder.norm", x) : x;
  }

  // Each decoder layer's cross-attention keys and values, and its empty self-attention cache.
  crossed(memory, source) {
    const { num_decoder_layers: layers } = this.config;
    return Array.from({ length: layers }, (_, layer) => ({
      cross: this.project(`decoder.layers.${layer}.cross_attention`, memory),
      source,
      keys: [],
      values: [],
    }));
  }

  // Run the decoder at one position: the token there -> the logits of the next token.
  decoderStep(token, position, past, off, kept) {
    let x = this.embed("target_embedding", [token], position);
    past.forEach((layerPast, layer) => {
      const name = `decoder.layers.${layer}`;
      x = this.residual(`${name}.self_attention_residual`, x, (y) => {
        const { keys, values } = this.project(`${name}.self_attention`, y);
        layerPast.keys.push(...keys);
        layerPast.values.push(...values);
        return this.attend(`${name}.self_attention`, y, layerPast.keys, layerPast.values, position + 1, ["decoder", layer, position], off, kept.decoder);
      });
      x = this.residual(`${name}.cross_attention_residual`, x, (y) =>
        this.attend(`${name}.cross_attention`, y, layerPast.cross.keys, layerPast.cross.values, layerPast.source, ["cross", layer, position], off, kept.cross),
      );
      x = this.residual(`${name}.feed_forward_residual`, x, (y) => this.feedForward(`${name}.feed_forward`, y));
    });
    if (this.config.final_norm) x = this.norm("decoder.norm", x);
    const table = this.config.tie_embeddings ? this.embedding("target_embedding") : this.tensors["output.weight"];
    return linear(x[0], table, this.tensors["output.bias"]);
  }

  // Pre-norm or post-norm. x: a row for each position.
  residual(name, x, sublayer) {
    const norm = (rows) => this.norm(`${name}.norm`, rows);
    const add = (rows) => rows.map((row, i) => row.map((value, j) => value + x[i][j]));
    return this.config.norm_first ? add(sublayer(norm(x))) : norm(add(sublayer(x)));
  }

  norm(name, x) {
    const gain = this.tensors[`${name}.gain`];
    const bias = this.tensors[`${name}.bias`];
    return x.map((row) => {
      const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
      const scale = 1 / Math.sqrt(variance + this.config.layer_norm_eps);
      return row.map((value, i) => (value - mean) * scale * gain[i] + bias[i]);
    });
  }

  // --- Section 3.2: attention -------------------------------------------------------------------

  linear(name, row) {
    return linear(row, this.tensors[`${name}.weight`], this.tensors[`${name}.bias`]);
  }

  project(name, x) {
    return { keys: x.map((row) => this.linear(`${name}.key`, row)), values: x.map((row) => this.linear(`${name}.value`, row)) };
  }

  attend(name, x, keys, values, length, [kind, layer, start], off, kept) {
    const { d_model: width, num_heads: heads } = this.config;
    const d_k = width / heads;
    return x.map((row, i) => {
      const query = this.linear(`${name}.query`, row);
      const joined = new Float64Array(width);
      for (let head = 0; head < heads; head++) {
        const from = head * d_k;
        const scores = new Float64Array(length);
        for (let key = 0; key < length; key++) {
          for (let j = from; j < from + d_k; j++) scores[key] += query[j] * keys[key][j];
          scores[key] /= Math.sqrt(d_k);
        }
        const weights = softmax(scores);
        const top = weights.indexOf(Math.max(...weights));
        const sum = scores[top] - Math.log(weights[top]); // the logarithm of all e^score
        kept.push([layer, head, start + i, weights, sum]);
        if (off.has(`${kind}.${layer}.${head}`)) continue;
        for (let key = 0; key < length; key++)
          for (let j = from; j < from + d_k; j++) joined[j] += weights[key] * values[key][j];
      }
      return this.linear(`${name}.output`, joined);
    });
  }

  // --- Sections 3.3 to 3.5: feed-forward network, embeddings, positions ---------------------------

  feedForward(name, x) {
    const activation = ACTIVATIONS[this.config.activation];
    return x.map((row) => this.linear(`${name}.outer`, this.linear(`${name}.inner`, row).map(activation)));
  }

  // An embedding that both sides share is in the file once, as the source's.
  embedding(name) {
    return this.tensors[`${name}.tokens.weight`] ?? this.tensors["source_embedding.tokens.weight"];
  }

  embed(name, ids, start) {
    const { d_model: width, scale_embeddings: scaled } = this.config;
    const table = this.embedding(name);
    const scale = scaled ? Math.sqrt(width) : 1;
    return ids.map((id, i) => {
      const position = this.position(name, start + i);
      return Float64Array.from({ length: width }, (_, j) => table[id * width + j] * scale + position[j]);
    });
  }

  position(name, place) {
    const { d_model: width, position_layout: layout } = this.config;
    const learned = this.tensors[`${name}.positions`];
    if (learned) return learned.subarray(place * width, (place + 1) * width);
    if (layout === "none") return new Float64Array(width);
    const angle = (i) => place / 10000 ** ((2 * i) / width);
    return Float64Array.from({ length: width }, (_, j) => {
      if (layout === "interleaved") return j % 2 ? Math.cos(angle((j - 1) / 2)) : Math.sin(angle(j / 2));
      return j < width / 2 ? Math.sin(angle(j)) : Math.cos(angle(j - width / 2));
    });
  }
}

const ACTIVATIONS = {
  relu: (value) => (value > 0 ? value : 0),
  swish: (value) => value / (1 + Math.exp(-value)),
};

// A row times a matrix [output, input], plus a bias if there is one.
function linear(row, weight, bias) {
  const size = row.length;
  const count = weight.length / size;
  const found = new Float64Array(count);
  const whole = size - (size % 4);
  for (let i = 0, at = 0; i < count; i++, at += size) {
    // Four independent sums, so that no addition waits for the previous one.
    let [a, b, c, d] = [bias ? bias[i] : 0, 0, 0, 0];
    for (let j = 0; j < whole; j += 4) {
      a += row[j] * weight[at + j];
      b += row[j + 1] * weight[at + j + 1];
      c += row[j + 2] * weight[at + j + 2];
      d += row[j + 3] * weight[at + j + 3];
    }
    for (let j = whole; j < size; j++) a += row[j] * weight[at + j];
    found[i] = a + b + c + d;
  }
  return found;
}

function softmax(scores) {
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

// The index of the largest number, the first of equals, as greedy decoding takes it.
const greatest = (numbers) => numbers.reduce((best, value, i) => (value > numbers[best] ? i : best), 0);
