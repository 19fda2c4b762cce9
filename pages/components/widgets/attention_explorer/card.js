// The card beside the map: what the head does, and how the weight pointed at was computed.

function buildCard(view) {
  const card = element("aside", { class: "card", "aria-label": "This head and its weights" });
  const block = (title, ...parts) => {
    const box = element("div");
    box.append(element("h4", {}, title), ...parts);
    card.append(box);
  };
  view.does = element("p");
  view.sum = element("dl", { class: "sum" });
  block("What this head does", view.does);
  const parts = [view.readout, view.sum];
  if (view.askNumbers) {
    view.all = element("button", { type: "button", class: "all", hidden: "" }, "All numbers");
    view.all.onclick = () => view.askNumbers();
    parts.push(view.all);
  }
  block("One weight", ...parts);
  if (view.lookFor) block("What to look for", element("p", {}, view.lookFor));
  return card;
}

function sayFinding(view, choice) {
  if (!view.does) return;
  const name = headName(choice);
  const mean = "A mean over several heads. Choose one head to read what it does.";
  const off = view.without.has(name) ? "Switched off: its weights stay as shown, but its result is not used. " : "";
  view.does.textContent = off + (isHead(choice) ? view.findings[name] ?? "Nothing is known of it." : mean);
}

// The cell that the card describes: the one pointed at, else the one kept by a click.
const spokenCell = (view) => view.pointedCell ?? view.cell;

function saySum(view) {
  const [drawn] = view.maps;
  const cell = spokenCell(view);
  const choice = view.previewed ?? view.choice;
  const known = drawn && drawn.show !== "difference" && within(drawn, cell) && isHead(choice);
  if (view.all) view.all.hidden = !known;
  view.sum.replaceChildren(...(known ? sumLines(view, drawn, choice, cell) : []));
}

function sumLines(view, { kind, map }, choice, [row, column]) {
  const line = (name, value, more = []) => {
    const says = element("dd", {}, value);
    says.append(...more);
    return [element("dt", {}, name), says];
  };
  if (isMasked(kind, row, column)) return line("mask", "−∞: not written yet").concat(line("softmax", "exactly 0"));
  const weight = map[row * kind.shape[3] + column];
  const score = scoreOf(kind, choice, row, column);
  const bar = element("span", { class: "share", "aria-hidden": "true" });
  bar.style.width = `${100 * weight}%`;
  const softmax = line("softmax", inPercent(weight), [bar]);
  if (score === null) return softmax;
  return [
    ...line("q·k", decimal(score * Math.sqrt(kind.dK), 2)),
    ...line(`÷ √${kind.dK}`, decimal(score, 2)),
    ...softmax,
  ];
}
