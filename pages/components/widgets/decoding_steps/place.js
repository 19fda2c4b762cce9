// The widget's state: step, temperature, top-k, top-p, seed, the head shown. It is exchanged with
// the page in the format of the address: step=3&temperature=0.8&seed=7

const LAST = Infinity;
const NEUTRAL = { temperature: 1, topK: 0, topP: 1 };

const isNeutral = ({ temperature, topK, topP }) => temperature === NEUTRAL.temperature && !topK && topP === NEUTRAL.topP;

function readPlace(view, text) {
  const given = new URLSearchParams(text);
  const number = (name, otherwise) => (given.get(name) ? Number(given.get(name)) : otherwise);
  view.step = number("step", 1) - 1;
  view.settings = {
    temperature: number("temperature", NEUTRAL.temperature),
    topK: number("top_k", NEUTRAL.topK),
    topP: number("top_p", NEUTRAL.topP),
  };
  view.seed = given.get("seed") ? Number(given.get("seed")) : null; // null means greedy
  view.sums = given.get("sums") === "1" || !isNeutral(view.settings); // the arithmetic shows what they cut
  const [layer, head] = (given.get("look") ?? "").split(".");
  // The last layer of any model until the user chooses another, as on every page.
  view.look = { layer: layer ? Number(layer) : LAST, head: /^\d+$/.test(head) ? Number(head) : MEAN };
}

function writePlace(view) {
  const { temperature, topK, topP } = view.settings;
  const last = view.look.layer === LAST && view.look.head === MEAN;
  const all = {
    step: view.step + 1,
    temperature: temperature === NEUTRAL.temperature ? "" : plainNumber(temperature),
    top_k: topK || "",
    top_p: topP === NEUTRAL.topP ? "" : plainNumber(topP),
    seed: view.seed ?? "",
    sums: view.sums && isNeutral(view.settings) ? "1" : "",
    look: last ? "" : `${layerOf(view)}.${view.look.head}`,
  };
  return new URLSearchParams(Object.entries(all).filter(([, value]) => value !== "")).toString();
}

const layerOf = (view) => Math.min(view.look.layer, view.data.sides[0].layers - 1);

// Replace what is out of range: a link may be from a longer output or a deeper model.
function clampPlace(view) {
  const { sides } = view.data;
  view.steps = Math.max(...sides.map((side) => side.ids.length));
  view.step = Math.min(Math.max(view.step || 0, 0), view.steps - 1);
  if (view.look.layer >= sides[0].layers - 1) view.look.layer = LAST;
  if (view.look.head !== MEAN && view.look.head >= sides[0].heads) view.look.head = MEAN;
}
