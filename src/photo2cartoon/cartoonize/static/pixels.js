/**
 * Operations on images, with the conventions of OpenCV, which the server uses.
 *
 * An image is `{ data, width, height }`: RGBA in a Uint8ClampedArray, row by row. A matrix is `[a, b, c, d, e, f]` and
 * takes (x, y) to (a x + b y + c, d x + e y + f); the middle of the first pixel is (0, 0).
 */

const CHANNELS = 4;
const HALVES_GO_UP = 0.1; // added to a mean of four levels

/** Round half to even, as Python and OpenCV do. */
export function rint(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

/** Return a new image, filled with a colour if one is given. */
export function blank(width, height, colour) {
  const data = new Uint8ClampedArray(width * height * CHANNELS);
  if (colour) new Uint32Array(data.buffer).fill(new Uint32Array(Uint8Array.from(colour).buffer)[0]);
  return { data, width, height };
}

/** Return the part of an image between two corners, which may lie beyond its edges. */
export function part(image, left, top, right, bottom) {
  [left, top] = [Math.max(left, 0), Math.max(top, 0)];
  [right, bottom] = [Math.min(right, image.width), Math.min(bottom, image.height)];
  const cut = blank(Math.max(right - left, 0), Math.max(bottom - top, 0));
  for (let y = 0; y < cut.height; y++) {
    const start = ((top + y) * image.width + left) * CHANNELS;
    cut.data.set(image.data.subarray(start, start + cut.width * CHANNELS), y * cut.width * CHANNELS);
  }
  return cut;
}

/** Shrink an image: every pixel is the mean of the area that it covers (INTER_AREA). */
export function shrunk(image, width, height) {
  return averaged(image, areas(image.width, width), areas(image.height, height));
}

/** Shrink an image by a whole number; the last row and column may cover less. */
export function reduced(image, step) {
  const [columns, rows] = [image.width, image.height].map((side) => areas(side, Math.max(rint(side / step), 1), step));
  return averaged(image, columns, rows, step === 2 ? HALVES_GO_UP : 0);
}

/** For each pixel of a row of `after`, which pixels of a row of `before` it covers: the first one, and weights. */
function areas(before, after, scale = before / after) {
  return Array.from({ length: after }, (_, place) => {
    const [start, end] = [place * scale, Math.min((place + 1) * scale, before)];
    const first = Math.floor(start);
    const last = Math.min(Math.ceil(end - 1e-6), before);
    const weights = [];
    for (let index = first; index < last; index++) {
      weights.push((Math.min(index + 1, end) - Math.max(index, start)) / (end - start));
    }
    return { first, weights };
  });
}

function averaged(image, columns, rows, more = 0) {
  const [width, height] = [columns.length, rows.length];
  const narrow = new Float32Array(width * image.height * CHANNELS);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = columns[x];
      const to = (y * width + x) * CHANNELS;
      let from = (y * image.width + first) * CHANNELS;
      for (const weight of weights) {
        for (let channel = 0; channel < CHANNELS; channel++) narrow[to + channel] += weight * image.data[from++];
      }
    }
  }
  const result = blank(width, height);
  const line = new Float32Array(width * CHANNELS);
  for (let y = 0; y < height; y++) {
    const { first, weights } = rows[y];
    line.fill(more);
    weights.forEach((weight, index) => {
      const from = (first + index) * line.length;
      for (let place = 0; place < line.length; place++) line[place] += weight * narrow[from + place];
    });
    result.data.set(line, y * line.length);
  }
  return result;
}

/** Resize an image by linear interpolation, without smoothing, in OpenCV's whole numbers (INTER_LINEAR). */
export function stretched(image, width, height) {
  const [columns, rows] = [neighbours(image.width, width), neighbours(image.height, height)];
  const wide = new Int32Array(width * image.height * CHANNELS);
  for (let y = 0, to = 0; y < image.height; y++) {
    const row = y * image.width;
    for (const { one, other, near, far } of columns) {
      for (let channel = 0; channel < CHANNELS; channel++, to++) {
        const [left, right] = [image.data[(row + one) * CHANNELS + channel], image.data[(row + other) * CHANNELS + channel]];
        wide[to] = (left * near + right * far) >> 4;
      }
    }
  }
  const result = blank(width, height);
  const length = width * CHANNELS;
  rows.forEach(({ one, other, near, far }, y) => {
    for (let place = 0; place < length; place++) {
      const [above, below] = [wide[one * length + place] * near, wide[other * length + place] * far];
      result.data[y * length + place] = ((above >> 16) + (below >> 16) + 2) >> 2;
    }
  });
  return result;
}

