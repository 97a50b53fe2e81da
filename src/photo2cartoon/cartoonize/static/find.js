/** Finds faces by MediaPipe's full-range detector, as `photo2cartoon.portrait.mediapipe.FullRange` does. */

import { numbers, part, reduced, rint, rotated, stretched, turnedBack } from "./pixels.js";

export class Detector {
  /**
   * @param run takes numbers of a square picture to the network's outputs.
   * @param side of the square.
   * @param settings thresholds and shares, named in `static_page.py`.
   */
  constructor(run, side, settings) {
    Object.assign(this, { run, side, settings });
  }

  /**
   * Yield the boxes of the whole picture, of the padded picture, of its quarters, and of the picture turned.
   *
   * A box is `{ edges: [left, top, right, bottom], score, angle }`; the angle is that of the line between the eyes.
   */
  async *search(image) {
    yield await this.turned(image);
    yield await this.padded(image);
    yield withoutDuplicates(await this.inTiles(image), this.settings.overlap);
    for (const quarters of [1, 3, 2]) {
      const turned = rotated(image, quarters);
      // Small faces are found upside down too, if not the right way round; so one turn is enough for them.
      const boxes = [...(await this.padded(turned)), ...(quarters === 1 ? await this.inTiles(turned) : [])];
      yield withoutDuplicates(boxes, this.settings.overlap).map((box) => boxTurnedBack(box, quarters, image));
    }
  }

  /** Find the faces in the whole picture; where they may not be upright, the way it has to be turned as well. */
  async turned(image) {
    const surest = (boxes) => Math.max(0, ...boxes.map((box) => box.score));
    let best = await this.look(image, 0, 0, image.width, image.height);
    if (surest(best) >= this.settings.upright) return best;
    for (const quarters of [1, 2, 3]) {
      const turned = rotated(image, quarters);
      const boxes = await this.look(turned, 0, 0, turned.width, turned.height);
      if (surest(boxes) > surest(best)) best = boxes.map((box) => boxTurnedBack(box, quarters, image));
    }
    return best;
  }

  /** Find a face that fills the picture. */
  padded(image) {
    const { width, height } = image;
    const pad = rint(this.settings.padding * Math.max(width, height));
    return this.look(image, -pad, -pad, width + 2 * pad, height + 2 * pad);
  }

  /** Find small faces, in four overlapping parts of the picture. */
  async inTiles(image) {
    const [wide, high] = [image.width, image.height].map((side) => rint(side * this.settings.tile));
    const found = [];
    for (const left of [0, image.width - wide]) {
      for (const top of [0, image.height - high]) {
        const boxes = await this.look(image, left, top, wide, high);
        // A box that touches an edge of its part which is no edge of the picture is whole in the next part.
        const isWhole = ({ edges }) =>
          !(left > 0 && edges[0] < left) &&
          !(top > 0 && edges[1] < top) &&
          !(left + wide < image.width && edges[2] > left + wide) &&
          !(top + high < image.height && edges[3] > top + high);
        found.push(...boxes.filter(isWhole));
      }
    }
    return found;
  }

  /** Find the faces in a part of the picture, which may extend beyond it. */
  async look(image, left, top, width, height) {
    const { side, settings } = this;
    const scale = side / Math.max(width, height);
    let seen = part(image, left, top, left + width, top + height);
    const size = [seen.width, seen.height].map((edge) => Math.max(1, rint(edge * scale)));
    const step = Math.floor(1 / scale); // by a whole number first, so that no pixel is left out
    if (step > 1) seen = reduced(seen, step);
    const start = [left, top].map((edge) => rint(Math.max(-edge, 0) * scale));
    const [places, logits] = await this.run(inSquare(numbers(stretched(seen, ...size), 1 / 127.5, -1), size, side, start));
    const answers = [];
    logits.forEach((logit, cell) => {
      const score = 1 / (1 + Math.exp(-logit));
      if (score < settings.score) return;
      const middle = [(cell % settings.cells) + 0.5, Math.floor(cell / settings.cells) + 0.5];
      // Centre, size and six points of a face; all but the size are relative to the middle of the cell.
      const points = Array.from({ length: 8 }, (_, index) =>
        [0, 1].map((axis) => {
          const value = places[cell * 16 + index * 2 + axis] / side;
          const whole = index === 1 ? value : value + middle[axis] / settings.cells;
          return (whole * side) / scale + (index === 1 ? 0 : [left, top][axis]);
        }),
      );
      answers.push({ points, score });
    });
    return merged(answers, settings.overlap);
  }
}

/** Put the numbers of an image into those of a square, which are 0 elsewhere. */
function inSquare(picture, [width, height], side, [left, top]) {
  const square = new Float32Array(side * side * 3);
  for (let y = 0; y < Math.min(height, side - top); y++) {
    const row = picture.subarray(y * width * 3, (y * width + Math.min(width, side - left)) * 3);
    square.set(row, ((top + y) * side + left) * 3);
  }
  return square;
}

/** Average the answers about the same face, weighted by their scores. */
function merged(answers, limit) {
  const edges = ({ points: [[x, y], [width, height]] }) => [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
  let rest = [...answers].sort((one, other) => other.score - one.score);
  const boxes = [];
  while (rest.length) {
    const [first] = rest;
    const same = rest.filter((answer) => overlap(edges(first), edges(answer)) > limit);
    const total = same.reduce((sum, { score }) => sum + score, 0);
    const points = first.points.map((_, index) =>
      [0, 1].map((axis) => same.reduce((sum, { points, score }) => sum + points[index][axis] * score, 0) / total),
    );
    const [, , right, left] = points; // the eyes
    const angle = Math.atan2(left[1] - right[1], left[0] - right[0]);
    boxes.push({ edges: edges({ points }), score: first.score, angle });
    rest = rest.filter((answer) => !same.includes(answer));
  }
  return boxes;
}

function boxTurnedBack({ edges, score, angle }, quarters, { width, height }) {
  const [one, other] = [edges.slice(0, 2), edges.slice(2)].map((point) => turnedBack(point, quarters, width, height));
  const [x, y] = [0, 1].map((axis) => [one[axis], other[axis]].sort((less, more) => less - more));
  return { edges: [x[0], y[0], x[1], y[1]], score, angle: angle + (quarters * Math.PI) / 2 };
}

/** Keep the surest of boxes that overlap. */
function withoutDuplicates(boxes, limit) {
  const kept = [];
  for (const box of [...boxes].sort((one, other) => other.score - one.score)) {
    if (kept.every((other) => overlap(box.edges, other.edges) <= limit)) kept.push(box);
  }
  return kept;
}

/** Intersection over union of two boxes. */
function overlap(one, other) {
  const both =
    Math.max(Math.min(one[2], other[2]) - Math.max(one[0], other[0]), 0) *
    Math.max(Math.min(one[3], other[3]) - Math.max(one[1], other[1]), 0);
  const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
  return both ? both / (area(one) + area(other) - both) : 0;
}
