"""Makes cartoons of photographs, a file or a folder: as a portrait or in place in the photograph.

The functions here pass arrays. A cartoon is encoded once, on output: in `write_picture`, or by the web page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from photo2cartoon.cartoonize.options import DEFAULTS, DrawOptions
from photo2cartoon.cartoonize.stylize import LoadedModel
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_write, png_names
from photo2cartoon.params import PortraitParams
from photo2cartoon.pictures import decode_png, encode_png
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker
from photo2cartoon.portrait.background import put_on
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.portrait.paste import paste
from photo2cartoon.progress import bar, note

ENCODED = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
OPAQUE = (".jpg", ".jpeg")  # formats without transparency
Draw = Callable[[Path], list[np.ndarray]]  # makes pictures, uint8 [H, W, 3] or [H, W, 4], of a file


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
        maker: makes the portraits; None leaves that to the model's server, which draws on white alone.
        options: whose cartoons, how large, and on what.
    """

    model: LoadedModel
    limits: PortraitParams
    maker: PortraitMaker | None = None
    options: DrawOptions = DEFAULTS

    def __call__(self, photo: Path) -> list[np.ndarray]:
        """Make the cartoons of a file.

        Returns:
            uint8 `[S, S, 3]`, or `[S, S, 4]` if transparent, of each face, the largest first; with `paste` the whole
            photograph alone, `[H, W, 3]`.

        Raises:
            PictureError: the image is outside the limits, or no portrait can be made from it.
            UserError: the server does not answer.
        """
        given = Photograph(photo, self.limits.max_pixels, self.limits.max_bytes)
        if self.maker is None:
            answer = self.model.client.cartoonize(
                given.encoded, self.options.faces, self.options.side, self.options.colour
            )
            return [decode_png(face.cartoon) for face in answer]
        portraits = self.options.portraits(self.maker, given)
        cartoons = [self.model.stylize(portrait.rgba[None], self.options.colour)[0] for portrait in portraits]
        drawn = list(zip(portraits, cartoons, strict=True))
        if not self.options.paste:
            return [put_on(cartoon, portrait, self.options.background, given) for portrait, cartoon in drawn]
        picture = given.rgb
        for portrait, cartoon in reversed(drawn):  # the largest face is in front
            picture = paste(picture, portrait, cartoon)
        return [picture]


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
        if out.suffix.lower() not in ENCODED:
            raise UserError(f"{out}: name ends in '{out.suffix}', known are {', '.join(ENCODED)}")
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
        pictures = draw(source)
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None
    numbers = range(1, len(pictures) + 1)
    paths = [out.with_stem(f"{out.stem}-{number}") for number in numbers] if numbered else [out]
    for path, picture in zip(paths, pictures, strict=True):
        write_picture(path, picture)
    return paths


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Encode uint8 RGB `[H, W, 3]` or RGBA `[H, W, 4]` in the format of the suffix, one of `ENCODED`.

    Raises:
        UserError: the file cannot be written, or the format has no transparency and the picture has.
    """
    if picture.shape[-1] == 4 and path.suffix.lower() in OPAQUE:
        raise UserError(f"{path}: JPEG has no transparency; name the file .png or .webp")
    with atomic_write(path) as partial:
        if path.suffix.lower() == ".png":
            partial.write_bytes(encode_png(picture))
        else:
            Image.fromarray(picture).save(partial, ENCODED[path.suffix.lower()], quality=95)
