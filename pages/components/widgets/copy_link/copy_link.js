// Buttons that copy addresses of this page.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".copy_link");
  const text = JSON.stringify(data);
  if (root.dataset.shown === text) return; // a rerun must not take the focus away
  root.dataset.shown = text;
  root.replaceChildren(...data.links.map(row));
}

function row({ label, query }) {
  const url = `${location.origin}${location.pathname}?${new URLSearchParams(query)}`;
  const line = element("div"), button = element("button", { type: "button" }, label);
  const field = element("input", { readonly: "", "aria-label": `${label}: the address` });
  const state = element("span", { role: "status" });
  field.value = url;
  field.onfocus = () => field.select();
  button.onclick = async () => {
    state.textContent = (await copied(url, field)) ? "Copied" : "Press Ctrl+C to copy";
    setTimeout(() => { state.textContent = ""; }, 4000);
  };
  line.append(button, field, state);
  return line;
}

async function copied(url, field) {
  try {
    await navigator.clipboard.writeText(url);
    return true;
  } catch {
    // Browsers offer no clipboard to pages that come by plain http from another machine.
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}
