// Help text that is open until the user has used the widget, and folded from the next visit on.
// Without localStorage, as in some private windows, it is open each time.

const helpKey = (name) => `help read: ${name}`;

function helpRead(name) {
  try { localStorage.setItem(helpKey(name), "1"); } catch { /* no storage */ }
}

function buildHelp(name, title, lines) {
  let read = false;
  try { read = localStorage.getItem(helpKey(name)) === "1"; } catch { /* then it is open */ }
  const details = element("details", { class: "help" });
  details.open = !read;
  details.append(element("summary", {}, title), ...lines.map((line) => element("p", { class: "hint" }, line)));
  details.ontoggle = () => details.open || helpRead(name);
  return details;
}
