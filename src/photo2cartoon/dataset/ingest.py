"""The `ingest` stage: copies images from their sources into `photos/`, `cartoons/` and, if there are any, `drawings/`
of the photographs, and writes a card that names the sources, and a row for each file that it left out."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from photo2cartoon.assets.collect import collect
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.dataset import sample
from photo2cartoon.dataset.sources import list_folder, open_url, pictures_among
from photo2cartoon.dataset.table import PictureRow, no_picture, read_table, write_table
from photo2cartoon.errors import UserError
from photo2cartoon.files import safe_name
from photo2cartoon.layout import CARTOONS, DRAWINGS, LEFT_OUT, PHOTOS, SOURCES
from photo2cartoon.params import Ingest
from photo2cartoon.progress import bar, note

LARGEST = 1_000_000_000  # bytes of a picture: more than any setting of `portrait.max_bytes` that makes sense
KINDS = (PHOTOS, CARTOONS, DRAWINGS)
WORLDWIDE_URL = "https://github.com/faker-js/assets-person-portrait.git"
# The commit id is the pin: git refuses content that does not hash to it.
WORLDWIDE_COMMIT = "63aef57b5a839aebe3ad913ec7c76469aabbb6c5"
WORLDWIDE_FOLDERS = ("female/512", "male/512")


def ingest(params: Ingest, out: Path) -> dict[str, int]:
    """Copy photographs, cartoons and drawings to `out/photos`, `out/cartoons` and `out/drawings`.

    Args:
        params: the `ingest` section.
        out: replaced as a whole once all images are there.

    Returns:
        Number of images in each folder.

    Raises:
        UserError: a source cannot be read or has no images.
    """
    counts, cards = {}, []
    with atomic_dir(out, SOURCES) as partial:
        for domain in KINDS:
            if getattr(params, domain) == "none":
                continue
            folder = partial / domain
            folder.mkdir()
            cards.append(_bring(domain, getattr(params, domain), getattr(params, f"{domain}_at"), folder, params))
            counts[domain] = len(list(folder.iterdir()))
        (partial / SOURCES).write_text("# Where this data comes from\n\n" + "\n".join(cards), encoding="utf-8")
    return counts


def _bring(domain: str, kind: str, place: str | None, folder: Path, params: Ingest) -> str:
    if kind == "sample":
        return _sample_photos(folder) if domain == PHOTOS else _sample_cartoons(folder, params.sample_cartoons)
    if kind == "worldwide":
        return from_worldwide(folder)
    assert place is not None  # `Ingest` has checked it
    count = from_folder(place, folder) if kind == "folder" else from_url(place, folder)
    return f"## {domain.capitalize()}: {count} pictures\n\nFrom `{place}`. Their licence is for you to state.\n"


def _sample_photos(folder: Path) -> str:
    pictures = sample.photographs()
    collect(folder, assets=pictures, label="photographs")
    rows = [f"| {item.file} | {item.what} | {item.package} | {item.licence} |" for item in pictures]
    people = len({item.file.split("--")[0].split(".")[0] for item in pictures})
    head = (
        f"## Photos: {len(rows)} pictures of {people} people\n\n| file | who | package | licence |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def _sample_cartoons(folder: Path, count: int) -> str:
    import cv2

    for number in bar(range(count), desc="cartoons", unit="head"):
        head = cv2.cvtColor(sample.draw_head(number), cv2.COLOR_RGBA2BGRA)
        cv2.imwrite(str(folder / f"head-{number:03d}.png"), head)
    return (
        f"## Cartoons: {count} generated heads\n\nDrawn by python_avatars (MIT), whose parts are the Avataaars of Pablo"
        " Stanley (free for personal and commercial use), rendered by resvg-py (MPL-2.0).\n"
    )


def from_folder(place: str | Path, folder: Path) -> int:
    """Copy every image below a folder; its relative path, joined by `__`, becomes its name.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    source = Path(place).expanduser()
    chosen = list_folder(source)
    found = (path.relative_to(source) for path in source.rglob("*") if not path.is_dir())
    shown = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)]
    sizes = {name: (source / name).stat().st_size for name in chosen}
    return _copy(sizes, shown, source, folder, lambda name, target: shutil.copyfile(source / name, target))


