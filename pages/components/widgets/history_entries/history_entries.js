// Makes one step back leave a page: an address that a page writes before the user has done anything
// replaces the history entry that opened the page, instead of adding one.

const ACTS = ["pointerdown", "keydown"];

export default function () {
  if (window.workbenchHistory) return;
  window.workbenchHistory = true;
  const push = history.pushState.bind(history);
  let acted = false;
  for (const name of ACTS) window.addEventListener(name, () => { acted = true; }, true);
  window.addEventListener("popstate", () => { acted = false; });
  history.pushState = (state, title, url) => {
    const opens = new URL(url ?? "", location.href).pathname !== location.pathname;
    if (opens || acted) push(state, title, url);
    else history.replaceState(state, title, url);
    if (opens) acted = false;
  };
}
