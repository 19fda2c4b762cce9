// Gives this browser a token, once, in a cookie that only this site is sent.

export default function ({ data, setStateValue }) {
  const known = document.cookie.match(/(?:^|; )workbench=([0-9a-f]{32})(?:;|$)/);
  if (!known) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `workbench=${data.token}; path=/; max-age=31536000; SameSite=Strict${secure}`;
  } else if (known[1] !== data.token) {
    setStateValue("token", known[1]); // another tab was first
  }
}
