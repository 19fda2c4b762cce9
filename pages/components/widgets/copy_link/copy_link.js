// Buttons that copy addresses of this page.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".copy_link");
  const text = JSON.stringify(data);
  if (root.dataset.shown === text) return; // a rerun must not take the focus away
  root.dataset.shown = text;
  root.replaceChildren(...data.links.map(row));
}

function row({ label, query }) {
  const line = element("div");
  const field = element("input", { readonly: "", "aria-label": `${label}: the address` });
  field.value = `${location.origin}${location.pathname}?${new URLSearchParams(query)}`;
  field.onfocus = () => field.select();
  const [button, state] = copyButton(label, field);
  line.append(button, field, state);
  return line;
}
