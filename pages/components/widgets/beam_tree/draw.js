// The picture, on screen and as a file: columns are steps, rows are ranks in the beam.

const BOX = { left: 44, top: 30, height: 28, row: 40 };
const GAP = 32; // between columns, for the edges
const LETTER = 8; // width of a letter in pixels
const MARKS = { stopped: "…", outscored: "■", answer: "★" };

const short = (token, most) => (token.length > most ? `${token.slice(0, most - 1)}…` : token);
// Long enough to tell I_TURN_LEFT from I_TURN_RIGHT.
const lettersOf = (data) =>
  (data.letters ??= Math.min(Math.max(...data.nodes.map((node) => node.token.length), 5), 14));
const widthOf = (data) => 52 + LETTER * lettersOf(data);
const placeOf = (data, column, slot) => ({ x: BOX.left + column * (widthOf(data) + GAP), y: BOX.top + slot * BOX.row });

// The page's present colours, written into the picture so that a saved file has them.
function inks(root) {
  const style = getComputedStyle(root);
  const read = (name) => style.getPropertyValue(`--st-${name}`).trim() || "currentColor";
  return {
    text: read("text-color"), line: read("border-color"), strong: read("primary-color"),
    box: read("secondary-background-color"), ground: read("background-color"),
  };
}

// The node and all its ancestors.
function pathTo(nodes, node) {
  const path = new Set();
  for (let at = node; at !== null; at = nodes[at].parent) path.add(at);
  return path;
}

function drawTree(data, ink, chosen) {
  const { nodes, beams, answer } = data;
  const rows = Math.max(...beams.map((beam) => beam.length));
  const width = BOX.left + beams.length * (widthOf(data) + GAP);
  const height = BOX.top + rows * BOX.row + 4;
  const svg = svgElement("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": data.title });
  svg.append(svgElement("rect", { width, height, fill: ink.ground }));
  const best = pathTo(nodes, answer);
  const walked = pathTo(nodes, beams[chosen.column][chosen.slot]);
  for (let slot = 0; slot < rows; slot++) {
    svg.append(svgElement("text", { x: 8, y: placeOf(data, 0, slot).y + 18, "font-size": 11, fill: ink.text }, `${slot + 1}.`));
  }
  beams.forEach((_, column) =>
    svg.append(svgElement("text", { x: placeOf(data, column, 0).x, y: 18, "font-size": 11, fill: ink.text }, `step ${column + 1}`)),
  );
  const cells = [];
  beams.forEach((beam, column) => beam.forEach((node, slot) => {
    svg.append(edge(data, ink, column, slot, best, walked));
    cells.push(cell(data, ink, column, slot, best, chosen));
  }));
  svg.append(...cells);
  return svg;
}

// The slot in the previous column from which a slot came; null in the first column.
function cameFrom(data, column, slot) {
  if (column === 0) return null;
  const node = data.beams[column][slot];
  const before = data.beams[column - 1];
  const ended = before.indexOf(node); // it had ended before and stayed in the beam
  return ended >= 0 ? ended : before.indexOf(data.nodes[node].parent);
}

function edge(data, ink, column, slot, best, walked) {
  const to = placeOf(data, column, slot);
  const from = cameFrom(data, column, slot);
  const node = data.beams[column][slot];
  const start = from === null ? { x: 26, y: placeOf(data, 0, 0).y + 14 } : { x: placeOf(data, column - 1, from).x + widthOf(data), y: placeOf(data, column - 1, from).y + 14 };
  const middle = (start.x + to.x) / 2;
  const stays = from !== null && data.beams[column - 1][from] === node;
  const marked = best.has(node) ? ink.strong : walked.has(node) ? ink.text : ink.line;
  return svgElement("path", {
    d: `M${start.x},${start.y} C${middle},${start.y} ${middle},${to.y + 14} ${to.x},${to.y + 14}`,
    fill: "none", stroke: marked, "stroke-width": best.has(node) ? 3 : walked.has(node) ? 2 : 1.5, "stroke-dasharray": stays ? "2 3" : "none",
  });
}

function cell(data, ink, column, slot, best, chosen) {
  const number = data.beams[column][slot];
  const node = data.nodes[number];
  const { x, y } = placeOf(data, column, slot);
  const here = column === chosen.column && slot === chosen.slot;
  // A node is drawn once for each step that it stays in the beam; only the last has how it ended.
  const last = !(data.beams[column + 1] ?? []).includes(number);
  const kind = last ? node.kind : "";
  const group = svgElement("g", {
    role: "button", tabindex: here ? 0 : -1, "aria-pressed": here,
    "data-column": column, "data-slot": slot, "data-kind": kind,
    "aria-label": `Step ${column + 1}, place ${slot + 1}: ${node.text}, score ${decimal(node.score, 4)}. ${last ? node.why : ""}`,
  });
  group.append(svgElement("rect", {
    x, y, width: widthOf(data), height: BOX.height, rx: node.ended ? 14 : 5, fill: here ? ink.box : ink.ground,
    stroke: best.has(number) ? ink.strong : ink.text, "stroke-width": best.has(number) ? 3 : 1,
    "stroke-dasharray": kind === "dropped" ? "5 3" : kind === "stopped" ? "1 3" : "none",
  }));
  const mark = MARKS[kind] ? `${MARKS[kind]} ` : "";
  group.append(
    svgElement("text", { x: x + 8, y: y + 19, "font-size": 13, "font-family": "monospace", "font-weight": 700, fill: ink.text, style: "white-space: pre",
      "text-decoration": kind === "dropped" ? "line-through" : "none" }, mark + short(node.token, lettersOf(data) - (mark ? 2 : 0))),
    svgElement("text", { x: x + widthOf(data) - 7, y: y + 18, "font-size": 10.5, "text-anchor": "end", fill: ink.text }, decimal(node.score, 2)),
    svgElement("title", {}, `${node.text}: score ${decimal(node.score, 4)}`),
  );
  return group;
}
