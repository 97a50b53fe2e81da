/** Makes the portrait of a photograph's largest face, as `photo2cartoon.portrait.maker.PortraitMaker` does. */

import { resized, scaled, shownBy, square } from "./align.js";
import { Detector } from "./find.js";
import { Mesh } from "./mesh.js";
import { edgesOf, of, shrunk, stretched, warped } from "./pixels.js";
import { Refused } from "./refused.js";
import { personMask } from "./segment.js";

const NOTHING = [255, 255, 255, 0]; // beyond the photograph: white, and not of the person

export class PortraitMaker {
  /**
   * @param models with `detector`, `mesh` and `segmenter`: `{ run, side }` each.
   * @param settings the constants of the Python code, written by `static_page.py`.
   */
  constructor({ detector, mesh, segmenter }, settings) {
    this.settings = settings;
    this.detector = new Detector(detector.run, detector.side, settings.detector);
    this.mesh = new Mesh(mesh.run, mesh.side, { ...settings.mesh, corners: settings.align.corners });
    this.segmenter = segmenter;
  }

  /**
   * Return the portrait of the largest face: `{ image, matrix, points }`.
   *
   * The image is RGBA of `settings.size`; alpha is 255 for the person and 0 for the background. The matrix takes pixels of
   * the photograph to those of the portrait, and the points are the landmarks in pixels of the photograph.
   */
  async of(photo) {
    const { size, searchSide, searchSideAgain, enough, minFace, align } = this.settings;
    let { image, scale } = photo.coarse(searchSide);
    let points = await this.largest(image);
    if (!points && scale < 1) {
      ({ image, scale } = photo.coarse(searchSideAgain));
      points = await this.largest(image);
    }
    if (!points) {
      throw new Refused("no face", "No face was found. Try one where the face looks at the camera, is lit, and not covered.");
    }
    const own = scaled(points, 1 / scale);
    const [left, , right] = edgesOf(own);
    if (Math.trunc(right - left) < minFace) {
      const detail = `${Math.trunc(right - left)} pixels wide, at least ${minFace} are needed`;
      throw new Refused("too small", `The face is too small (${detail}). Try a larger picture.`);
    }
    let crop = square(points, image.width, image.height, align);
    let matrix = crop.matrix;
    if (scale < 1 && crop.side < enough * size) {
      crop = square(own, photo.width, photo.height, align);
      const near = photo.part(shownBy(crop));
      [image, scale] = [near.image, 1];
      matrix = of(crop.matrix, [1, 1], near.left, near.top);
    }
    const pixels = warped(image, matrix, crop.side, crop.side, NOTHING);
    const portrait = crop.side > size ? shrunk(pixels, size, size) : stretched(pixels, size, size);
    await this.cutOut(portrait, crop.side);
    const whole = of(resized(crop.matrix, crop.side, size), [scale, scale], (scale - 1) / 2, (scale - 1) / 2);
    return { image: portrait, matrix: whole, points: own };
  }

  /** Write the person mask into a portrait's alpha, where that is not less already. */
  async cutOut(portrait, side) {
    const { size } = this.settings;
    let mask = await personMask(this.segmenter.run, portrait);
    // As on the server, the mask has no more pixels than the crop.
    if (side < size) mask = stretched(stretched(mask, side, side), size, size);
    for (let place = 3; place < mask.data.length; place += 4) {
      portrait.data[place] = Math.min(portrait.data[place], mask.data[place]);
    }
  }

  /** Return the landmarks of an image's largest face, or null. */
  async largest(image) {
    for await (const boxes of this.detector.search(image)) {
      let best = null;
      const large = boxes.sort((one, other) => area(other.edges) - area(one.edges)).slice(0, this.settings.mostBoxes);
      for (const box of large) {
        const points = await this.mesh.landmarks(image, box);
        if (points && (!best || area(edgesOf(points)) > area(edgesOf(best)))) best = points;
      }
      if (best) return best;
    }
    return null;
  }
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}
