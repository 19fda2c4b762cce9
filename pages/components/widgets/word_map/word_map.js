// A word, its answer, and figure 1 with numbers for the token of the answer that is pointed at.

const SIDES = { encoder: "Encoder reads", decoder: "Decoder writes" };

export default function ({ data, parentElement, setTriggerValue }) {
  const view = viewOf(parentElement, "word_map", (root) => ({ root }));
  view.open = (name) => setTriggerValue("open", name);
  const theme = themeOf(view.root), text = JSON.stringify(data);
  if (view.text === text && view.theme === theme) return;
  const same = view.data && view.data.written.join() === data.written.join();
  Object.assign(view, { data, text, theme, chosen: same ? view.chosen : 0 });
  build(view);
  point(view, view.chosen);
}

const classOf = (token) => (/^<.+>$/.test(token) ? "token special" : "token");

function build(view) {
  const { root, data } = view;
  const focused = root.getRootNode().activeElement, had = view.answer?.indexOf(focused) ?? -1;
  const left = element("div");
  const letters = element("div", { class: "tokens", role: "group", "aria-label": "Input" });
  view.letters = data.source.map((token) => {
    const cell = element("div", { class: classOf(token) }, token);
    cell.append(element("small"));
    letters.append(cell);
    return cell;
  });
  const sounds = element("div", { class: "tokens", role: "group", "aria-label": "Answer" });
  view.answer = data.written.map((token, place) => {
    const button = element("button", { type: "button", class: classOf(token) }, token);
    for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => point(view, place));
    sounds.append(button);
    return button;
  });
  view.told = element("p", { "aria-live": "polite" });
  left.append(
    element("h3", {}, "Input"), letters,
    element("h3", {}, "Answer: point at a token"), sounds, view.told,
  );
  const right = element("div"), stacks = element("div", { class: "stacks" });
  view.numbers = [];
  for (const side of ["encoder", "decoder"]) {
    const stack = element("div", { class: "stack" });
    const layers = data.layers[side];
    stack.append(element("div", { class: "name" }, `${SIDES[side]}, ${layers} layer${layers === 1 ? "" : "s"}`));
    for (const box of data.boxes.filter((one) => one.side === side)) {
      const reads = box.title.startsWith("Cross") ? " reads" : "";
      const link = element("button", { type: "button", class: `box${reads}`, title: "How it is computed, on the Learn page" });
      link.onclick = () => view.open(box.name);
      link.style.setProperty("--kind", box.colour);
      const number = element("span");
      link.append(element("b", {}, box.title), number);
      stack.append(link);
      view.numbers.push([number, box.numbers]);
    }
    stacks.append(stack);
  }
  right.append(element("h3", {}, "The paper's figure 1, with the numbers of this token"), stacks);
  root.replaceChildren(left, right);
  if (had >= 0) view.answer[had]?.focus();
}

function point(view, place) {
  const { data } = view;
  view.chosen = place;
  const row = data.weights[place] ?? [], most = view.theme === "dark" ? 45 : 80; // per cent, so that the letter stays legible
  view.letters.forEach((cell, n) => {
    const share = row[n] ?? 0;
    cell.style.background = `color-mix(in srgb, #e69f00 ${Math.round(most * share)}%, transparent)`;
    cell.lastChild.textContent = share >= 0.05 ? `${Math.round(100 * share)} %` : "";
  });
  view.answer.forEach((button, n) => button.setAttribute("aria-pressed", n === place));
  view.told.textContent = row.length ? lookedAt(data, place, row) : "";
  for (const [number, texts] of view.numbers) number.textContent = texts[place] ?? "";
}

// What a token of the answer looked at most. Shares that are equal when rounded are called a tie.
function lookedAt({ source, written }, place, row) {
  const shares = row.map((share) => Math.round(100 * share)), most = Math.max(...shares);
  const alike = source.filter((_, n) => shares[n] === most);
  const looked = alike.length === 1 ? `it looked most at ${alike[0]} (${most} %;`
    : `it looked equally at ${alike.length < 4 ? listed(alike) : `${alike.length} tokens`} (a tie: ${most} % each;`;
  return `To write ${written[place]}, ${looked} mean of the heads of the last layer).`;
}

const listed = (names) => `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
