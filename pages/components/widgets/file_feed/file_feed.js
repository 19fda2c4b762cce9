// Sends a file in pieces: the next piece is sent when the server has stored the last one.

const PIECE = 1 << 20; // bytes; a third more in base64

export default function ({ data, parentElement, setTriggerValue }) {
  const view = viewOf(parentElement, "file_feed", build);
  view.data = data;
  view.send = (piece) => setTriggerValue("piece", piece);
  view.label.textContent = data.label;
  view.input.accept = data.accept;
  view.limit.textContent = `Up to ${Math.round(data.max_bytes / 1e6)} MB. Or drop it here.`;
  if (view.file && data.turn === view.turn && data.received > view.sent) {
    view.sent = data.received;
    if (view.sent < view.file.size) sendPiece(view);
  }
  show(view);
}

function build(root) {
  root.innerHTML = `
    <label class="name" for="file-feed"></label>
    <div class="zone">
      <input id="file-feed" type="file">
      <span class="limit"></span>
      <progress max="1" aria-label="Sent" hidden></progress>
      <span class="state" role="status"></span>
    </div>`;
  const find = (selector) => root.querySelector(selector);
  const view = {
    label: find(".name"), input: find("input"), zone: find(".zone"), limit: find(".limit"),
    progress: find("progress"), state: find(".state"),
  };
  view.input.onchange = () => begin(view, view.input.files[0]);
  view.zone.ondragover = (event) => { event.preventDefault(); view.zone.classList.add("over"); };
  view.zone.ondragleave = () => view.zone.classList.remove("over");
  view.zone.ondrop = (event) => {
    event.preventDefault();
    view.zone.classList.remove("over");
    begin(view, event.dataTransfer.files[0]);
  };
  return view;
}

function begin(view, file) {
  if (!file) return;
  view.file = view.problem = null;
  if (file.size > view.data.max_bytes) {
    view.problem = `${file.name} is larger than ${Math.round(view.data.max_bytes / 1e6)} MB; send fewer pairs.`;
  } else if (!file.size) {
    view.problem = `${file.name} is empty.`;
  } else {
    Object.assign(view, { file, sent: 0, turn: `${Math.random()}`.slice(2), started: performance.now() });
    sendPiece(view);
  }
  show(view);
}

function sendPiece(view) {
  const { file, turn, sent } = view;
  const reader = new FileReader();
  reader.onload = () => {
    const data = reader.result.slice(reader.result.indexOf(",") + 1);
    view.send({ turn, name: file.name, size: file.size, place: sent, data });
  };
  reader.onerror = () => {
    view.file = null;
    view.problem = `${file.name} could not be read any more; choose it again.`;
    show(view);
  };
  reader.readAsDataURL(file.slice(sent, sent + PIECE));
}

function show(view) {
  const { file, sent } = view;
  view.progress.hidden = !file;
  view.state.classList.toggle("problem", Boolean(view.problem));
  view.state.textContent = view.problem || "";
  if (!file) return;
  view.progress.value = sent / file.size;
  const seconds = (performance.now() - view.started) / 1000;
  const left = sent ? `, about ${Math.ceil((seconds * (file.size - sent)) / sent)} s left` : "";
  view.state.textContent = `Sending ${file.name}: ${(sent / 1e6).toFixed(1)} of ${(file.size / 1e6).toFixed(1)} MB${left}`;
}
