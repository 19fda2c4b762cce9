// Buttons that copy addresses of this page.

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".copy_link");
  const text = JSON.stringify(data);
  if (root.dataset.shown === text) return; // a rerun must not take the focus away
  root.dataset.shown = text;
  root.replaceChildren(...data.links.map(row));
}

function row({ label, query }) {
  const url = `${location.origin}${location.pathname}?${new URLSearchParams(query)}`;
  const line = document.createElement("div");
  const button = document.createElement("button");
  const field = document.createElement("input");
  const state = document.createElement("span");
  button.type = "button";
  button.textContent = label;
  field.readOnly = true;
  field.value = url;
  field.setAttribute("aria-label", `${label}: the address`);
  field.onfocus = () => field.select();
  state.setAttribute("role", "status");
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
