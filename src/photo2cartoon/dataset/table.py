"""The table of a dataset, `pictures.csv`: a row for every file, with what became of it."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

NO_PICTURE = "no picture"  # result for a file without an image suffix


@dataclass(frozen=True)
class PictureRow:
    """Result for one image, a row of the table.

    Args:
        domain: photos, cartoons or drawings.
        picture: path below the raw folder.
        result: kept, or the reason why not: unreadable, no face, too small, too large, no picture.
        note: further detail for people.
        face: path of the portrait below the dataset, empty if there is none.
        faces: number of faces found, empty if none was searched.
        width, brightness, skin, turn: of a photograph's portrait, as `portrait.numbers` defines them; empty if unknown.
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


def write_table(path: Path, rows: list[PictureRow]) -> None:
    """Write the rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PictureRow)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read_table(path: Path) -> list[PictureRow]:
    """Read the rows of `pictures.csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [PictureRow(**row) for row in csv.DictReader(file)]
