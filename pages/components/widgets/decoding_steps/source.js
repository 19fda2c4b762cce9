// The cross-attention of the step, drawn under the source tokens.

function drawSource(view) {
  const { source, sides } = view.data;
  drawLooks(view);
  const looks = sides.map((side) => (view.step < side.ids.length ? lookOf(view, side, view.step) : null));
  view.source.replaceChildren(
    ...source.map((token, i) => {
      const weights = looks.map((look) => (look ? look[i] : 0));
      const words = sides.map((side, s) => `${sides.length > 1 ? `${side.label} ` : ""}${weights[s].toFixed(4)}`).join(", ");
      const chip = element("span", { class: "weighed", title: `${token}: ${words}` });
      const name = element("span", { class: /^<.+>$/.test(token) ? "name special" : "name" }, token);
      name.style.setProperty("--shade", `${Math.round(45 * weights[0])}%`);
      const columns = element("span", { class: "columns", "aria-hidden": "true" });
      weights.forEach((weight, s) => {
        const bar = element("span", { class: `height ${"ab"[s]}` });
        bar.style.height = `${100 * weight}%`;
        const column = element("span", { class: "column" });
        column.append(bar);
        columns.append(column);
      });
      const numbers = weights.map((weight, s) => element("small", { class: "ab"[s] }, weight.toFixed(2)));
      chip.append(name, columns, ...numbers);
      return chip;
    }),
  );
}

function drawLooks(view) {
  const { layers, heads } = view.data.sides[0];
  const name = `${layers}.${heads}`;
  if (view.looksDrawn !== name) {
    view.looksDrawn = name;
    const options = (count, word) =>
      Array.from({ length: count }, (_, i) => element("option", { value: i }, `${word} ${i + 1}`));
    view.layers.replaceChildren(...options(layers, "layer"));
    view.heads.replaceChildren(element("option", { value: MEAN }, "mean over the heads"), ...(heads > 1 ? options(heads, "head") : []));
  }
  view.layers.value = layerOf(view);
  view.heads.value = view.look.head;
}
