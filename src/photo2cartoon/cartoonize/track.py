"""One person's places in the frames of a video: matched from frame to frame, smoothed over time to prevent jitter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from photo2cartoon.portrait.find import Face
from photo2cartoon.portrait.maker import own_size
from photo2cartoon.portrait.shrink import shrunk

# A person unseen for longer than this is gone; shorter gaps are interpolated between the two sightings. Seconds.
GAP = 1.0
# Width of the smoothing, in seconds. Points jitter between frames; heads move in tenths of a second.
SIGMA = 0.15
# A face is the same one if it moved by less than this share of its size, plus this much more per second unseen...
JUMP, JUMP_PER_SECOND = 0.5, 0.5
# ... and did not grow or shrink by more than this factor.
ZOOM = 1.6
# Around its last position, a face is searched for in an area this many times its size, shrunk until the face has
# this many pixels: the points are as good as from more (0.3 % of the face from them), and the search is quicker.
NEAR, NEAR_FACE = 2.0, 72


class Track:
    """Sightings of one person.

    Args:
        times: presentation times of all frames so far, in seconds; the list grows with the video.
    """

    def __init__(self, times: list[float]) -> None:
        self.times = times
        self.sightings: list[tuple[int, int, np.ndarray]] = []  # frame, scene, points float32 [68, 2]

    def saw(self, points: np.ndarray, scene: int = 0) -> None:
        """Record the person's points in the newest frame."""
        self.sightings.append((len(self.times) - 1, scene, points.astype(np.float32)))

    @property
    def last(self) -> np.ndarray | None:
        """The person's last points."""
        return self.sightings[-1][2] if self.sightings else None

    @property
    def is_fresh(self) -> bool:
        """Whether the person was seen in the frame before the newest one."""
        return bool(self.sightings) and self.sightings[-1][0] == len(self.times) - 2

    @property
    def side(self) -> int:
        """Side of portraits that have as many pixels as the head at its largest."""
        return max(own_size(points) for _, _, points in self.sightings)

    def unseen(self, time: float) -> float:
        """Return for how long the person has not been seen, in seconds."""
        return time - self.times[self.sightings[-1][0]]

    def nearest(self, faces: list[Face], time: float) -> np.ndarray | None:
        """Return the points of the face that matches the person by position and size, or None."""
        last = self.last
        if last is None or not faces:
            return None
        centre, size = last.mean(axis=0), _size(last)
        nearest = min((face.points for face in faces), key=lambda points: np.linalg.norm(points.mean(axis=0) - centre))
        jump = size * (JUMP + JUMP_PER_SECOND * min(self.unseen(time), GAP))
        same_place = np.linalg.norm(nearest.mean(axis=0) - centre) < jump
        return nearest if same_place and 1 / ZOOM < _size(nearest) / size < ZOOM else None

    def find_near(self, find: Callable[[np.ndarray], list[Face]], rgb: np.ndarray) -> list[Face]:
        """Return the faces around the person's last position."""
        last = self.last
        assert last is not None  # for a track that `is_fresh`
        size, middle = _size(last), (last.min(axis=0) + last.max(axis=0)) / 2
        left, top = np.maximum(np.floor(middle - size * NEAR / 2), 0).astype(int)
        right, bottom = np.ceil(middle + size * NEAR / 2).astype(int)
        part = rgb[top:bottom, left:right]
        scale = min(1.0, NEAR_FACE / size)
        if min(part.shape[:2]) * scale < NEAR_FACE / 2:
            return []  # nearly all of the area is outside the frame
        if scale < 1:
            part = shrunk(part, scale)
        faces = find(np.ascontiguousarray(part))
        return [Face((face.points + 0.5) / scale - 0.5 + (left, top), face.score) for face in faces]

    def steady(self) -> Iterator[np.ndarray | None]:
        """Yield for every added frame the points to crop by, float64 `[68, 2]`, or None where nobody is visible."""
        frame = 0
        times = np.array(self.times)
        for run in self._runs():
            frames = np.array([sighting[0] for sighting in run])
            seen = np.stack([sighting[2] for sighting in run]).astype(np.float64)
            inside = times[frames[0] : frames[-1] + 1]
            yield from [None] * (frames[0] - frame)
            yield from smooth(inside, between(times[frames], seen, inside))
            frame = frames[-1] + 1
        yield from [None] * (len(times) - frame)

    def _runs(self) -> Iterator[list[tuple[int, int, np.ndarray]]]:
        """Split the sightings at every change of scene and every long gap."""
        run: list[tuple[int, int, np.ndarray]] = []
        for sighting in self.sightings:
            if run and (sighting[1] != run[-1][1] or self.times[sighting[0]] - self.times[run[-1][0]] > GAP):
                yield run
                run = []
            run.append(sighting)
        if run:
            yield run


def _size(points: np.ndarray) -> float:
    return float(np.ptp(points, axis=0).max())


def between(known: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Interpolate `values` `[K, ...]` linearly from the ascending times `known` `[K]` to `times` `[N]` among them."""
    right = np.clip(np.searchsorted(known, times), 1, max(len(known) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(known) - 1)
    span = np.maximum(known[right] - known[left], 1e-9)
    share = ((times - known[left]) / span).reshape(-1, *[1] * (values.ndim - 1))
    return values[left] * (1 - share) + values[right] * share


def smooth(times: np.ndarray, values: np.ndarray, sigma: float = SIGMA) -> Iterator[np.ndarray]:
    """Smooth over time: replace each value by that of a straight line fitted to its neighbours with Gaussian weights.

    For evenly spaced frames this is their weighted mean. At the ends, where there are neighbours on one side only, a
    mean would lag behind movement.

    Args:
        times: `[N]`, seconds, ascending; uneven spacing is allowed.
        values: float64 `[N, ...]`.
        sigma: seconds.

    Yields:
        float64 `[...]`, N times.
    """
    first = np.searchsorted(times, times - 3 * sigma)
    beyond = np.searchsorted(times, times + 3 * sigma, side="right")
    for time, a, b in zip(times, first, beyond, strict=True):
        away = (times[a:b] - time) / sigma
        weights = np.exp(-0.5 * away**2)
        s0, s1, s2 = weights.sum(), weights @ away, weights @ away**2
        slope = s0 * s2 - s1**2
        weights = weights * (s2 - s1 * away) / slope if slope > 1e-6 * s0**2 else weights / s0
        yield np.tensordot(weights, values[a:b], axes=1)
