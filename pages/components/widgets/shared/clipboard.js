// Puts text on the clipboard, with the field that shows it; false where the person must press keys.
async function copied(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers offer no clipboard to pages that come by plain http from another machine.
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}

// A button that copies what a field shows, and a place where it says that it has.
function copyButton(label, field) {
  const button = element("button", { type: "button" }, label), state = element("span", { role: "status" });
  button.onclick = async () => {
    state.textContent = (await copied(field.value, field)) ? "Copied" : "Press Ctrl+C to copy";
    setTimeout(() => { state.textContent = ""; }, 4000);
  };
  return [button, state];
}
