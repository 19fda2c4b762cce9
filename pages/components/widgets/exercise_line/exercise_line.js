// A line of exercises.md for the open view, with a title and a question. The address is read from
// the browser again and again, because a page changes it without redrawing the sidebar.

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
  // No bracket in them may end the title or the link.
  const name = plain(title, "Title").replaceAll("[", "(").replaceAll("]", ")");
  // Without the parameter that names the exercise which opened the view
  // (pages/components/shell/lessons.py).
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
