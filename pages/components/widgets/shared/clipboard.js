// Copies text to the clipboard; false if the user must press Ctrl+C in `field`, which shows it.
async function copied(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers give no clipboard to pages loaded by plain http from another machine.
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}

// A button that copies a field's text, and an element that confirms it.
function copyButton(label, field) {
  const button = element("button", { type: "button" }, label), state = element("span", { role: "status" });
  button.onclick = async () => {
    state.textContent = (await copied(field.value, field)) ? "Copied" : "Press Ctrl+C to copy";
    setTimeout(() => { state.textContent = ""; }, 4000);
  };
  return [button, state];
}
