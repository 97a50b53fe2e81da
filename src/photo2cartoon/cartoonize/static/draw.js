/** Draws a portrait by the generator, and writes the cartoon as a PNG file. */

import { Tensor } from "./onnxruntime.mjs";
import { marked } from "./mark.js";

/**
 * Draw a cartoon on white.
 *
 * @param session the generator's graph, from `portrait` and `colour` to `cartoon`.
 * @param portrait a square RGBA image.
 * @param colour strength of the photograph's colours, from 0, the style's own, to 1.
 * @returns an RGBA image.
 */
export async function draw(session, portrait, colour) {
  const { width, height } = portrait;
  const given = {
    portrait: new Tensor("uint8", Uint8Array.from(portrait.data), [1, height, width, 4]),
    colour: new Tensor("float32", [colour], [1, 1]),
  };
  const { cartoon } = await session.run(given, ["cartoon"]);
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; from < cartoon.data.length; from += 3, to += 4) {
    image.data.set(cartoon.data.subarray(from, from + 3), to);
    image.data[to + 3] = 255;
  }
  return image;
}

/** Encode an image as PNG with the mark of generated content, an XMP packet. */
export async function encode(image, packet) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return marked(await canvas.convertToBlob({ type: "image/png" }), packet);
}
