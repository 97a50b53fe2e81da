"""Films for tests: a hand-held camera in front of a face, written with sound, and read back."""

from fractions import Fraction

import av
import cv2
import numpy as np

WIDTH, HEIGHT, RATE, COUNT, SOUND_RATE = 640, 360, 25, 30, 48000
TONE, TONE_FROM = 440, 0.3  # Hz, seconds
EYES = (224, 140)  # between Eileen Collins' eyes
RED = (200, 60, 40)
NEARLY_LOSSLESS = {"crf": "8", "preset": "ultrafast"}


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


def red(portraits, _):
    return np.broadcast_to(np.array(RED, np.uint8), (*portraits.shape[:3], 3))


def is_colour(frame, colour):
    return np.abs(frame.reshape(-1, 3).mean(axis=0) - colour).max() < 4
