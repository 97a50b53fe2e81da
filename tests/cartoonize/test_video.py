"""A video keeps its frames, times and sound; its crop is steady; failures are reported in one line."""

import gc
import itertools
import weakref
from fractions import Fraction

import av
import cv2
import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from photo2cartoon.cartoonize.follow import Crowd, Follower, people
from photo2cartoon.cartoonize.options import DrawOptions
from photo2cartoon.cartoonize.video import BATCH, CONTAINERS, cartoonize_video
from photo2cartoon.cartoonize.video_reader import SUFFIXES, VideoReader
from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PortraitMaker
from photo2cartoon.portrait.background import on_white
from photo2cartoon.serving.session import open_session

WIDTH, HEIGHT, RATE, COUNT, SOUND_RATE = 640, 360, 25, 30, 48000
TONE, TONE_FROM = 440, 0.3  # Hz, seconds
EYES = (224, 140)  # between Eileen Collins' eyes
RED = (200, 60, 40)
NEARLY_LOSSLESS = {"crf": "8", "preset": "ultrafast"}


@pytest.fixture(scope="module")
def maker(weights) -> PortraitMaker:
    return PortraitMaker.from_weights(weights, check=False)


@pytest.fixture(scope="module")
def portrait(astronaut) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(astronaut)), cv2.COLOR_BGR2RGB)


def shots(picture, count, tremble=0.7, noise=5.0, pan=30.0, turn=6.0, zoom=0.08, rate=RATE):
    """Yield frames of a hand-held camera that pans, turns and zooms slowly around a face in poor light."""
    rng = np.random.default_rng(0)
    for index in range(count):
        time = index / rate
        scale, angle = 1.3 * (1 + zoom * np.sin(time)), np.deg2rad(turn * np.sin(0.8 * time))
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
        middle = np.array([WIDTH / 2 + pan * np.sin(0.7 * time), HEIGHT / 2 - 10]) + rng.normal(0, tremble, 2)
        matrix[:, 2] = middle - matrix[:, :2] @ EYES
        frame = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        yield np.clip(frame + noise * rng.standard_normal(frame.shape, np.float32), 0, 255).astype(np.uint8)


