"""Makes a cartoon of a video frame by frame, in two passes: find the faces in all frames, stylize. Keeps the sound."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from photo2cartoon.atomic import atomic_write
from photo2cartoon.cartoonize.follow import Crowd, Find, Follower, Person, people
from photo2cartoon.cartoonize.stylize import Stylize
from photo2cartoon.cartoonize.video_reader import MAX_PIXELS, Frame, VideoReader
from photo2cartoon.cartoonize.video_writer import CONTAINERS, Writer
from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PictureError, Portrait
from photo2cartoon.portrait.background import PHOTOGRAPH, TRANSPARENT, colour_of, put_on
from photo2cartoon.portrait.maker import SIZE, SIZES
from photo2cartoon.portrait.options import ALL, DEFAULTS, DrawOptions
from photo2cartoon.portrait.paste import paste
from photo2cartoon.progress import bar, note
from photo2cartoon.provenance import film
from photo2cartoon.provenance.mark import Mark

BATCH = 4  # frames that are stylized at once, and the most that are held in memory
Cut = Callable[..., Portrait]  # `PortraitMaker.cut`


@dataclass(frozen=True)
class VideoReport:
    """Summary of a converted video.

    Args:
        frames: number of frames written.
        drawn: number of these with a cartoon in them.
        seconds: their total duration.
        sound: `copied`, `encoded`, or `none`.
        damaged: the source ended early or was broken in places.
    """

    frames: int
    drawn: int
    seconds: float
    sound: str
    damaged: bool


def cartoonize_video(
    source: Path,
    out: Path,
    find: Find,
    cut: Cut,
    stylize: Stylize,
    options: DrawOptions = DEFAULTS,
    max_pixels: int = MAX_PIXELS,
    smallest: int = 0,
    version: str = "",
) -> VideoReport:
    """Make a cartoon of every frame of a video.

    It follows the person whose face is largest in the first frame with a face, or everybody, and crops by points smoothed
    over time. A frame without a person becomes white, or with `paste` stays as it is.

    Args:
        source: the video.
        out: output file; its name ends in one of `CONTAINERS`.
        find: maps uint8 `[H, W, 3]` RGB to its faces, the largest first: a `Finder`.
        cut: makes the portrait from that image and points `[68, 2]`: `PortraitMaker.cut`; may raise PictureError.
        stylize: makes cartoons of portraits, `BATCH` at most.
        options: faces, size, background, colours, pasting. Everybody needs `paste`, which draws heads at the size that they
            have in the video, 512 pixels at most.
        max_pixels: largest width times height of a frame.
        smallest: width of the landmarks in pixels from which on everybody is followed.
        version: of the model, for the mark of generated content.

    Raises:
        UserError: an option does not fit a video, the source cannot be read or shows no face, or `out` cannot be written;
            `out` is then unchanged.
    """
    _check_options(out, options)
    if out.suffix.lower() not in CONTAINERS:
        raise UserError(f"{out}: name ends in '{out.suffix}', known for videos are {', '.join(CONTAINERS)}")
    if out.exists() and source.exists() and out.samefile(source):
        raise UserError(f"{out}: is the video itself; name another file to write")
    follower = Crowd(find, smallest) if options.faces == ALL else Follower(find)
    with VideoReader(source, max_pixels) as video:
        for frame in bar(video.frames(), total=video.expected, desc="faces", unit="frame"):
            follower.add(frame.rgb, float(frame.pts * video.time_base))
    if not follower.times:
        raise UserError(f"{source}: not one frame of it can be decoded{video.trouble and f': {video.trouble}'}")
    if not follower.tracks:
        raise UserError(f"{source}: no face was found in any of its {len(follower.times)} frames")
    if video.damaged:
        note(f"{source}: ends early or is damaged; the {len(follower.times)} frames that can be read are drawn")
    size = video.size if options.paste else (options.size or SIZE,) * 2
    drawn, suffix, mark = 0, out.suffix.lower(), Mark(version, composite=options.paste)
    tags = film.tags(mark) if suffix in film.TAGGED else {}
    try:
        with atomic_write(out) as partial:
            with (
                VideoReader(source, max_pixels) as video,
                Writer(partial, CONTAINERS[suffix], video, size, tags) as writer,
            ):
                frames = bar(video.frames(writer.hear), total=len(follower.times), desc="cartoons", unit="frame")
                for frame, has_cartoon in _cartoons(frames, people(follower.tracks), cut, stylize, options):
                    writer.show(frame)
                    drawn += has_cartoon
                writer.finish()
            if suffix in film.BOXED:
                film.mark_file(partial, suffix, mark)
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None
    except av.FFmpegError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from error
    return VideoReport(len(follower.times), drawn, video.seconds, writer.sound, video.damaged)


def _check_options(out: Path, options: DrawOptions) -> None:
    if options.faces == ALL and not options.paste:
        raise UserError(f"{out}: a video has room for one portrait; draw all faces with --paste")
    if options.background in (TRANSPARENT, PHOTOGRAPH):
        raise UserError(f"{out}: a video's background is white or a colour; with --paste it is the video's own")


def _cartoons(
    frames: Iterable[Frame], places: Iterator[list[Person]], cut: Cut, stylize: Stylize, options: DrawOptions
) -> Iterator[tuple[Frame, bool]]:
    """Yield the stylized frames, processed `BATCH` at a time, and whether each has a cartoon in it.

    Raises:
        PictureError: no frame could be stylized; the reason is that of the last one.
    """
    drawn, refused = 0, None
    frames = iter(frames)
    while batch := list(itertools.islice(frames, BATCH)):
        portraits: list[list[Portrait]] = []
        for frame in batch:
            portraits.append([])
            here = next(places, [])
            for person in here:
                others = [other.points for other in here if other is not person]
                try:
                    portraits[-1].append(cut(frame.rgb, person.points, size=_side(person, options), others=others))
                except PictureError as error:
                    refused = error
        drawn += sum(map(len, portraits))
        cartoons = _stylized([portrait for in_frame in portraits for portrait in in_frame], stylize, options.colour)
        for frame, in_frame in zip(batch, portraits, strict=True):
            if not options.paste and not in_frame:
                side = options.size or SIZE
                frame.rgb = np.full((side, side, 3), colour_of(options.background), np.uint8)
            for portrait in in_frame:
                cartoon = next(cartoons)
                frame.rgb = (
                    paste(frame.rgb, portrait, cartoon)
                    if options.paste
                    else put_on(cartoon, portrait, options.background)
                )
            yield frame, bool(in_frame)
    if refused and not drawn:
        raise refused


def _side(person: Person, options: DrawOptions) -> int:
    return options.side or min(person.side, SIZES[-1])


def _stylized(portraits: list[Portrait], stylize: Stylize, colour: float) -> Iterator[np.ndarray]:
    """Yield the cartoons in the order of the portraits; up to `BATCH` neighbours of one size are drawn together."""
    for _, group in itertools.groupby(portraits, key=lambda portrait: len(portrait.rgba)):
        while part := list(itertools.islice(group, BATCH)):
            yield from stylize(np.stack([portrait.rgba for portrait in part]), colour)
