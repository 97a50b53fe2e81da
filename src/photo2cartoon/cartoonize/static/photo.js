/** Decodes a photograph, upright, in sRGB and on white, no finer than is needed. */

import { Refused } from "./refused.js";

export class Photo {
  /**
   * Decode a file.
   *
   * @param settings with `maxBytes`, `maxPixels` and `minSide`.
   */
  static async open(file, { maxBytes, maxPixels, minSide }) {
    if (file.size > maxBytes) {
      throw new Refused("too large", `The file is too large: at most ${Math.floor(maxBytes / 1e6)} MB are read.`);
    }
    let bitmap;
    try {
      bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    } catch {
      throw new Refused("unreadable", "This file cannot be read as a picture. Try JPEG or PNG.");
    }
    const { width, height } = bitmap;
    if (width * height > maxPixels) {
      bitmap.close();
      throw new Refused("too large", `The picture is too large: at most ${Math.floor(maxPixels / 1e6)} megapixels are read.`);
    }
    if (Math.min(width, height) < minSide) {
      bitmap.close();
      throw new Refused("too small", `The picture is too small (${width} × ${height} pixels). Try a larger one.`);
    }
    return new Photo(bitmap);
  }

  constructor(bitmap) {
    this.bitmap = bitmap;
  }

  get width() {
    return this.bitmap.width;
  }

  get height() {
    return this.bitmap.height;
  }

  /** Return the photograph at 1, 1/2, 1/4 or 1/8 of its size, whichever is the smallest that keeps `side`; and the scale. */
  coarse(side) {
    const longer = Math.max(this.width, this.height);
    let context = null;
    let size = [this.width, this.height];
    let steps = [3, 2, 1, 0].find((count) => count === 0 || longer / 2 ** count >= side);
    do {
      const half = steps ? size.map((edge) => Math.ceil(edge / 2)) : size;
      context = drawn(context?.canvas ?? this.bitmap, [0, 0, ...size], half);
      size = half;
    } while (--steps > 0);
    return { image: context.getImageData(0, 0, ...size), scale: Math.max(...size) / longer };
  }

  /** Return the part between two corners, at its full size, as far as there is one; and its first corner. */
  part([left, top, right, bottom]) {
    [left, top] = [Math.max(left, 0), Math.max(top, 0)];
    const size = [Math.max(Math.min(right, this.width) - left, 1), Math.max(Math.min(bottom, this.height) - top, 1)];
    return { image: drawn(this.bitmap, [left, top, ...size], size).getImageData(0, 0, ...size), left, top };
  }

  /** Free the memory. */
  close() {
    this.bitmap.close();
  }
}

/** Draw a part of a picture on white, at its size or at half of it: then every pixel is the mean of four, in any browser. */
function drawn(picture, source, [width, height]) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "low";
  context.drawImage(picture, ...source, 0, 0, width, height);
  return context;
}
