"""Follows people through the frames of a video: one person, or everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from photo2cartoon.cartoonize.track import GAP, Track
from photo2cartoon.portrait.boxes import edges_of, shared
from photo2cartoon.portrait.find import SAME, Face
from photo2cartoon.portrait.maker import MOST_FACES

# Mean change of the image, in levels of 255, that counts as a cut to another scene.
CUT = 30.0
# While everybody known is in sight, newcomers are looked for after this many seconds.
NEWCOMERS = 0.2


class Find(Protocol):
    """Maps uint8 `[H, W, 3]` to its faces, the largest first: a `Finder`."""

    def __call__(self, rgb: np.ndarray, everybody: bool = False) -> list[Face]: ...


class Person(NamedTuple):
    """A person in a frame.

    Args:
        points: where to crop, float64 `[68, 2]`.
        side: side of portraits that have as many pixels as the head at its largest.
    """

    points: np.ndarray
    side: int


class Cuts:
    """Recognises cuts from one scene of a video to another."""

    def __init__(self) -> None:
        self._thumbnail: np.ndarray | None = None

    def __call__(self, rgb: np.ndarray) -> bool:
        """Return whether this frame starts another scene than the one before."""
        before = self._thumbnail
        self._thumbnail = cv2.resize(rgb, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        return before is not None and bool(np.abs(self._thumbnail - before).mean() > CUT)


class Follower:
    """Follows the person whose face is the largest in the first frame that shows one.

    A face near the last one is the same person. The follower switches to the largest face only after a cut to another
    scene, or once the person has been gone for longer than `GAP`.

    Args:
        find: finds faces.
    """

    def __init__(self, find: Find) -> None:
        self.times: list[float] = []
        self.track = Track(self.times)
        self._find, self._cuts = find, Cuts()
        self._scene = 0
        self._was_cut = False

    @property
    def tracks(self) -> list[Track]:
        """The person, if there is one."""
        return [self.track] if self.track.sightings else []

    def add(self, rgb: np.ndarray, time: float) -> None:
        """Process the next frame.

        Args:
            rgb: uint8 `[H, W, 3]`, upright; the same size for every frame.
            time: presentation time in seconds, later than the previous frame's.
        """
        self.times.append(time)
        self._was_cut |= self._cuts(rgb)
        points = self._see(rgb, time)
        if points is not None:
            self._scene += self._was_cut
            self._was_cut = False
            self.track.saw(points, self._scene)

    def _see(self, rgb: np.ndarray, time: float) -> np.ndarray | None:
        """Return the person's points in a frame, or None; after a gap, possibly another person's."""
        track = self.track
        if track.is_fresh:
            points = track.nearest(track.find_near(self._find, rgb), time)
            if points is not None:
                return points
        faces = self._find(rgb)
        points = track.nearest(faces, time)
        if points is None and faces and (track.last is None or self._was_cut or track.unseen(time) > GAP):
            points = faces[0].points
        return points


class Crowd:
    """Follows everybody, `MOST_FACES` at a time. A cut to another scene ends all tracks.

    Args:
        find: finds faces.
        smallest: width of the landmarks in pixels from which on a face is followed.
    """

    def __init__(self, find: Find, smallest: int) -> None:
        self.times: list[float] = []
        self.tracks: list[Track] = []
        self._find, self._smallest, self._cuts = find, smallest, Cuts()
        self._here: list[Track] = []
        self._searched = -np.inf

    def add(self, rgb: np.ndarray, time: float) -> None:
        """Process the next frame, as for `Follower`."""
        self.times.append(time)
        if self._cuts(rgb):
            self._here = []
        self._here = [track for track in self._here if track.unseen(time) <= GAP]
        seen: list[np.ndarray] = []
        missing: list[Track] = []
        for track in self._here:
            points = track.nearest(track.find_near(self._find, rgb), time) if track.is_fresh else None
            if points is None or _is_among(points, seen):
                missing.append(track)
            else:
                track.saw(points)
                seen.append(points)
        if missing or not self._here or time - self._searched >= NEWCOMERS:
            self._search(rgb, time, seen, missing)

    def _search(self, rgb: np.ndarray, time: float, seen: list[np.ndarray], missing: list[Track]) -> None:
        """Look for the missing people, and for newcomers, in the whole frame."""
        self._searched = time
        faces = [face for face in self._find(rgb, everybody=True) if not _is_among(face.points, seen)]
        for track in missing:
            points = track.nearest(faces, time)
            if points is not None:
                track.saw(points)
                faces = [face for face in faces if face.points is not points]
        for face in faces:
            if len(self._here) < MOST_FACES and np.ptp(face.points[:, 0]) >= self._smallest:
                newcomer = Track(self.times)
                newcomer.saw(face.points)
                self._here.append(newcomer)
                self.tracks.append(newcomer)


def _is_among(points: np.ndarray, others: list[np.ndarray]) -> bool:
    return any(shared(edges_of(points), edges_of(other)) >= SAME for other in others)


def people(tracks: list[Track]) -> Iterator[list[Person]]:
    """Yield for every frame the people in it, the largest heads last."""
    sides = [track.side for track in tracks]
    for places in zip(*(track.steady() for track in tracks), strict=True):
        here = [Person(points, side) for points, side in zip(places, sides, strict=True) if points is not None]
        yield sorted(here, key=lambda person: float(np.ptp(person.points, axis=0).max()))
