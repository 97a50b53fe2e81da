/** Separates the person from the background by MediaPipe's selfie segmentation. */

import { numbers } from "./pixels.js";

/**
 * Write the person mask of an image into its alpha, where that is not less already.
 *
 * @param run takes numbers of a square picture to the network's outputs.
 * @param image a square of the network's side; its alpha is changed.
 */
export async function cutOut(run, image) {
  const [mask] = await run(numbers(image, 1 / 255, 0));
  mask.forEach((share, index) => {
    const alpha = Math.round(Math.min(Math.max(share, 0), 1) * 255);
    image.data[index * 4 + 3] = Math.min(image.data[index * 4 + 3], alpha);
  });
}
