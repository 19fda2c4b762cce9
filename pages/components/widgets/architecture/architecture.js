// The picture comes as SVG; a rerun leaves it as it is.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".architecture");
  if (root.dataset.shown === data.svg) return;
  root.dataset.shown = data.svg;
  const parsed = new DOMParser().parseFromString(data.svg, "image/svg+xml");
  root.replaceChildren(document.importNode(parsed.documentElement, true));
}
