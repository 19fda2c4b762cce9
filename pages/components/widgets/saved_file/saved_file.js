// Saves a file that the server sent, and reports it. A rerun does not save it again.

const savedFiles = new Set();

export default function ({ data, setTriggerValue }) {
  const [{ number, name, type, size }, take] = unpack(data);
  if (!savedFiles.has(number)) {
    savedFiles.add(number);
    download(name, take(Uint8Array, size), type);
  }
  setTriggerValue("saved", number);
}
