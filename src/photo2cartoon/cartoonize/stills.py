"""Makes cartoons of photographs, a file or a folder: as a portrait or in place in the photograph.

The functions here pass arrays. A cartoon is encoded once, on output: in `write_picture`, or by the web page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from photo2cartoon.cartoonize.stylize import LoadedModel
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_write, png_names
from photo2cartoon.params import PortraitParams
from photo2cartoon.pictures import decode_png, encode_png
from photo2cartoon.portrait import PictureError, Portrait, decode
from photo2cartoon.portrait.decode import SUFFIXES, read_picture
from photo2cartoon.portrait.paste import paste
from photo2cartoon.progress import bar, note

ENCODED = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class Cartoonizer:
    """Turns an encoded photograph into a cartoon, uint8 RGB `[H, W, 3]`.

    Args:
        model: makes the cartoon.
        limits: the `portrait` section, which limits the size of images.
        maker: makes the portrait, `PortraitMaker.of`; None leaves that to the model's server.
        in_place: return the whole photograph with the cartoon's head in it, instead of the portrait; needs a maker.
    """

    model: LoadedModel
    limits: PortraitParams
    maker: Callable[[Path, int, int], Portrait] | None = None
    in_place: bool = False

    def __call__(self, photo: Path) -> np.ndarray:
        """Make the cartoon of a file.

        Raises:
            PictureError: the image is outside the limits, or no portrait can be made from it.
            UserError: the server does not answer.
        """
        if self.maker is None:
            return decode_png(self.model.client.cartoonize(read_picture(photo, self.limits.max_bytes)))
        limits = self.limits.max_pixels, self.limits.max_bytes
        portrait = self.maker(photo, *limits)
        cartoon = self.model.stylize(portrait.rgba[None])[0]
        return paste(decode(photo, *limits), portrait, cartoon) if self.in_place else cartoon


def cartoonize(
    source: Path, out: Path, cartoonizer: Callable[[Path], np.ndarray], label: str = "cartoons"
) -> list[str]:
    """Make a cartoon of an image, or of every image below a folder.

    Args:
        source: a file or a folder.
        out: a file for a file, else a folder; images keep their paths below it and become PNG (`files.png_names`).
        cartoonizer: a `Cartoonizer`, or what makes another picture of a file.
        label: label of the progress bar.

    Returns:
        For a folder, one line for each image that failed.

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
        _cartoonize_one(source, out, cartoonizer)
        return []
    if out.is_file():
        raise UserError(f"{out}: is a file; a folder of pictures needs a folder to go to")
    found = (path.relative_to(source) for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(path.as_posix() for path in found)
    if not names:
        raise UserError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    failed = []
    for name, target in bar(list(zip(names, png_names(names), strict=True)), desc=label, unit="picture"):
        try:
            _cartoonize_one(source / name, out / target, cartoonizer)
        except UserError as error:
            failed.append(str(error))
            note(str(error))
    if len(failed) == len(names):
        raise UserError(f"{source}: not one of {len(names)} pictures could be drawn; the last: {failed[-1]}")
    return failed


def _cartoonize_one(source: Path, out: Path, cartoonizer: Callable[[Path], np.ndarray]) -> None:
    try:
        cartoon = cartoonizer(source)
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None
    write_picture(out, cartoon)


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Encode uint8 RGB `[H, W, 3]` in the format of the suffix, one of `ENCODED`.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(path) as partial:
        if path.suffix.lower() == ".png":
            partial.write_bytes(encode_png(rgb))
        else:
            Image.fromarray(rgb).save(partial, ENCODED[path.suffix.lower()], quality=95)
