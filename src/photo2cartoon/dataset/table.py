"""The table of a dataset, `pictures.csv`: a row for every file, with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.tables import read_rows, write_rows

KEPT = "kept"  # result for an image with a portrait
NO_PICTURE = "no picture"  # result for a file without an image suffix
NO_PHOTOGRAPH = "no photograph"  # result for a drawing of which there is no photograph
ALREADY = "already a portrait"  # note for an image that was not searched for a face


@dataclass(frozen=True)
class PictureRow:
    """Result for one image, a row of the table.

    Args:
        domain: photos, cartoons or drawings.
        picture: path below the raw folder.
        result: kept, or the reason why not: unreadable, no face, too small, too large, too slow, no picture, no
            photograph.
        note: further detail for people.
        face: path of the portrait below the dataset, empty if there is none.
        faces: number of faces found, empty if none was searched.
        width, brightness, skin, turn: of a photograph's portrait, as `portrait.numbers` defines them; empty if unknown.
        sha256: of the image file, in hex; empty if it was not read.
    """

    domain: str
    picture: str
    result: str
    note: str = ""
    face: str = ""
    faces: str = ""
    width: str = ""
    brightness: str = ""
    skin: str = ""
    turn: str = ""
    sha256: str = ""


def no_picture(domain: str, name: str) -> PictureRow:
    """Return the row of a file that is not opened: it has no image suffix, or is a pipe or another special file."""
    known = Path(name).suffix.lower() in SUFFIXES
    return PictureRow(
        domain, name, NO_PICTURE, "not a regular file" if known else f"expected {', '.join(sorted(SUFFIXES))}"
    )


def write_table(path: Path, rows: list[PictureRow]) -> None:
    """Write `pictures.csv`."""
    write_rows(path, rows, PictureRow)


def read_table(path: Path) -> list[PictureRow]:
    """Read `pictures.csv`."""
    return read_rows(path, PictureRow)
