// Shared by all components: it goes before their own scripts.

// A share as pages/components/shell/text.py writes a token's probability: what is rounded to all or
// nothing says that it is not.
function inPercent(share) {
  if (share >= 0.99995 && share < 1) return "> 99.99 %";
  if (share > 0 && share < 0.00005) return "< 0.01 %";
  return `${(100 * share).toFixed(2)} %`;
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text; // never HTML: tokens and names may look like markup
  return made;
}
