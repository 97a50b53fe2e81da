"""Gives `ingest`, `preprocess`, `cartoonize` every kind of file; writes what became of them to docs/explanation/reliability.md.

    python -m benchmarks.corpus --write                  (10 minutes on 2 cores)

The corpus: two portraits encoded in every format, colour mode and option (all have to be kept); seeded mutations of them, as
`benchmarks.fuzz` makes them; the pictures of Pillow's own tests, from its source archive of the version in requirements.txt;
names that break programs; pipes, sockets, links to nothing. The same seed makes the same files.

A file is lost if no table has a row for it, or if it is one of the portraits and was not kept. A command has crashed if it
ended by a signal or with a traceback.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from benchmarks.fuzz import mutations
from benchmarks.page import write_between
from benchmarks.serving import photographs
from benchmarks.watched import Done, p2c, run
from photo2cartoon.assets.catalogue import Asset
from photo2cartoon.assets.collect import ensure
from photo2cartoon.assets.fetch import download_package
from photo2cartoon.cartoonize.record import DRAWN, CartoonRow
from photo2cartoon.dataset.table import KEPT, read_table
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import CARTOON_RECORD, TABLE
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait.decode import register_heif
from photo2cartoon.portrait.maker import required_assets
from photo2cartoon.progress import note
from photo2cartoon.tables import read_rows

PAGE = Path("docs/explanation/reliability.md")
PILLOW = Asset(
    name="pillow",
    file="pillow.tar.gz",
    package="pillow==13.0.0",
    archive_sha256="cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510",
)
ENCODINGS: dict[str, tuple[str, tuple[str, ...], tuple[dict, ...]]] = {
    "jpg": ("JPEG", ("RGB", "L", "CMYK"), ({}, {"progressive": True}, {"quality": 30, "subsampling": 2})),
    "png": ("PNG", ("RGB", "RGBA", "L", "LA", "P", "I;16"), ({}, {"compress_level": 0})),
    "webp": ("WEBP", ("RGB", "RGBA"), ({}, {"lossless": True})),
    "avif": ("AVIF", ("RGB", "RGBA"), ({},)),
    "heic": ("HEIF", ("RGB", "RGBA"), ({},)),
    "bmp": ("BMP", ("RGB", "L", "P"), ({},)),
    "tif": ("TIFF", ("RGB", "RGBA", "L", "CMYK"), ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"})),
    "gif": ("GIF", ("RGB", "L", "P"), ({},)),
}
NAMES = (
    b"bytes\xff\xfe.jpg", b"new\nline.jpg", "emoji-\N{GRINNING FACE}.jpg".encode(), b"-dash.jpg", b" space .jpg",
    b"quote\"',;.jpg", b"a" * 251 + b".jpg", "\N{LATIN SMALL LETTER U WITH DIAERESIS}".encode() * 120 + b".jpg", b"col:on.jpg",
    b"UPPER.JPG", b"tab\t.jpg", b"..jpg", b"two.jpg.png", b"%s.jpg", b"control\x01.jpg", b"{braces}.jpg", b"$HOME.jpg",
)  # fmt: skip


HEAD = """| | files | took | peak memory, MB | kept | refused | no pictures | lost | crashed |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Make the corpus, give it to the commands, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-pillow", action="store_true", help="leave out Pillow's pictures: no download")
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE}")
    options = parser.parse_args()
    ensure(required_assets(PortraitParams()), options.weights)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = make(folder / "in", options.mutations, options.seed, not options.without_pillow)
        note(f"{files} files")
        rows = list(tried(folder, options.weights.resolve(), files))
    table = "\n".join([HEAD, *rows])
    print(table)
    if options.write:
        write_between(PAGE, "benchmarks.corpus", table)


def make(folder: Path, count: int, seed: int, pillow: bool) -> int:
    """Write the corpus into a folder and return the number of its files."""
    register_heif()
    folder.mkdir()
    (folder / "good").mkdir()
    for person, photo in enumerate(photographs(None)):
        with Image.open(io.BytesIO(photo)) as image:
            image.thumbnail((512, 512))
            for name, content in encodings(image.convert("RGB")):
                (folder / "good" / f"{person}-{name}").write_bytes(content)
    for name in NAMES:
        (Path(os.fsdecode(os.fsencode(folder / "good") + b"/" + name))).write_bytes(photographs(None)[0])
    (folder / "mutations").mkdir()
    for number, (suffix, content) in enumerate(mutations(count, seed)):
        (folder / "mutations" / f"{number:05d}{suffix}").write_bytes(content)
    if pillow:
        with tempfile.TemporaryDirectory() as temporary:
            note(f"{PILLOW.package}'s source archive: a minute")
            unpack(download_package(PILLOW, Path(temporary)), folder / "pillow")
    special(folder / "special")
    return sum(not path.is_dir() for path in folder.rglob("*"))


