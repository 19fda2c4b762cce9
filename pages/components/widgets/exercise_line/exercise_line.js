// A line of exercises.md: the view that is open, with a title and a question. The address is the
// browser's own at every moment, since a page writes into it without drawing the sidebar again.

const LOOK = 300; // milliseconds

export default function ({ parentElement }) {
  const root = parentElement.querySelector(".exercise_line");
  if (root.firstChild) return;
  const [title, titleRow] = typed("Title", "Find the head");
  const [question, questionRow] = typed("Question", "What do you see, and why?");
  const line = element("textarea", { readonly: "", rows: 4, "aria-label": "The line for the list" });
  line.onfocus = () => line.select();
  const show = () => {
    const text = exerciseLine(title.value, location.href, question.value);
    if (line.value !== text) line.value = text;
  };
  title.oninput = question.oninput = show;
  show();
  const looking = setInterval(() => (root.isConnected ? show() : clearInterval(looking)), LOOK);
  const row = element("div");
  row.append(...copyButton("Copy the line", line));
  root.append(titleRow, questionRow, line, row);
}

function exerciseLine(title, address, question) {
  const plain = (text, otherwise) => text.replace(/\s+/g, " ").trim() || otherwise;
  // No bracket may end the title, or the link.
  const name = plain(title, "Title").replaceAll("[", "(").replaceAll("]", ")");
  // Which exercise the view was opened for is not part of it (pages/components/shell/lessons.py).
  const view = address.replace(/([?&])asked=[^&#]*&?/, "$1").replace(/[?&]$/, "");
  const link = view.replaceAll("(", "%28").replaceAll(")", "%29");
  return `- [${name}](${link}): ${plain(question, "What do you see, and why?")}`;
}

function typed(label, example) {
  const field = element("input", { type: "text", placeholder: example, maxlength: 300 });
  const row = element("label", {}, label);
  row.append(field);
  return [field, row];
}