def from_url(url: str, folder: Path) -> int:
    """Copy every image below a URL that `open_url` accepts: object storage, or a DVC repository at a revision.

    Raises:
        UserError: it cannot be reached or read, or has no images.
    """
    with open_url(url) as (system, root):
        files = {str(PurePosixPath(path).relative_to(root or ".")): path for path in sorted(system.find(root))}
        sizes = {name: system.size(files[name]) or 0 for name in pictures_among(files, url)}
        return _copy(sizes, list(files), url, folder, lambda name, target: system.get_file(files[name], str(target)))


def from_worldwide(folder: Path, url: str = WORLDWIDE_URL, commit: str = WORLDWIDE_COMMIT) -> str:
    """Copy 200 AI-made portraits of people worldwide (faker-js, CC0) at a pinned commit; needs git and the internet.

    Returns:
        The text of the card.

    Raises:
        UserError: git is missing, or the repository cannot be reached or has no such commit.
    """
    clone = folder.with_name(".worldwide")

    def git(*arguments: str) -> None:
        command = ["git", "-C", str(clone), "-c", "advice.detachedHead=false", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            line = (done.stderr.strip().splitlines() or ["git failed"])[-1]
            raise UserError(f"worldwide photographs: {url} at {commit[:10]}: {line}")

    if shutil.which("git") is None:
        raise UserError("worldwide photographs: need git, which is not installed")
    try:
        clone.mkdir()
        git("init", "-q")
        git("fetch", "-q", "--depth", "1", url, commit)
        git("checkout", "-q", commit, "--", *WORLDWIDE_FOLDERS)
        names = [
            path.relative_to(clone).as_posix() for place in WORLDWIDE_FOLDERS for path in (clone / place).iterdir()
        ]
        chosen = dict.fromkeys(pictures_among(sorted(names), url), 0)
        count = _copy(
            chosen,
            [],
            url,
            folder,
            lambda name, target: shutil.copyfile(clone / name, target),
            rename=lambda name: name.replace("/512/", "_"),
        )
    finally:
        shutil.rmtree(clone, ignore_errors=True)
    return f"## Photos: {count} pictures\n\nAI-made portraits, CC0, {url} at {commit}.\n"


def _copy(
    sizes: dict[str, int],
    listed: list[str],
    source: object,
    folder: Path,
    copy_one: Callable[[str, Path], object],
    rename: Callable[[str], str] = lambda name: name.replace("/", "__"),
) -> int:
    """Copy the pictures among the files of a source, and write a row for each other file.

    Args:
        sizes: the pictures' names, and their sizes in bytes.
        listed: names of all files.
        source: named in messages.
        folder: folder of a domain, to copy to. The rows, for the table of `preprocess`, go beside it.
        copy_one: copies a picture to a path.
        rename: makes a file's name of a picture's.

    Raises:
        UserError: two pictures would get the same name.
    """
    large = {name: size for name, size in sizes.items() if size > LARGEST}
    names = [name for name in sizes if name not in large]
    targets = [safe_name(rename(name)) for name in names]
    twice = [name for name, count in Counter(targets).items() if count > 1]
    if twice:
        raise UserError(f"{twice[0]}: two pictures would get this name")
    others = sorted(set(listed) - set(sizes))
    if others or large:
        shown = ", ".join([*large, *others][:3]) + (", …" if len(others) + len(large) > 3 else "")
        note(f"{source}: {len(others) + len(large)} of {len(listed)} files are left out: {shown}")
        table = folder.parent / LEFT_OUT
        rows = read_table(table) if table.exists() else []
        rows += [no_picture(folder.name, name) for name in others]
        detail = f"{{}} bytes, at most {LARGEST} are copied"
        rows += [PictureRow(folder.name, name, "too large", detail.format(size)) for name, size in large.items()]
        write_table(table, rows)
    for name, target in zip(bar(names, desc="pictures", unit="file"), targets, strict=True):
        copy_one(name, folder / target)
    return len(names)
