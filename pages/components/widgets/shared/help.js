// Help that is read once: open until the person has done something, folded from the next time on.
// A private window, or a page without storage, shows it each time.

const helpKey = (name) => `help read: ${name}`;

function helpRead(name) {
  try { localStorage.setItem(helpKey(name), "1"); } catch { /* nothing is kept there */ }
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