def encodings(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield a picture in every format, mode and option, with file names."""
    for suffix, (form, modes, choices) in ENCODINGS.items():
        for mode in modes:
            converted = _sixteen_bits(image) if mode == "I;16" else image.convert(mode)
            for number, choice in enumerate(choices):
                if choice.get("compression") == "jpeg" and mode not in ("RGB", "L"):
                    continue
                out = io.BytesIO()
                converted.save(out, form, **choice)
                yield f"{mode.replace(';', '')}-{number}.{suffix}", out.getvalue()
    for orientation in range(1, 9):  # as cameras write them: the pixels are turned, EXIF says how
        back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
        exif = Image.Exif()
        exif[0x0112] = orientation
        out = io.BytesIO()
        (image if back is None else image.transpose(Image.Transpose(back))).save(out, "JPEG", exif=exif)
        yield f"exif-{orientation}.jpg", out.getvalue()
    out = io.BytesIO()
    image.save(out, "GIF", save_all=True, append_images=[image] * 3)
    yield "moves.gif", out.getvalue()


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the pictures of Pillow's tests, without links."""
    with tarfile.open(archive) as file:
        for member in file:
            parts = PurePosixPath(member.name).parts
            if member.isfile() and parts[1:3] == ("Tests", "images"):
                target = folder.joinpath(*parts[3:])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.extractfile(member).read())


def special(folder: Path) -> None:
    """Make files that are not to be opened, and ones that are nothing."""
    folder.mkdir()
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as own:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path is short
        own.bind("socket.jpg")
        os.chdir(here)
    (folder / "dangling.jpg").symlink_to("nowhere")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "folder.jpg").mkdir()
    (folder / "empty.png").touch()
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(1 << 40)
    (folder / "notes.txt").write_text("a caption")
    (folder / "no-suffix").write_bytes(b"\xff\xd8\xff")


def tried(folder: Path, weights: Path, files: int) -> Iterator[str]:
    """Run the commands on the corpus and yield a row of the table for each."""
    good = sum(1 for _ in (folder / "in/good").iterdir())

    done = run(p2c("preprocess", "--photos", "in", "--weights", weights, "--out", "faces"), folder)
    rows = read_table(folder / "faces" / TABLE) if not done.code else []
    results = [(row.picture, row.result) for row in rows]
    yield _row("`preprocess --photos`", done, results, files, good, KEPT)
    shutil.rmtree(folder / "faces", ignore_errors=True)

    (folder / "params.yaml").write_text("ingest: {photos: folder, photos_at: in, sample_cartoons: 2}\n")
    first = run(p2c("ingest", "--params", "params.yaml", "--out", "raw"), folder)
    second = run(p2c("preprocess", "--raw", "raw", "--weights", weights, "--out", "faces"), folder)
    rows = read_table(folder / "faces" / TABLE) if not second.code else []
    results = [(row.picture, row.result) for row in rows if row.domain == "photos"]
    both = Done(
        first.code or second.code,
        "",
        first.errors + second.errors,
        first.seconds + second.seconds,
        max(first.peak, second.peak),
    )
    yield _row("`ingest`, then `preprocess`", both, results, files, good, KEPT)

    done = run(p2c("cartoonize", "in", "--model", "slim", "--weights", weights, "--out", "cartoons"), folder)
    rows = read_rows(folder / "cartoons" / CARTOON_RECORD, CartoonRow) if not done.code else []
    yield _row("`cartoonize`", done, [(row.picture, row.result) for row in rows], files, good, DRAWN)


def _row(name: str, done: Done, results: list[tuple[str, str]], files: int, good: int, kept: str) -> str:
    counts = Counter(result for _, result in results)
    whole = sum(result == kept and picture.startswith(("good/", "good__")) for picture, result in results)
    if len({picture for picture, _ in results}) != len(results):
        raise UserError(f"{name}: two rows for one file")
    lost = files - len(results) + good - whole
    refused = ", ".join(
        f"{count} {reason}" for reason, count in counts.most_common() if reason not in (kept, "no picture")
    )
    numbers = f"{files} | {done.seconds:.0f} s | {done.peak:.0f} | {counts[kept]} | {refused} | {counts['no picture']}"
    if done.code:
        note(f"{name}: {done.errors[-600:]}")
    return f"| {name} | {numbers} | {lost} | {int(done.crashed)} |"


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.corpus"):
        main()
