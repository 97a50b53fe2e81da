"""A video keeps its frames, times and sound; its crop is steady; failures are reported in one line."""

import gc
import weakref
from fractions import Fraction

import av
import cv2
import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from photo2cartoon.cartoonize.video import BATCH, CONTAINERS, cartoonize_video
from photo2cartoon.cartoonize.video_reader import SUFFIXES, VideoReader
from photo2cartoon.errors import UserError
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.options import DrawOptions
from photo2cartoon.serving.session import open_session
from tests.films import (
    COUNT,
    HEIGHT,
    NEARLY_LOSSLESS,
    RATE,
    RED,
    SOUND_RATE,
    TONE,
    TONE_FROM,
    WIDTH,
    is_colour,
    pictures,
    red,
    shots,
    write,
)  # fmt: skip


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


@pytest.mark.slow
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
