/** Levels the eyes and crops the square around a face, as `photo2cartoon.portrait.align` does. */

import { angleOf } from "./mesh.js";
import { edgesOf, inverse, levelling, moved } from "./pixels.js";

/**
 * Return the square around a face: `{ matrix, side }`.
 *
 * @param points the 68 landmarks, in pixels of an image of this width and height.
 * @param settings with `corners`, the indices of the outer corners of the eyes, and how far the box of the landmarks is
 *   grown: `growTop` and `growRest`.
 */
export function square(points, width, height, settings) {
  const turn = rotation(angleOf(points, settings.corners), width, height);
  const [left, top, right] = squareBox(points.map((point) => moved(point, turn)), settings);
  return { matrix: [turn[0], turn[1], turn[2] - left, turn[3], turn[4], turn[5] - top], side: right - left + 1 };
}

/** Return the rotation about the middle of an image, on a canvas that is large enough for all of it. */
function rotation(angle, width, height) {
  const [cos, sin] = levelling(angle);
  const newWidth = Math.trunc(width * Math.abs(cos) + height * Math.abs(sin));
  const newHeight = Math.trunc(width * Math.abs(sin) + height * Math.abs(cos));
  const [shiftX, shiftY] = [
    [newWidth, width],
    [newHeight, height],
  ].map(([after, before]) => Math.floor(after / 2) - Math.floor(before / 2));
  return [
    cos,
    sin,
    ((1 - cos) * width) / 2 - (sin * height) / 2 + shiftX,
    -sin,
    cos,
    (sin * width) / 2 + ((1 - cos) * height) / 2 + shiftY,
  ];
}

/** Return the box of levelled points, grown and made square: left, top, right and bottom in whole pixels. */
function squareBox(points, { growTop, growRest }) {
  const [x0, y0, x1, y1] = edgesOf(points);
  const [width, height] = [x1 - x0, y1 - y0];
  let [left, right] = [Math.trunc(x0 - growRest * width), Math.trunc(x1 + growRest * width)];
  let [top, bottom] = [Math.trunc(y0 - growTop * height), Math.trunc(y1 + growRest * height)];
  if (bottom - top > right - left) {
    left -= Math.floor((bottom - top - (right - left)) / 2);
    right = left + (bottom - top);
  } else {
    top -= Math.floor((right - left - (bottom - top)) / 2);
    bottom = top + (right - left);
  }
  return [left, top, right, bottom];
}

/** Return the rectangle of the image that a square shows, in whole pixels: left, top, right and bottom. */
export function shownBy({ matrix, side }) {
  const back = inverse(matrix);
  const corners = [[-1, -1], [side, -1], [-1, side], [side, side]].map((corner) => moved(corner, back));
  const [left, top, right, bottom] = edgesOf(corners);
  return [Math.floor(left) - 1, Math.floor(top) - 1, Math.ceil(right) + 2, Math.ceil(bottom) + 2];
}

/** Adapt a matrix into a square to a resize of that square, which scales about the corners of pixels. */
export function resized([a, b, c, d, e, f], before, after) {
  const scale = after / before;
  return [a * scale, b * scale, (c + 0.5) * scale - 0.5, d * scale, e * scale, (f + 0.5) * scale - 0.5];
}

/** Return points of an image in the image resized by `scale`. */
export function scaled(points, scale) {
  return points.map(([x, y]) => [(x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5]);
}
