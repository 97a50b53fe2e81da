/** Separates the person from the background by MediaPipe's selfie segmentation. */

import { blank, numbers } from "./pixels.js";

/**
 * Return the person mask of an image: an image whose alpha is 255 for the person, 0 for the background.
 *
 * @param run takes numbers of a square picture to the network's outputs.
 * @param image a square of the network's side.
 */
export async function personMask(run, image) {
  const [shares] = await run(numbers(image, 1 / 255, 0));
  const mask = blank(image.width, image.height);
  shares.forEach((share, index) => (mask.data[index * 4 + 3] = share * 255));
  return mask;
}
