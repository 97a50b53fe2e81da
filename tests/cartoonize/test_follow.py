"""People in a film: one is followed, or everybody; short gaps are filled."""

import itertools

import cv2
import numpy as np

from photo2cartoon.cartoonize.follow import Crowd, Follower, people
from photo2cartoon.cartoonize.video import cartoonize_video
from photo2cartoon.portrait.options import DrawOptions
from tests.films import RATE, RED, is_colour, pictures, red, shots, write


def test_frames_without_a_face(portrait, maker, tmp_path):
    """Short gaps are filled; there is no cartoon before the first face or in long gaps."""
    face = next(shots(portrait, 1))
    hidden = face.copy()
    hidden[80:260, 230:410] = 90  # a hand in front of the face
    parts = [(2, False), (3, True), (3, False), (3, True), (6, False), (3, True), (2, False)]
    frames = itertools.chain.from_iterable([face if seen else hidden] * count for count, seen in parts)
    source = write(tmp_path / "gaps.mkv", frames, rate=5)
    report = cartoonize_video(source, tmp_path / "out.mp4", maker.finder, maker.cut, red)
    _, after = pictures(tmp_path / "out.mp4")
    drawn = [is_colour(frame, RED) for frame in after]
    assert drawn == [False] * 2 + [True] * 9 + [False] * 6 + [True] * 3 + [False] * 2
    assert (report.frames, report.drawn) == (len(drawn), sum(drawn))
    assert all(is_colour(frame, (255, 255, 255)) for frame in after[11:17])


def test_one_person_is_followed(portrait, hopper, maker):
    """The followed face stays the same while another grows larger beside it; after a cut the largest face is taken."""
    other = cv2.cvtColor(cv2.imread(str(hopper)), cv2.COLOR_BGR2RGB)
    nearby, whole = Follower(maker.finder), Follower(maker.finder)
    whole.track.find_near = lambda *_: []
    for index in range(12):
        scene = np.full((480, 900, 3), 128, np.uint8)
        scene[:360, :400] = cv2.resize(portrait[:400, :440], (400, 360))
        side = 200 + 24 * index
        scene[:side, 420 : 420 + side] = cv2.resize(other, (side, side))
        if index >= 10:
            scene[:] = 20
            scene[:, 420:] = cv2.resize(other, (480, 480))
        if index in (0, 9):
            assert (maker.finder(scene)[0].points.mean(axis=0)[0] > 400) == (index == 9), "the largest is another"
        for follower in (nearby, whole):
            follower.add(scene, index / RATE)
    for follower in (nearby, whole):
        assert [(frame, scene) for frame, scene, _ in follower.track.sightings] == [
            (n, int(n >= 10)) for n in range(12)
        ]
        middles = [points.mean(axis=0)[0] for points in follower.track.steady()]
        assert max(middles[:10]) < 400 < 480 < min(middles[10:])
    for near, far in zip(nearby.track.steady(), whole.track.steady(), strict=True):
        assert np.abs(near - far).mean() < 0.03 * np.ptp(far), "a look nearby finds the same points"


def test_everybody_is_followed(portrait, hopper, maker, tmp_path):
    """Two people who move, one of whom leaves, and a newcomer: each is drawn in every frame that shows them, once."""
    other = cv2.cvtColor(cv2.imread(str(hopper)), cv2.COLOR_BGR2RGB)

    def scene(index):
        frame = np.full((480, 960, 3), 128, np.uint8)
        heads = [(portrait[:400, 20:420], 400, 3 * index), (other, 300, 640 - 3 * index)]
        if index >= 10:
            heads = [heads[1], (other[:, ::-1], 200, 40)]  # Collins leaves, another woman comes
        for picture, side, x in heads:
            frame[:side, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        return frame

    frames = [scene(index) for index in range(20)]
    crowd = Crowd(maker.finder, maker.min_face)
    for index, frame in enumerate(frames):
        crowd.add(frame, index / 10)
    assert len(crowd.tracks) == 3
    for index, here in enumerate(people(crowd.tracks)):
        expected = [3 * index + 210, 640 - 3 * index + 150] if index < 10 else [140, 640 - 3 * index + 150]
        assert np.allclose(sorted(person.points[:, 0].mean() for person in here), expected, atol=25), index
    source = write(tmp_path / "two.mp4", frames, sound=None, rate=10)
    options = DrawOptions(faces="all", paste=True)
    report = cartoonize_video(source, tmp_path / "out.mp4", maker.finder, maker.cut, red, options, smallest=64)
    assert report.drawn == 20
    for index, frame in enumerate(pictures(tmp_path / "out.mp4")[1]):
        for x in ([3 * index + 210] if index < 10 else [140]) + [640 - 3 * index + 150]:
            assert np.abs(frame[100:130, x - 8 : x + 8].reshape(-1, 3).mean(axis=0) - RED).max() < 30, (index, x)
