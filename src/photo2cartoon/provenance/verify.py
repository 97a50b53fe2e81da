"""Reads what a file says of its origin: the mark, and content credentials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from photo2cartoon.errors import UserError
from photo2cartoon.provenance import film
from photo2cartoon.provenance.credentials import Credentials, read
from photo2cartoon.provenance.mark import Mark, read_packet

PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
SUFFIXES = (*PICTURES, *film.BOXED, *film.TAGGED)


@dataclass(frozen=True)
class Origin:
    """Origin of a file, as its metadata states it.

    Args:
        mark: None if it says nothing of generated content.
        credentials: None if it has none.
    """

    mark: Mark | None
    credentials: Credentials | None

    def lines(self) -> list[str]:
        """Return it in words."""
        said = ["no mark of generated content"]
        if self.mark:
            made = "a photograph with generated parts" if self.mark.composite else "generated"
            by = " ".join(filter(None, (self.mark.system, self.mark.version))) or "a model that it does not name"
            said = [f"{made}, by {by}"]
        if self.credentials:
            state = "unaltered since" if self.credentials.unaltered else "ALTERED since"
            trust = "" if self.credentials.trusted else ", whose certificate is on no trust list"
            said.append(f"content credentials: {state} it was signed by {self.credentials.issuer}{trust}")
        return said


def verify(path: Path) -> Origin:
    """Read the origin of a picture or video.

    Raises:
        UserError: the file is missing, damaged, or of another kind.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: name ends in '{suffix}', expected {', '.join(SUFFIXES)}")
    try:
        mark = _mark_of_picture(path) if suffix in PICTURES else film.read_mark(path)
        mime = PICTURES.get(suffix) or film.MIME.get(suffix)
        credentials = None
        if mime:
            with path.open("rb") as file:
                credentials = read(file, mime)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: {error}") from None
    return Origin(mark, credentials)


def _mark_of_picture(path: Path) -> Mark | None:
    with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
        packet = image.info.get("xmp")
    return read_packet(packet) if packet else None
