const MOST_PIXELS = 16e6; // some browsers draw nothing on a larger canvas

// Give a canvas the size of the element below it, at the screen's resolution, in CSS pixels.
function fitCanvas(canvas, over) {
  const box = over.getBoundingClientRect();
  const scale = Math.min(window.devicePixelRatio || 1, Math.sqrt(MOST_PIXELS / Math.max(box.width * box.height, 1)));
  canvas.width = Math.round(box.width * scale);
  canvas.height = Math.round(box.height * scale);
  canvas.style.width = `${box.width}px`;
  canvas.style.height = `${box.height}px`;
  canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
  return box;
}
