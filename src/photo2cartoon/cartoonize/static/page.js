/** The page: takes a photograph, shows it beside its cartoon, and offers the cartoon for download. */

import { Cartoonist } from "./cartoonist.js";
import { Refused } from "./refused.js";

const $ = (id) => document.getElementById(id);
const NEEDED = ["Worker", "OffscreenCanvas", "DecompressionStream", "WebAssembly", "createImageBitmap"];

let cartoonist;
let loading = true;
let name = "photo"; // of the file, without its suffix
let drawing = false; // while a photograph or a colour is worked on
let next = null; // what was asked for meanwhile; only the latest counts

function start() {
  const missing = NEEDED.filter((feature) => !(feature in globalThis));
  if (missing.length) {
    show("This browser is too old to draw: it lacks " + missing.join(", ") + ".", "error");
    return;
  }
  cartoonist = new Cartoonist((loaded, total) => {
    $("progress").max = total;
    $("progress").value = loaded;
    if (loading) say(`Loading ${megabytes(loaded)} of ${megabytes(total)} MB, once…`);
  });
  say("Loading…");
  cartoonist.ready.finally(endLoading).then(loaded, fail);
  for (const id of ["photo", "camera"]) $(id).addEventListener("change", ({ target }) => take(target.files));
  $("colour").addEventListener("input", showColour);
  $("colour").addEventListener("change", () => ask(redraw));
  addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  for (const [event, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
    addEventListener(event, ({ relatedTarget }) => $("given").classList.toggle("over", over || Boolean(relatedTarget)));
  }
}

function endLoading() {
  loading = false;
  $("progress").hidden = true;
}

function loaded() {
  const { version, limits, colour } = cartoonist.settings;
  $("version").textContent = [version, limits].filter(Boolean).join(", ");
  $("colour").value = colour;
  showColour();
  if (!drawing) say("Ready.");
}

function take([file]) {
  if (!file) return;
  ask(() => drawn(file));
  // The same file can be chosen again.
  for (const id of ["photo", "camera"]) $(id).value = "";
}

/** Do one thing at a time, and of what is asked for meanwhile the latest; a photograph is drawn in the latest colours. */
async function ask(work) {
  if (drawing) {
    if (work !== redraw || !next) next = work;
    return;
  }
  drawing = true;
  document.body.classList.add("busy");
  show("", "error");
  try {
    await work();
  } catch (error) {
    fail(error);
  }
  drawing = false;
  document.body.classList.remove("busy");
  if (next) {
    const later = next;
    next = null;
    ask(later);
  }
}

/** Make the portrait of a file and draw it. */
async function drawn(file) {
  $("result").hidden = true;
  await cartoonist.ready;
  say("Finding the face…");
  const portrait = await cartoonist.cut(file);
  name = file.name.replace(/\.\w+$/, "") || "photo";
  showPortrait(portrait);
  await redraw();
}

/** Draw the portrait with the colours of the slider. */
async function redraw() {
  say("Drawing…");
  const begun = performance.now();
  const png = await cartoonist.draw(Number($("colour").value));
  const seconds = (performance.now() - begun) / 1000;
  URL.revokeObjectURL($("cartoon").src);
  $("cartoon").src = $("download").href = URL.createObjectURL(png);
  $("download").download = `${name}-cartoon.png`;
  await $("cartoon").decode();
  $("result").hidden = false;
  say(`Drawn on this device in ${seconds.toFixed(1)} s.`);
}

/** Show the crop with its background; where there is no photograph, white. */
function showPortrait({ data, side }) {
  const canvas = $("portrait");
  canvas.width = canvas.height = side;
  const opaque = data.map((value, index) => (index % 4 === 3 ? 255 : value));
  canvas.getContext("2d").putImageData(new ImageData(opaque, side, side), 0, 0);
}

function showColour() {
  $("strength").textContent = `${Math.round($("colour").value * 100)} %`;
}

function fail(error) {
  say("");
  const known = error instanceof Refused;
  show(known ? error.message : `This did not work: ${error.message}. Reload the page to try again.`, "error");
}

function say(text) {
  show(text, "status");
}

function show(text, id) {
  $(id).textContent = text;
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

start();
