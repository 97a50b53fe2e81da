"""Makes cartoons of photographs, a file or a folder: as a portrait or in place in the photograph.

A cartoon is encoded once: here, or by the server that drew it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from photo2cartoon.atomic import atomic_write
from photo2cartoon.cartoonize.stylize import LoadedModel
from photo2cartoon.errors import UserError
from photo2cartoon.files import png_names
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker
from photo2cartoon.portrait.background import PHOTOGRAPH, put_on
from photo2cartoon.portrait.decode import SUFFIXES, decode_coarsely
from photo2cartoon.portrait.options import DEFAULTS, DrawOptions
from photo2cartoon.portrait.paste import paste
from photo2cartoon.portrait.photograph import Decoder
from photo2cartoon.progress import bar, note
from photo2cartoon.provenance import encode
from photo2cartoon.provenance.mark import Mark
from photo2cartoon.serving.call import Call

Draw = Callable[[Path, str], list[bytes]]  # makes encoded pictures of a file, in one of `encode.FORMATS`


@dataclass(frozen=True)
class Report:
    """Summary of the pictures that were written.

    Args:
        written: the files.
        failed: one line for each image of a folder that failed.
    """

    written: list[Path]
    failed: list[str]


@dataclass(frozen=True)
class Cartoonizer:
    """Turns an encoded photograph into cartoons.

    Args:
        model: makes the cartoons.
        limits: the `portrait` section, which limits the size of images.
        maker: makes the portraits; None leaves everything to the model's server.
        options: whose cartoons, how large, and on what.
        decoder: decodes the photographs; a `Sandbox` for those of strangers.
    """

    model: LoadedModel
    limits: PortraitParams
    maker: PortraitMaker | None = None
    options: DrawOptions = DEFAULTS
    decoder: Decoder = decode_coarsely

    def __call__(self, photo: Path, form: str = encode.PNG) -> list[bytes]:
        """Make the cartoons of a file.

        Args:
            photo: an encoded image.
            form: one of `encode.FORMATS`.

        Returns:
            The encoded, marked cartoon of each face, the largest first; with `paste` the whole photograph alone.

        Raises:
            PictureError: the image is outside the limits, or no portrait can be made from it.
            UserError: the server does not answer, or the format cannot hold the cartoon.
        """
        call = Call(**asdict(self.options), format=form)
        given = Photograph(photo, self.limits.max_pixels, self.limits.max_bytes, self.decoder)
        if self.maker is None:
            return [face.cartoon for face in self.model.client.cartoonize(given.encoded, call)]
        mark = Mark(self.model.weights(), composite=self.options.paste)
        portraits = self.options.portraits(self.maker, given)
        cartoons = [self.model.stylize(portrait.rgba[None], self.options.colour)[0] for portrait in portraits]
        drawn = list(zip(portraits, cartoons, strict=True))
        if not self.options.paste:
            background = self.options.background
            behind = given.rgb if background == PHOTOGRAPH else None
            return [
                encode.encode(put_on(cartoon, portrait, background, behind), form, mark) for portrait, cartoon in drawn
            ]
        picture = given.rgb
        for portrait, cartoon in reversed(drawn):  # the largest face is in front
            picture = paste(picture, portrait, cartoon)
        return [encode.encode(picture, form, mark)]


def cartoonize(source: Path, out: Path, draw: Draw, label: str = "cartoons", numbered: bool = False) -> Report:
    """Make cartoons of an image, or of every image below a folder.

    Args:
        source: a file or a folder.
        out: a file for a file, else a folder; images keep their paths below it and become PNG (`files.png_names`).
        draw: a `Cartoonizer`, or what makes other pictures of a file.
        label: label of the progress bar.
        numbered: write each picture of a file to one of its own, named `NAME-1.png`, `NAME-2.png`, ...

    Raises:
        UserError: the single image failed, or every image of a folder did.
    """
    if not source.exists():
        raise UserError(f"{source}: no such picture or folder")
    if source.is_file():
        if out.is_dir():
            out = out / f"{source.stem}.png"
        if out.suffix.lower() not in encode.SUFFIXES:
            raise UserError(f"{out}: name ends in '{out.suffix}', known are {', '.join(encode.SUFFIXES)}")
        return Report(_cartoonize_one(source, out, draw, numbered), [])
    if out.is_file():
        raise UserError(f"{out}: is a file; a folder of pictures needs a folder to go to")
    found = (path.relative_to(source) for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(path.as_posix() for path in found)
    if not names:
        raise UserError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    written, failed = [], []
    for name, target in bar(list(zip(names, png_names(names), strict=True)), desc=label, unit="picture"):
        try:
            written += _cartoonize_one(source / name, out / target, draw, numbered)
        except UserError as error:
            failed.append(str(error))
            note(str(error))
    if len(failed) == len(names):
        raise UserError(f"{source}: not one of {len(names)} pictures could be drawn; the last: {failed[-1]}")
    return Report(written, failed)


def _cartoonize_one(source: Path, out: Path, draw: Draw, numbered: bool) -> list[Path]:
    try:
        pictures = draw(source, encode.SUFFIXES[out.suffix.lower()])
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None
    except encode.FormatError as error:
        raise UserError(f"{out}: {error}") from None
    numbers = range(1, len(pictures) + 1)
    paths = [out.with_stem(f"{out.stem}-{number}") for number in numbers] if numbered else [out]
    for path, picture in zip(paths, pictures, strict=True):
        with atomic_write(path) as partial:
            partial.write_bytes(picture)
    return paths
