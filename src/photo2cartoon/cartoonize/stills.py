"""Makes cartoons of photographs, a file or a folder: as a portrait or in place in the photograph.

A cartoon is encoded once: here, or by the server that drew it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from photo2cartoon.atomic import atomic_write
from photo2cartoon.cartoonize.record import DRAWN, Record, hash_of
from photo2cartoon.cartoonize.stylize import LoadedModel
from photo2cartoon.dataset.table import NO_PICTURE
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
from photo2cartoon.provenance.verify import verify
from photo2cartoon.serving.call import Call
from photo2cartoon.serving.messages import BusyError, LateError

Draw = Callable[[Path, str], list[bytes]]  # makes encoded pictures of a file, in one of `encode.FORMATS`

ANSWERED = ("no face", "too small", "too many")  # reasons that only whoever has looked at a picture can give
MOST_LOST = 3  # pictures in a row without an answer, after which the server is taken to be gone


@dataclass(frozen=True)
class Report:
    """Summary of the pictures that were written.

    Args:
        written: the files.
        failed: one line for each image of a folder that failed.
        others: files of the folder that are no pictures by their names.
        kept: how many pictures were drawn by the run before.
    """

    written: list[Path]
    failed: list[str]
    others: Sequence[str] = ()
    kept: int = 0


@dataclass(frozen=True)
class Cartoonizer:
    """Turns an encoded photograph into cartoons.

    Args:
        model: makes the cartoons.
        limits: the `portrait` section, which limits the size of images.
        maker: makes the portraits; None leaves everything to the model's server.
        options: faces, size, background, colours, pasting.
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
            assert self.model.client is not None
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


def must_exist(source: Path) -> None:
    """Check, before anything slow is loaded, that there is something to draw.

    Raises:
        UserError: there is no such file or folder.
    """
    if not source.exists():
        raise UserError(f"{source}: no such picture or folder")


def target_of(source: Path, out: Path, marked: bool = False) -> Path:
    """Return the file or folder that the cartoons of a picture or of a folder go to.

    Args:
        source: a file or a folder.
        out: a file, or a folder, for a file; a folder for a folder.
        marked: whether the cartoons are marked as generated: a name that a folder gives then replaces no other picture.

    Raises:
        UserError: there is no source, `out` does not fit it, or the cartoons would replace the photographs.
    """
    must_exist(source)
    if source.is_dir():
        if out.is_file():
            raise UserError(f"{out}: is a file; a folder of pictures needs a folder to go to")
        if out.resolve() in (source.resolve(), *source.resolve().parents):
            raise UserError(f"{out}: holds the photographs, which would be replaced; name another folder")
        return out
    if out.is_dir():
        out = out / f"{source.stem}.png"
        if marked and out.exists() and not out.samefile(source) and not _is_generated(out):
            raise UserError(f"{out}: is there already, and no cartoon; name the file to replace it")
    _must_not_be(source, out)
    if out.suffix.lower() not in encode.SUFFIXES:
        raise UserError(f"{out}: name ends in '{out.suffix}', expected {', '.join(encode.SUFFIXES)}")
    return out


def _must_not_be(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        raise UserError(f"{target}: is the photograph itself, which would be replaced; name another file")


def _is_generated(picture: Path) -> bool:
    with contextlib.suppress(UserError):
        return verify(picture).mark is not None
    return False


def cartoonize(
    source: Path, out: Path, draw: Draw, label: str = "cartoons", numbered: bool = False, made_by: str = ""
) -> Report:
    """Make cartoons of an image, or of every image below a folder.

    Args:
        source: a file or a folder.
        out: a file for a file, else a folder; images keep their paths below it and become PNG (`files.png_names`).
        draw: a `Cartoonizer`, or what makes other pictures of a file.
        label: label of the progress bar.
        numbered: write each picture of a file to one of its own, named `NAME-1.png`, `NAME-2.png`, ...
        made_by: `record.made_by` of what draws. A folder then gets a record, and cartoons of the run before are kept.

    Raises:
        UserError: the single image failed, or every image of a folder did; the disk is full, or the server is gone: the same
            call resumes there.
    """
    out = target_of(source, out)
    if not source.is_dir():
        try:
            return Report(_cartoonize_one(source, out, draw, numbered), [])
        except PictureError as error:
            raise UserError(f"{source}: {error}") from None
    return _cartoonize_folder(source, out, draw, label, numbered, made_by)


def _cartoonize_folder(source: Path, out: Path, draw: Draw, label: str, numbered: bool, made_by: str) -> Report:
    names, others = _listed(source, but=out)
    record = Record(out, made_by)
    written, failed, kept, whole = [], [], 0, False
    lost = 0  # pictures in a row that no server answered for
    try:
        for name in others:
            record.add(name, NO_PICTURE)
        for name, target in bar(list(zip(names, png_names(names), strict=True)), desc=label, unit="picture"):
            sha256 = hash_of(source / name) if made_by else ""
            if before := record.kept(name, sha256, _names(Path(target), numbered)):
                record.add(name, DRAWN, "", before, sha256)
                written += before
                kept += 1
                continue
            try:
                made = _cartoonize_one(source / name, out / target, draw, numbered)
                record.add(name, DRAWN, "", made, sha256)
                written += made
                lost = 0
            except PictureError as error:
                record.add(name, error.reason, error.detail, (), sha256)
                failed.append(f"{source / name}: {error}")
                note(failed[-1])
                lost = 0 if error.reason in ANSWERED else lost
            except (encode.FormatError, LateError, BusyError) as error:
                record.add(name, "not drawn", str(error), (), sha256)
                failed.append(f"{source / name}: not drawn: {error}")
                note(failed[-1])
                lost = 0 if isinstance(error, encode.FormatError) else lost + 1
                if lost == MOST_LOST:
                    raise UserError(f"{error}: so for {lost} pictures in a row; the same call resumes there") from None
        whole = True
    finally:
        record.close(whole)
    if len(failed) == len(names):
        raise UserError(f"{source}: not one of {len(names)} pictures could be drawn; the last: {failed[-1]}")
    return Report(written, failed, others, kept)


def _listed(source: Path, but: Path) -> tuple[list[str], list[str]]:
    """List the pictures of a folder by their suffixes, and its other files; hidden ones, and those below `but`, aside."""
    found = [path.relative_to(source) for path in source.rglob("*") if not path.is_dir()]
    root, written = source.resolve(), but.resolve()
    if root in written.parents:
        found = [path for path in found if written.relative_to(root) not in path.parents]
    names = sorted(path.as_posix() for path in found if path.suffix.lower() in SUFFIXES)
    if not names:
        raise UserError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    shown = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)]
    return names, sorted(set(shown) - set(names))


def _names(target: Path, numbered: bool) -> Iterator[str]:
    """Yield the names of the cartoons of a picture, as many as are asked for."""
    if not numbered:
        yield target.as_posix()
        return
    for number in itertools.count(1):
        yield target.with_stem(f"{target.stem}-{number}").as_posix()


def _cartoonize_one(source: Path, out: Path, draw: Draw, numbered: bool) -> list[Path]:
    try:
        pictures = draw(source, encode.SUFFIXES[out.suffix.lower()])
    except encode.FormatError as error:
        raise encode.FormatError(f"{out}: {error}") from None
    paths = [Path(name) for name, _ in zip(_names(out, numbered), pictures, strict=False)]
    for path in paths:
        _must_not_be(source, path)
    for path, picture in zip(paths, pictures, strict=True):
        with atomic_write(path) as partial:
            partial.write_bytes(picture)
    return paths