def write(
    path,
    frames,
    pts=None,
    time_base=None,
    sound="aac",
    video="libx264",
    rate=RATE,
    options=None,
    turned=None,
    pix_fmt="yuv420p",
    **container,
):
    """Write a video whose tone starts at `TONE_FROM`, and return its path."""
    frames = list(frames)
    time_base = time_base or Fraction(1, rate)
    with av.open(str(path), "w", container_options=container) as out:
        stream = out.add_stream(video, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        if turned:
            stream.set_display_rotation(*turned)
        audio = out.add_stream(sound, rate=SOUND_RATE, layout="mono") if sound else None
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = pts[index] if pts else index, time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio:
            time = np.arange(int(SOUND_RATE * len(frames) / rate)) / SOUND_RATE
            wave = 0.3 * np.sin(2 * np.pi * TONE * time) * (time >= TONE_FROM)
            tone = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            tone.sample_rate, tone.pts = SOUND_RATE, 0
            resampler = av.AudioResampler(audio.format, "mono", SOUND_RATE)
            for part in [*resampler.resample(tone), *resampler.resample(None), None]:
                out.mux(audio.encode(part))
    return path


def pictures(path):
    """Return the exact frame times in seconds and the frames, uint8 RGB."""
    with av.open(str(path)) as video:
        frames = [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
    return [time for time, _ in frames], np.stack([frame for _, frame in frames])


def heard(path):
    """Return the sound's frequency in Hz and its start and end in seconds."""
    wave, start = [], None
    with av.open(str(path)) as video:
        for frame in video.decode(audio=0):
            start = frame.time if start is None else start
            values = frame.to_ndarray().astype(np.float64)
            wave.append(values.reshape(-1, frame.layout.nb_channels)[:, 0] if values.shape[0] == 1 else values[0])
    wave = np.concatenate(wave)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    begins = np.argmax(np.abs(wave) > 0.25 * np.abs(wave).max())
    return (
        np.fft.rfftfreq(len(wave), 1 / SOUND_RATE)[spectrum.argmax()],
        start + begins / SOUND_RATE,
        start + len(wave) / SOUND_RATE,
    )


def packets(path):
    with av.open(str(path)) as video:
        return [bytes(packet) for packet in video.demux(audio=0) if packet.size]


def as_they_are(portraits, _):
    return on_white(portraits)


def red(portraits, _):
    return np.broadcast_to(np.array(RED, np.uint8), (*portraits.shape[:3], 3))


def is_colour(frame, colour):
    return np.abs(frame.reshape(-1, 3).mean(axis=0) - colour).max() < 4


@pytest.fixture(scope="module")
def video(portrait, tmp_path_factory):
    """Video with fine-grained, uneven timestamps, as a phone writes it."""
    pts = [index * 3600 + (0, 700, -450, 90)[index % 4] for index in range(COUNT)]
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    return write(path, shots(portrait, COUNT), pts=pts, time_base=Fraction(1, 90000))


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_frames_times_and_sound_stay(video, maker, tmp_path, suffix):
    out = tmp_path / f"cartoon{suffix}"
    report = cartoonize_video(video, out, maker.finder, maker.cut, as_they_are)
    encoded = suffix == ".webm"
    assert (report.frames, report.drawn, report.damaged) == (COUNT, COUNT, False)
    assert report.sound == ("encoded" if encoded else "copied") and report.seconds == pytest.approx(
        COUNT / RATE, abs=0.01
    )
    (times, before), (times_after, after) = pictures(video), pictures(out)
    assert before.shape[1:] == (HEIGHT, WIDTH, 3) and after.shape == (COUNT, 256, 256, 3)
    if suffix in (".mp4", ".mov"):
        assert times_after == times
    else:  # Matroska timestamps are in milliseconds
        assert np.abs(np.array(times_after, float) - np.array(times, float)).max() <= 0.0006
    assert (np.diff(np.array(times_after, float)).std() > 0.005) and after[5:].std() > 30
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.duration / av.time_base == pytest.approx(COUNT / RATE, abs=0.04)
    if not encoded:
        assert packets(out)[-50:] == packets(video)[-50:] and abs(len(packets(out)) - len(packets(video))) <= 1
    tone, begins, ends = heard(out)
    assert tone == pytest.approx(TONE, abs=1) and ends == pytest.approx(COUNT / RATE, abs=0.05)
    assert begins == pytest.approx(heard(video)[1], abs=0.004) == pytest.approx(TONE_FROM, abs=0.005)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "video", "sound", "becomes"),
    [
        ("a.webm", "libvpx-vp9", "libopus", {".mp4": "encoded", ".webm": "copied", ".mkv": "copied"}),
        ("a.mkv", "libx264", "flac", {".mp4": "encoded", ".mkv": "copied"}),
        ("b.mkv", "libx264", "libmp3lame", {".mov": "copied"}),
        ("a.avi", "mjpeg", "pcm_s16le", {".webm": "encoded"}),
        ("b.avi", "libx264", "pcm_s16le", {".mp4": "encoded"}),
        ("a.mov", "libx264", None, {".mp4": "none"}),
    ],
)
def test_other_containers(portrait, maker, tmp_path, name, video, sound, becomes):
    pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
    options = {"deadline": "realtime", "cpu-used": "8"} if "vp9" in video else None
    source = write(tmp_path / name, shots(portrait, 18), video=video, sound=sound, pix_fmt=pix_fmt, options=options)
    assert source.suffix in SUFFIXES
    for suffix, sound_is in becomes.items():
        out = tmp_path / f"out{suffix}"
        report = cartoonize_video(source, out, maker.finder, maker.cut, red)
        assert (report.frames, report.drawn, report.sound) == (18, 18, sound_is)
        times, frames = pictures(out)
        assert np.abs(np.array(times, float) - np.arange(18) / RATE).max() < 0.001
        assert all(is_colour(frame, RED) for frame in frames)
        if sound:
            tone, begins, _ = heard(out)
            assert tone == pytest.approx(TONE, abs=4) and begins == pytest.approx(heard(source)[1], abs=0.004)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_phone_s_video_is_upright(portrait, tmp_path, degrees, mirrored):
    upright = next(shots(portrait, 1, noise=0))
    stored = np.rot90(upright[:, ::-1] if mirrored else upright, -degrees // 90)
    path = write(tmp_path / "phone.mp4", [stored] * 3, turned=(degrees, mirrored), options=NEARLY_LOSSLESS)
    with VideoReader(path) as video:
        frames = [frame.rgb for frame in video.frames()]
    assert len(frames) == 3 and frames[0].shape == upright.shape and video.size == (WIDTH, HEIGHT)
    assert np.abs(frames[1].astype(int) - upright).mean() < 3


def test_a_turned_video_is_drawn_upright(portrait, maker, tmp_path):
    frames = [np.rot90(frame) for frame in shots(portrait, 5)]
    source = write(tmp_path / "phone.mov", frames, turned=(-90,))
    out = tmp_path / "out.mp4"
    assert cartoonize_video(source, out, maker.finder, maker.cut, as_they_are).drawn == 5
    with av.open(str(out)) as container:
        assert next(container.decode(video=0)).rotation == 0
    again = maker(pictures(out)[1][2])
    assert abs(np.arctan2(again.matrix[1, 0], again.matrix[0, 0])) < 0.1, "the cartoon's eyes are level"


def test_the_crop_is_steady(portrait, maker, tmp_path):
    """In noisy frames of a still face, the crop moves less than half as much as when each frame is cropped alone."""
    still = shots(portrait, COUNT, tremble=0, noise=8, pan=0, turn=0, zoom=0)
    source = write(tmp_path / "still.mp4", still, sound=None, options=NEARLY_LOSSLESS)
    matrices = []

    def cut(rgb, points, **more):
        made = maker.cut(rgb, points, **more)
        matrices.append(made.matrix)
        return made

    cartoonize_video(source, tmp_path / "out.mp4", maker.finder, cut, as_they_are)
    _, frames = pictures(source)
    alone = [maker(frame).matrix for frame in frames]
    points = maker.finder(frames[0])[0].points

    def tremble(matrices):
        places = np.array([points @ matrix[:, :2].T + matrix[:, 2] for matrix in matrices])
        return np.sqrt((np.diff(places, axis=0) ** 2).sum(axis=-1).mean())

    assert len(matrices) == len(alone) and tremble(alone) > 0.5, "there is something to smooth"
    assert tremble(matrices) < 0.45 * tremble(alone)


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


def test_options_that_do_not_fit_a_video(video, maker, tmp_path):
    for options, said in (
        (DrawOptions(faces="all"), "a video has room for one portrait; draw all faces with --paste"),
        (DrawOptions(background="transparent"), "a video's background is white or a colour"),
    ):
        with pytest.raises(UserError, match=said):
            cartoonize_video(video, tmp_path / "out.mp4", maker.finder, maker.cut, red, options)
    assert not list(tmp_path.iterdir())


def test_a_video_of_512_pixels_on_a_colour(portrait, maker, tmp_path):
    source = write(tmp_path / "film.mp4", shots(portrait, 5), sound=None)
    options = DrawOptions(size=512, background="#2060a0")
    cartoonize_video(source, tmp_path / "out.mp4", maker.finder, maker.cut, as_they_are, options)
    _, frames = pictures(tmp_path / "out.mp4")
    assert frames.shape == (5, 512, 512, 3) and is_colour(frames[2][:30, :30], (32, 96, 160))


def test_memory_is_bounded(video, maker, tmp_path):
    held, most = [], []

    def cut(rgb, points, **more):
        held.append(weakref.ref(rgb))
        decoded = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
        most.append((sum(frame() is not None for frame in held), decoded))
        return maker.cut(rgb, points, **more)

    gc.collect()
    gc.disable()  # memory must be freed without the garbage collector
    try:
        cartoonize_video(video, tmp_path / "out.mp4", maker.finder, cut, red)
    finally:
        gc.enable()
    pictures_held, frames_held = np.max(most, axis=0)
    assert len(most) == COUNT and pictures_held <= 2 * BATCH and frames_held <= COUNT / 2


@pytest.mark.parametrize(("name", "share"), [("a.mkv", 0.6), ("a.mp4", 0.8)])
def test_a_file_that_ends_early(portrait, maker, tmp_path, capsys, name, share):
    index_first = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    write(tmp_path / name, shots(portrait, COUNT), **index_first)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    report = cartoonize_video(tmp_path / name, tmp_path / "out.mp4", maker.finder, maker.cut, red)
    assert report.damaged and 10 < report.frames < COUNT and report.drawn == report.frames
    assert (
        f"{name}: ends early or is damaged; the {report.frames} frames that can be read are" in capsys.readouterr().err
    )
    assert len(pictures(tmp_path / "out.mp4")[0]) == report.frames
    assert heard(tmp_path / "out.mp4")[0] == pytest.approx(TONE, abs=4)


def test_what_cannot_be_done_is_a_sentence(video, maker, portrait, astronaut, tmp_path):
    (tmp_path / "text.mp4").write_text("no video " * 100)
    (tmp_path / "picture.mp4").write_bytes(astronaut.read_bytes())
    (tmp_path / "empty.mkv").touch()
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:-5000])  # the index is at the end of the file
    (tmp_path / "folder.mp4").mkdir()
    write(tmp_path / "nobody.mp4", [np.full((HEIGHT, WIDTH, 3), 128, np.uint8)] * 3)
    small = [cv2.resize(next(shots(portrait, 1)), (212, 120))] * 3
    write(tmp_path / "small.mp4", small)
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=SOUND_RATE, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = SOUND_RATE
        out.mux([*stream.encode(silence), *stream.encode(None)])
    (tmp_path / "out.mp4").write_text("what was there")
    before = sorted(tmp_path.iterdir())
    for source, out, options, reason in (
        ("nowhere.mp4", "out.mp4", {}, "nowhere.mp4: no such video"),
        ("folder.mp4", "out.mp4", {}, "folder.mp4: no such video"),
        ("text.mp4", "out.mp4", {}, "text.mp4: not a video"),
        ("picture.mp4", "out.mp4", {}, "picture.mp4: not a video"),
        ("empty.mkv", "out.mp4", {}, "empty.mkv: not a video"),
        ("cut.mp4", "out.mp4", {}, "cut.mp4: not a video, or cut off"),
        ("sound.mp4", "out.mp4", {}, "sound.mp4: no video in it"),
        ("nobody.mp4", "out.mp4", {}, "nobody.mp4: no face was found in any of its 3 frames"),
        ("small.mp4", "out.mp4", {}, "small.mp4: too small: the face is"),
        (video, "out.mp4", {"max_pixels": 200_000}, "film.mp4: 640x360 pixels, at most 200000 are decoded"),
        (video, "out.gif", {}, "out.gif: name ends in '.gif', known for videos are .mp4, .mov, .mkv, .webm"),
        (video, "folder.mp4", {}, "folder.mp4: is a folder"),
        (video, video, {}, "film.mp4: is the video itself"),
        (video, "out.mp4/a.mp4", {}, "out.mp4/a.mp4: cannot be written"),
    ):
        with pytest.raises(UserError) as caught:
            cartoonize_video(tmp_path / source, tmp_path / out, maker.finder, maker.cut, red, **options)
        assert str(caught.value).startswith(f"{tmp_path}/{reason}") or str(caught.value).startswith(
            f"{video.parent}/{reason}"
        )
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "out.mp4").read_text() == "what was there"


