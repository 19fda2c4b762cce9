// The map as a file to save: SVG from the same numbers, PNG from that SVG.

function mapAsSvg(view, drawn) {
  const { kind, map, show } = drawn;
  const [, , queries, keys] = kind.shape;
  const side = keys > 40 ? 12 : 22;
  const letters = (tokens) => Math.max(...tokens.map((token) => token.length));
  const left = 40 + 7.5 * letters(kind.queries);
  const top = 60 + 7.5 * letters(kind.keys);
  const width = Math.max(left + side * keys + 20, 420);
  const height = top + side * queries + 60;
  const svg = svgElement("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "sans-serif" });
  svg.append(svgElement("rect", { width, height, fill: "#ffffff" }));
  const title = headTitle(view, view.choice) + (view.sides.length > 1 ? `: ${sideTitle(view, show)}` : "");
  svg.append(svgElement("text", { x: 12, y: 24, "font-size": 15 }, title));
  const scale = show === "difference" ? DIVERGING.light : SCALES.light;
  for (let row = 0; row < queries; row++) {
    for (let column = 0; column < keys; column++) {
      const weight = map[row * keys + column];
      const shown = Math.abs(weight) < view.hide ? 0 : weight;
      const share = shown / view.top;
      const parts = isMasked(kind, row, column) ? MASKED.light : colourAt(scale, show === "difference" ? (share + 1) / 2 : share);
      const cell = svgElement("rect", {
        x: left + column * side, y: top + row * side, width: side, height: side,
        fill: `rgb(${parts.join(",")})`, stroke: "#d0d4da", "stroke-width": 0.5,
      });
      cell.append(svgElement("title", {}, `${kind.queries[row]} → ${kind.keys[column]}: ${weight.toFixed(6)}`));
      svg.append(cell);
    }
  }
  const size = Math.min(13, side * 0.8);
  kind.queries.forEach((token, row) =>
    svg.append(svgElement("text", { x: left - 6, y: top + (row + 0.7) * side, "text-anchor": "end", "font-size": size }, token)),
  );
  kind.keys.forEach((token, column) => {
    const x = left + (column + 0.7) * side;
    svg.append(svgElement("text", { transform: `translate(${x},${top - 6}) rotate(-90)`, "font-size": size }, token));
  });
  svg.append(svgElement("text", { x: left, y: 44, "font-size": 12, fill: "#444" }, `columns: ${AXES[kind.id][1]}`));
  svg.append(
    svgElement("text", { transform: `translate(14,${top + (side * queries) / 2}) rotate(-90)`, "text-anchor": "middle", "font-size": 12, fill: "#444" }, `rows: ${AXES[kind.id][0]}`),
  );
  svg.append(buildSvgKey(view, scale, left, height - 32, show === "difference"));
  return svg;
}

function buildSvgKey(view, scale, x, y, difference) {
  const top = topText(view);
  const group = svgElement("g", { "font-size": 12, fill: "#444" });
  const steps = 40;
  for (let i = 0; i < steps; i++) {
    const fill = `rgb(${colourAt(scale, i / (steps - 1)).join(",")})`;
    group.append(svgElement("rect", { x: x + 60 + 3 * i, y, width: 3, height: 12, fill }));
  }
  group.append(svgElement("text", { x, y: y + 11 }, difference ? `weight −${top}` : "weight 0"));
  group.append(svgElement("text", { x: x + 66 + 3 * steps, y: y + 11 }, top));
  return group;
}

const svgText = (view) => new XMLSerializer().serializeToString(mapAsSvg(view, view.maps[0]));

const fileName = (view, ending) => `attention-${headName(view.choice)}.${ending}`;

const saveSvg = (view) => download(fileName(view, "svg"), svgText(view), "image/svg+xml");

function savePng(view) {
  const picture = new Image();
  picture.onload = () => {
    const canvas = element("canvas");
    canvas.width = 2 * picture.width;
    canvas.height = 2 * picture.height;
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => download(fileName(view, "png"), blob, "image/png"), "image/png");
  };
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(view))}`;
}
