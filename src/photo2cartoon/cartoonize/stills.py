"""Photographs to cartoons for people: a file or a folder, as a portrait or in place in the photograph."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from photo2cartoon.cartoonize.drawing import Draw, make_draw
from photo2cartoon.errors import UserError
from photo2cartoon.files import png_names, whole_file
from photo2cartoon.params import Portrait as PortraitParams
from photo2cartoon.pictures import encode_png
from photo2cartoon.portrait import PictureError, Portrait, PortraitMaker, decode
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.portrait.paste import paste
from photo2cartoon.progress import bar, note

Drawer = Callable[[bytes], bytes]  # an encoded photograph to PNG
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def make_drawer(
    checkpoint: Path | None,
    model: Path | None,
    server: str | None,
    weights: Path,
    portrait: PortraitParams,
    model_repository: Path | str,
    in_place: bool = False,
) -> Drawer:
    """Makes an encoded photograph a PNG: a checkpoint, a graph, a server, or else the newest promoted graph draws.

    Args:
        checkpoint, model, server, model_repository: see `drawing.make_draw`.
        weights: folder that the `assets` stage filled; a server alone needs none.
        portrait: the section of params.yaml.
        in_place: the whole photograph with the cartoon's head in it, instead of the portrait.

    Raises:
        UserError: more than one is named, or what is named cannot be used.
    """
    draw = make_draw(checkpoint, model, server, model_repository)
    if server and not in_place:
        from photo2cartoon.serving.client import Client

        return Client(server).cartoonize
    maker = PortraitMaker.from_params(weights, portrait)
    return lambda photo: draw_photo(photo, maker, draw, portrait, in_place)


def draw_photo(
    photo: bytes,
    maker: Callable[[np.ndarray], Portrait],
    draw: Draw,
    portrait: PortraitParams,
    in_place: bool,
) -> bytes:
    """An encoded photograph to PNG, in this process.

    Args:
        photo: an encoded picture.
        maker: makes the portrait; a `PortraitMaker`.
        draw: from `drawing.make_draw`.
        portrait: the section of params.yaml, for the limits.
        in_place: the whole photograph with the cartoon's head in it, instead of the portrait.

    Raises:
        PictureError: no portrait can be made of it.
    """
    rgb = decode(photo, portrait.max_pixels, portrait.max_bytes)
    made = maker(rgb)
    cartoon = draw(made.rgba[None])[0]
    return encode_png(paste(rgb, made, cartoon) if in_place else cartoon)


def cartoonize(source: Path, out: Path, drawer: Drawer, max_bytes: int) -> list[str]:
    """Draw a picture, or every picture below a folder.

    Args:
        source: a file or a folder.
        out: a file for a file, else a folder; pictures keep their paths below it and become PNG (`files.png_names`).
        drawer: from `make_drawer`.
        max_bytes: largest file that is read.

    Returns:
        For a folder, a line for each picture that could not be drawn.

    Raises:
        UserError: the one picture, or none of a folder, could be drawn.
    """
    if not source.exists():
        raise UserError(f"{source}: no such picture or folder")
    if source.is_file():
        if out.is_dir():
            out = out / f"{source.stem}.png"
        _check_suffix(out)
        _draw_one(source, out, drawer, max_bytes)
        return []
    if out.is_file():
        raise UserError(f"{out}: is a file; a folder of pictures needs a folder to go to")
    found = (path.relative_to(source) for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(path.as_posix() for path in found)
    if not names:
        raise UserError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    failed = []
    for name, drawing in bar(list(zip(names, png_names(names), strict=True)), desc="cartoons", unit="picture"):
        try:
            _draw_one(source / name, out / drawing, drawer, max_bytes)
        except UserError as error:
            failed.append(str(error))
            note(str(error))
    if len(failed) == len(names):
        raise UserError(f"{source}: not one of {len(names)} pictures could be drawn; the last: {failed[-1]}")
    return failed


def _draw_one(source: Path, out: Path, drawer: Drawer, max_bytes: int) -> None:
    try:
        if source.stat().st_size > max_bytes:
            raise PictureError("too large", f"{source.stat().st_size} bytes, at most {max_bytes} are read")
        png = drawer(source.read_bytes())
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None
    except OSError as error:
        raise UserError(f"{source}: {error.strerror or error}") from None
    with whole_file(out) as partial:
        if out.suffix.lower() == ".png":
            partial.write_bytes(png)
        else:
            Image.open(io.BytesIO(png)).save(partial, FORMATS[out.suffix.lower()], quality=95)


def _check_suffix(out: Path) -> None:
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"{out}: name ends in '{out.suffix}', known are {', '.join(FORMATS)}")
