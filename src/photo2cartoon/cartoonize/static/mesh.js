/** Finds the 68 landmarks of a face by MediaPipe's mesh, as `photo2cartoon.portrait.mediapipe.Mesh` does. */

import { blank, edgesOf, inverse, levelling, moved, numbers, of, part, reduced, warped } from "./pixels.js";

const BLACK = [0, 0, 0, 255];

export class Mesh {
  /** As of `Detector`. */
  constructor(run, side, settings) {
    Object.assign(this, { run, side, settings });
  }

  /** Return the 68 points of a box, `[x, y]` each; null where the mesh sees no face. */
  async landmarks(image, { edges: [left, top, right, bottom], angle }) {
    const { settings } = this;
    const centre = [(left + right) / 2, (top + bottom) / 2];
    const size = settings.region * Math.max(right - left, bottom - top);
    let best = await this.seeTwice(image, centre, size, angle);
    if (best.sure < settings.certain) {
      for (const quarters of [1, 2, 3]) {
        const seen = await this.seeTwice(image, centre, size, angle + (quarters * Math.PI) / 2);
        if (seen.sure > best.sure) best = seen;
      }
    }
    return best.sure >= settings.face ? this.as68(best.mesh) : null;
  }

  /** Look where the first look put the face, which makes tilt and the detector's framing harmless. */
  async seeTwice(image, ...place) {
    const seen = await this.see(image, ...place);
    return seen.sure >= this.settings.lost ? this.see(image, ...this.region(seen.mesh)) : seen;
  }

  /** Run the network on a turned square of the picture; return the mesh and the logit of there being a face. */
  async see(image, centre, size, angle) {
    const { side } = this;
    const turn = levelling(angle).map((value) => value * (side / size));
    const [x, y] = moved(centre, turn);
    const [a, b, , d, e] = turn;
    const matrix = [a, b, side / 2 - 0.5 - x, d, e, side / 2 - 0.5 - y];
    const [points, [sure]] = await this.run(numbers(region(image, matrix, side, size), 1 / 255, 0));
    const back = inverse(matrix);
    const mesh = Array.from({ length: points.length / 3 }, (_, index) =>
      moved([points[index * 3] - 0.5, points[index * 3 + 1] - 0.5], back),
    );
    return { mesh, sure };
  }

  /** Return centre, side and angle of the square in which the mesh is to be seen again. */
  region(mesh) {
    const [right, left] = this.settings.eyes.map((vertex) => mesh[vertex]);
    const angle = Math.atan2(left[1] - right[1], left[0] - right[0]);
    const turn = levelling(angle);
    const [x0, y0, x1, y1] = edgesOf(mesh.map((point) => moved(point, turn)));
    const centre = moved([(x0 + x1) / 2, (y0 + y1) / 2], inverse(turn));
    return [centre, this.settings.region * Math.max(x1 - x0, y1 - y0), angle];
  }

  /** Return the 68 points of a mesh, with the outline where dlib's model puts it. */
  as68(mesh) {
    const { vertices, outline, stretch, shift, corners } = this.settings;
    const points = vertices.map((vertex) => mesh[vertex]);
    const turn = levelling(angleOf(points, corners));
    const back = inverse(turn);
    const levelled = points.slice(0, outline).map((point) => moved(point, turn));
    const [x0, y0, x1, y1] = edgesOf(levelled);
    const [centre, size] = [[(x0 + x1) / 2, (y0 + y1) / 2], [x1 - x0, y1 - y0]];
    const put = (point) => [0, 1].map((axis) => (point[axis] - centre[axis]) * stretch[axis] + centre[axis] + shift[axis] * size[axis]);
    return [...levelled.map((point) => moved(put(point), back)), ...points.slice(outline)];
  }
}

/** Return the angle of the line between the outer corners of the eyes, in radians; 0 is level. */
export function angleOf(points, [left, right]) {
  return Math.atan2(points[right][1] - points[left][1], points[right][0] - points[left][0]);
}

/** Take a square out of a picture; one that is much larger than `side` is shrunk by area first. */
function region(image, matrix, side, size) {
  const step = Math.floor(size / side);
  if (step < 2) return warped(image, matrix, side, side, BLACK);
  const back = inverse(matrix);
  const [x0, y0, x1, y1] = edgesOf([[0, 0], [side, 0], [0, side], [side, side]].map((corner) => moved(corner, back)));
  const [left, top] = [x0, y0].map((edge) => Math.max(Math.floor(edge) - step, 0));
  const seen = part(image, left, top, Math.ceil(x1) + step, Math.ceil(y1) + step);
  if (!seen.width || !seen.height) return blank(side, side, BLACK);
  const small = reduced(seen, step);
  const scale = [seen.width / small.width, seen.height / small.height];
  const shifted = of(matrix, scale, left + (scale[0] - 1) / 2, top + (scale[1] - 1) / 2);
  return warped(small, shifted, side, side, BLACK);
}
