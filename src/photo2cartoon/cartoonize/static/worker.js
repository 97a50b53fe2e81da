/**
 * Finds, cuts out and draws, beside the page's own thread, so that the page stays responsive.
 *
 * Messages to it: `{ id, call, ...arguments }`; from it: `{ id, result }`, `{ id, refused }` or `{ id, failed }`, and while
 * it loads `{ loaded, total }`. It does one thing at a time.
 */

import { draw, encode } from "./draw.js";
import { load } from "./models.js";
import { Photo } from "./photo.js";
import { PortraitMaker } from "./portrait.js";
import { Refused } from "./refused.js";

let settings, models, maker, portrait;

const calls = {
  /** Load all files. */
  async load({ given }) {
    settings = given;
    models = await load(settings.files, (loaded, total) => postMessage({ loaded, total }));
    maker = new PortraitMaker(models, settings.portrait);
  },

  /** Make the portrait of a file and keep it; return it. */
  async cut({ file }) {
    portrait = null;
    const photo = await Photo.open(file, settings.portrait);
    try {
      const { image, matrix, points } = await maker.of(photo);
      portrait = image;
      return { data: image.data, side: image.width, matrix, points };
    } finally {
      photo.close();
    }
  },

  /** Draw the kept portrait; return a PNG file. */
  async draw({ colour }) {
    return encode(await draw(models.generator, portrait, colour), settings.mark);
  },
};

let last = Promise.resolve();

addEventListener("message", ({ data: { id, call, ...given } }) => {
  last = last.then(async () => {
    try {
      postMessage({ id, result: await calls[call](given) });
    } catch (error) {
      const kind = error instanceof Refused ? "refused" : "failed";
      postMessage({ id, [kind]: error?.message ?? String(error), reason: error?.reason });
    }
  });
});
