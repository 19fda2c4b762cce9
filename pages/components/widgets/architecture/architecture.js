// Shows an SVG; a rerun with the same SVG changes nothing.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".architecture");
  if (root.dataset.shown === data.svg) return;
  root.dataset.shown = data.svg;
  const parsed = new DOMParser().parseFromString(data.svg, "image/svg+xml");
  root.replaceChildren(document.importNode(parsed.documentElement, true));
}
