// Saves a file that the page has made, and says that it has. A rerun saves none twice.

const savedFiles = new Set();

export default function ({ data, setTriggerValue }) {
  const [{ number, name, type, size }, take] = unpack(data);
  if (!savedFiles.has(number)) {
    savedFiles.add(number);
    download(name, take(Uint8Array, size), type);
  }
  setTriggerValue("saved", number);
}
