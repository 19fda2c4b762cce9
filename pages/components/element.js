// Shared by all components: it goes before their own scripts.

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text; // never HTML: tokens and names may look like markup
  return made;
}