def test_pasted_back_into_the_frame(portrait, maker, tmp_path):
    """A frame with odd sides loses a row and a column; a frame without a face stays unchanged."""
    frames = [frame[:-1, :-1] for frame in shots(portrait, 4)]
    frames = [np.full_like(frames[0], 128)] * 2 + frames
    source = write(tmp_path / "odd.mkv", frames, video="ffv1", pix_fmt="bgr0")
    report = cartoonize_video(source, tmp_path / "out.mp4", maker.finder, maker.cut, red, DrawOptions(paste=True))
    _, after = pictures(tmp_path / "out.mp4")
    assert after.shape == (6, HEIGHT - 2, WIDTH - 2, 3) and report.drawn == 4
    assert is_colour(after[0], (128, 128, 128))
    changed = np.abs(after[3].astype(int) - frames[3][: HEIGHT - 2, : WIDTH - 2]).max(axis=-1) > 60
    assert changed[60:220, 250:390].mean() > 0.5 and changed[:, :60].mean() < 0.02


def test_with_a_graph(video, maker, tmp_path):
    """As in the command line, onnxruntime stylizes any number of portraits per call."""
    side = [256, 256]
    numbers = onnx.numpy_helper.from_array(np.array([2, 1, 0]), "blue_green_red")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["portrait", "blue_green_red"], ["cartoon"], axis=3)],
        "swap",
        [onnx.helper.make_tensor_value_info("portrait", onnx.TensorProto.UINT8, ["N", *side, 4])],
        [onnx.helper.make_tensor_value_info("cartoon", onnx.TensorProto.UINT8, ["N", *side, 3])],
        [numbers],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save_model(model, str(tmp_path / "g.onnx"))
    session = open_session(tmp_path / "g.onnx")
    counts, wanted = [], []

    def draw(portraits, _):
        counts.append(len(portraits))
        wanted.extend(portraits[..., 2::-1])
        return session.run(["cartoon"], {"portrait": portraits})[0]

    report = cartoonize_video(video, tmp_path / "out.mp4", maker.finder, maker.cut, draw)
    assert report.drawn == COUNT and counts == [BATCH] * 7 + [2]
    _, frames = pictures(tmp_path / "out.mp4")
    assert np.abs(frames.astype(int) - wanted).mean() < 3, "frame for frame, colours as they were"