/** For each pixel of a row of `after`, the two pixels of a row of `before` around it, and their weights in 1/2048. */
function neighbours(before, after) {
  return Array.from({ length: after }, (_, place) => {
    const at = Math.min(Math.max((place + 0.5) * (before / after) - 0.5, 0), before - 1);
    const one = Math.floor(at);
    return { one, other: Math.min(one + 1, before - 1), near: rint((one + 1 - at) * 2048), far: rint((at - one) * 2048) };
  });
}

/**
 * Draw an image through a matrix, by linear interpolation, in OpenCV's whole numbers (warpAffine).
 *
 * @param matrix from pixels of the image to pixels of the result.
 * @param border RGBA of what lies beyond the image.
 */
export function warped(image, matrix, width, height, border) {
  const [a, b, c, d, e, f] = inverse(matrix);
  const across = Array.from({ length: width }, (_, x) => [rint(a * x * 1024), rint(d * x * 1024)]);
  const result = blank(width, height);
  const { data } = image;
  const corner = (x, y, channel) =>
    x < 0 || y < 0 || x >= image.width || y >= image.height
      ? border[channel]
      : data[(y * image.width + x) * CHANNELS + channel];
  for (let y = 0, to = 0; y < height; y++) {
    const down = [rint((b * y + c) * 1024) + 16, rint((e * y + f) * 1024) + 16];
    for (let x = 0; x < width; x++, to += CHANNELS) {
      // Pixels are looked up at multiples of 1/32.
      const [atX, atY] = [(down[0] + across[x][0]) >> 5, (down[1] + across[x][1]) >> 5];
      const [left, top, right, low] = [atX >> 5, atY >> 5, atX & 31, atY & 31];
      for (let channel = 0; channel < CHANNELS; channel++) {
        const above = corner(left, top, channel) * (32 - right) + corner(left + 1, top, channel) * right;
        const below = corner(left, top + 1, channel) * (32 - right) + corner(left + 1, top + 1, channel) * right;
        result.data[to + channel] = (above * (32 - low) + below * low + 512) >> 10;
      }
    }
  }
  return result;
}

/** Turn an image counterclockwise by 1 to 3 quarters. */
export function rotated(image, quarters) {
  const { width, height } = image;
  const result = quarters === 2 ? blank(width, height) : blank(height, width);
  const [from, to] = [new Uint32Array(image.data.buffer), new Uint32Array(result.data.buffer)];
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      const [newX, newY] = { 1: [y, width - 1 - x], 2: [width - 1 - x, height - 1 - y], 3: [height - 1 - y, x] }[quarters];
      to[newY * result.width + newX] = from[index];
    }
  }
  return result;
}

/** Return a point of an image that was `rotated` in the original of this width and height. */
export function turnedBack([x, y], quarters, width, height) {
  return { 1: [width - 1 - y, x], 2: [width - 1 - x, height - 1 - y], 3: [y, height - 1 - x] }[quarters];
}

/** Return the matrix of the way back. */
export function inverse([a, b, c, d, e, f]) {
  const determinant = a * e - b * d;
  const [p, q, r, s] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

/** Take a point through a matrix. */
export function moved([x, y], [a, b, c, d, e, f]) {
  return [a * x + b * y + c, d * x + e * y + f];
}

/** Return the matrix of a part of an image, or of a resized one, from that of the whole: x is `scale` x' + `left`. */
export function of([a, b, c, d, e, f], scale, left, top) {
  return [a * scale[0], b * scale[1], a * left + b * top + c, d * scale[0], e * scale[1], d * left + e * top + f];
}

/** Return left, top, right and bottom of points. */
export function edgesOf(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Return the rotation that levels a line of this angle. */
export function levelling(angle) {
  return [Math.cos(angle), Math.sin(angle), 0, -Math.sin(angle), Math.cos(angle), 0];
}

/** Return the numbers of an image for a network: `scale` times the level plus `shift`, RGB, row by row. */
export function numbers(image, scale, shift) {
  const picture = new Float32Array(image.width * image.height * 3);
  for (let from = 0, to = 0; to < picture.length; from += CHANNELS) {
    for (let channel = 0; channel < 3; channel++) picture[to++] = image.data[from + channel] * scale + shift;
  }
  return picture;
}
