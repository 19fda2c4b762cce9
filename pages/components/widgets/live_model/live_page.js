// The page of a model that runs in the browser: an input, the answer, each token's candidates, and
// below them the attention explorer, in which heads can be switched off.

const SHOWN = 5; // candidates shown of a token

function openPage(packed) {
  const [header, take] = unpack(packed);
  const model = new LiveModel(header, take);
  const at = (name) => document.getElementById(name);
  const view = { model, at, off: new Set(), place: "", step: 0, turn: 1, plain: null };
  at("text").value = header.examples[0] ?? "";
  at("text").oninput = () => answer(view);
  for (const example of header.examples) {
    const button = element("button", { type: "button" }, example);
    button.onclick = () => {
      at("text").value = example;
      answer(view);
    };
    at("examples").append(button);
  }
  at("on").onclick = () => {
    const place = new URLSearchParams(view.place);
    place.delete("without");
    Object.assign(view, { off: new Set(), place: place.toString(), turn: view.turn + 1 });
    answer(view);
  };
  answer(view);
  window.liveModel = model; // for use in the browser's console
}

// Called when the explorer's state changes; a head switched off or on needs a new answer.
function moved(view, place) {
  const before = [...view.off].join(" ");
  const without = new URLSearchParams(place).get("without") ?? "";
  Object.assign(view, { place, off: new Set(without.split(" ").filter(Boolean)) });
  if (without !== before) answer(view);
}

// Draw the model's answer to the present input, or why the input cannot be read.
function answer(view) {
  const { model, at } = view;
  try {
    const started = performance.now();
    view.found = model.answer(at("text").value, view.off);
    view.plain = view.off.size ? model.answer(at("text").value).output : null;
    at("took").textContent = `${(performance.now() - started).toFixed(0)} ms, in this browser`;
    at("error").textContent = "";
  } catch (error) {
    at("error").textContent = error.message;
    return;
  }
  const { written, output, ended } = view.found;
  at("output").textContent = output + (ended ? "" : " … (cut: it wrote no end)");
  const changed = view.plain !== null && view.plain !== output;
  at("without").textContent =
    view.plain === null ? "" : changed ? `With all heads: ${view.plain}` : "The same as with all heads.";
  at("on").hidden = !view.off.size;
  view.step = Math.min(view.step, written.length - 1);
  drawTokens(view);
  drawExplorer(view);
}

function drawTokens(view) {
  const { model, at, found } = view;
  at("tokens").replaceChildren(
    ...found.written.map((id, i) => {
      const button = element("button", { type: "button", "aria-pressed": String(i === view.step) }, model.target.shown[id]);
      button.onclick = () => {
        view.step = i;
        drawTokens(view);
        at("tokens").children[i].focus();
      };
      return button;
    }),
  );
  const shares = softmax(found.logits[view.step]);
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, SHOWN);
  at("candidates").replaceChildren(
    ...order.map((id) => {
      const row = element("tr", id === found.written[view.step] ? { class: "taken" } : {});
      const bar = element("span", { class: "bar" });
      bar.style.width = `${100 * shares[id]}%`;
      const track = element("td", { class: "track" });
      track.append(bar);
      row.append(element("th", { scope: "row" }, model.target.shown[id]), track, element("td", {}, inPercent(shares[id])));
      return row;
    }),
  );
}

// Draw the explorer from the message that Streamlit would send.
function drawExplorer(view) {
  const { model, found } = view;
  const source = found.source.map((id) => model.source.shown[id]);
  const written = found.written.map((id) => model.target.shown[id]);
  const read = found.read.map((id) => model.target.shown[id]);
  const axes = { encoder: [source, source], decoder: [written, read], cross: [written, source] };
  const kinds = Object.entries(axes).map(([id, [queries, keys]]) => ({
    id,
    title: model.titles[id],
    shape: found.weights[id].shape,
    queries,
    keys,
    causal: id === "decoder",
    hasSums: true,
    dK: model.config.d_model / model.config.num_heads,
  }));
  const sides = [{ label: "", source, written, read, kinds }];
  const names = kinds.flatMap(({ id, shape: [layers, heads] }) =>
    Array.from({ length: layers * heads }, (_, i) => `${id}.${Math.floor(i / heads)}.${i % heads}`));
  const findings = Object.fromEntries(names.map((name) => [name, "Switch it off to see what depends on it."]));
  const header = { ...model.explorer, sides, findings, place: view.place, turn: view.turn };
  const arrays = ["weights", "sums"].flatMap((part) => kinds.map((kind) => found.weights[kind.id][part]));
  const parentElement = document.getElementById("explorer");
  draw({ data: packedFor(header, arrays), parentElement, setStateValue: (_, place) => moved(view, place) });
}

// Pack as shell/mount.py does: [length of the header][header, padded to four bytes][numbers].
function packedFor(header, arrays) {
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const length = encoded.length + (-encoded.length & 3);
  const size = arrays.reduce((sum, array) => sum + array.byteLength, 4 + length);
  const packed = new Uint8Array(size).fill(32);
  new DataView(packed.buffer).setUint32(0, length, true);
  packed.set(encoded, 4);
  let offset = 4 + length;
  for (const array of arrays) {
    packed.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), offset);
    offset += array.byteLength;
  }
  return packed;
}
