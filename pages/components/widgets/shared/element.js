// Shared by all components; it comes before their own scripts.

const SVG = "http://www.w3.org/2000/svg";

const element = (name, attributes, text) => filled(document.createElement(name), attributes, text);

const svgElement = (name, attributes, text) => filled(document.createElementNS(SVG, name), attributes, text);

function filled(made, attributes = {}, text = "") {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text; // never HTML: tokens and names may look like markup
  return made;
}

const views = new WeakMap(); // root element -> its view: what is drawn there, and the user's choices

// The view of a component, made by `make` when the component is first drawn.
function viewOf(parentElement, name, make) {
  const root = parentElement.querySelector(`.${name}`);
  if (!views.has(root)) views.set(root, make(root));
  return views.get(root);
}

// The page's theme, "dark" or "light"; in a dark one, the element gets the class "dark".
function themeOf(root) {
  const text = getComputedStyle(root).color.match(/\d+/g).map(Number);
  const dark = text[0] + text[1] + text[2] > 384; // light text: a dark page
  root.classList.toggle("dark", dark);
  return dark ? "dark" : "light";
}

// A share in per cent, formatted as probability() in pages/components/shell/text.py: only exactly 0
// and 1 give 0 and 100 %.
function inPercent(share) {
  if (share >= 0.99995 && share < 1) return "> 99.99 %";
  if (share > 0 && share < 0.00005) return "< 0.01 %";
  return `${(100 * share).toFixed(2)} %`;
}

// A number with `digits` decimals and a true minus sign.
const decimal = (value, digits) => value.toFixed(digits).replace("-", "−");

// Unpack what shell/mount.py packs: [length of header: uint32][header: JSON][numbers]. Returns the
// header, and a function that reads the next `size` numbers as a typed array.
function unpack(data) {
  const given = data instanceof Uint8Array ? data : new Uint8Array(data);
  const bytes = given.byteOffset % 4 ? given.slice() : given; // numbers must be aligned
  const { buffer, byteOffset } = bytes;
  const length = new DataView(buffer).getUint32(byteOffset, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let offset = byteOffset + 4 + length;
  const take = (Kind, size) => {
    const taken = new Kind(buffer, offset, size);
    offset += taken.byteLength;
    return taken;
  };
  return [header, take];
}

// Make the browser save `content` as a file.
function download(name, content, type) {
  const link = element("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
