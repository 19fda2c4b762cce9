// Stores a token for this browser, once, and the user's name, in cookies sent only to this site.

const YEAR = 31536000;

function keep(name, value, age = YEAR) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${value}; path=/; max-age=${age}; SameSite=Strict${secure}`;
}

export default function ({ data, setStateValue }) {
  const known = document.cookie.match(/(?:^|; )workbench=([0-9a-f]{32})(?:;|$)/);
  if (!known) {
    keep("workbench", data.token);
  } else if (known[1] !== data.token) {
    setStateValue("token", known[1]); // another tab stored its token first
  }
  if (typeof data.name === "string") keep("workbench-name", encodeURIComponent(data.name), data.name ? YEAR : 0);
}
