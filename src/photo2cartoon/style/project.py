"""Makes the folder of a style: pictures, parameters, stages for DVC, a model repository; nothing in it needs a clone.

`template/` links to the files of this repository that a style's folder gets too; a wheel has copies of them. DVC would take a
file named dvc.yaml in there for a second pipeline.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.dataset.sources import list_folder, pictures_among
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash, write_json
from photo2cartoon.layout import CARTOONS, DRAWINGS, MODEL_REPOSITORY, PHOTOS, RELEASE
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import PictureError
from photo2cartoon.portrait.decode import read_picture
from photo2cartoon.portrait.sandbox import Sandbox
from photo2cartoon.progress import bar

TEMPLATE = Path(__file__).with_name("template")
PACKAGE = Path(__file__).parents[1]
STAGES = "dvc.yaml"
FEWEST = 8  # cartoons; with fewer there is nothing to learn from, or to hold out
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
# Of the checkpoints, the one nearest to the style is selected that keeps people recognisable: with more steps, lines degrade.
RECOGNISABLE = 0.6  # cosine of SFace
# 25 minutes on 2 cores, from the bundled slim model: docs/tutorials/style.md has the measurement.
TRAIN: dict[str, Any] = {
    "start_from": "slim", "size": 256, "channels": 16, "hourglasses": False, "steps": 600, "batch": 2, "lr": 0.001,
    "betas": [0.5, 0.99], "weight_decay": 0.0, "ema_halflife": 200.0, "checkpoint_every": 150, "sample_every": 150,
}  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a new style are.

    Args:
        cartoons: folder of cartoons of the style.
        photos: folder of photographs of people; None takes the built-in sample.
        drawings: folder of drawings of some of the photographs in the style, with the photographs' names.
    """

    cartoons: Path
    photos: Path | None = None
    drawings: Path | None = None


def new_style(folder: Path, pictures: Pictures) -> dict[str, int]:
    """Make the folder of a style, a git repository and DVC project of its own.

    Args:
        folder: does not exist yet, or is empty; its name is the name of the registered model.
        pictures: are copied, and versioned with DVC.

    Returns:
        How many pictures of each kind there are.

    Raises:
        UserError: the name or the folder cannot be used, there are too few cartoons, drawings come without photographs or
            have other names, or git or DVC failed.
    """
    if not re.fullmatch(NAME, folder.name):
        raise UserError(f"{folder.name}: is no name: start with a letter or a digit, then letters, digits, . _ -")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: already exists; choose a new folder")
    given = {CARTOONS: pictures.cartoons, PHOTOS: pictures.photos, DRAWINGS: pictures.drawings}
    found = {kind: _pictures(place) for kind, place in given.items() if place is not None}
    _check(found, pictures)
    with atomic_dir(folder, STAGES) as partial:
        for kind, files in found.items():
            _copy(files, partial / "data" / kind)
        (partial / "params.yaml").write_text(parameters(folder.name, found), encoding="utf-8")
        (partial / STAGES).write_text(stages(), encoding="utf-8")
        shutil.copytree(
            TEMPLATE / "triton_repo",
            partial / MODEL_REPOSITORY,
            ignore=lambda place, names: [name for name in names if name == "__pycache__" or _is_version(place, name)],
        )
        (partial / ".gitignore").write_text((TEMPLATE / "gitignore").read_text(), encoding="utf-8")
        (partial / "README.md").write_text(_readme(folder.name), encoding="utf-8")
    try:
        _version(folder, list(found))
    except BaseException:  # Ctrl-C as well: a half of a project could be neither used nor made again
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return {kind: len(files) for kind, files in found.items()}


def stages() -> str:
    """Return dvc.yaml for a folder without the code: stages depend on the installed release instead of on modules."""
    found = yaml.safe_load((TEMPLATE / "stages.yaml").read_text())
    found["vars"] = [{"p2c": "p2c"}]
    for stage in found["stages"].values():
        own = [path for path in stage.get("deps", []) if not path.startswith("src/")]
        if len(own) < len(stage.get("deps", [])):
            stage["deps"] = [RELEASE.as_posix(), *own]
    release = {"cmd": "${p2c} style release --out " + RELEASE.as_posix(), "always_changed": True}
    found["stages"] = {"release": {**release, "outs": [RELEASE.as_posix()]}, **found["stages"]}
    head = "# The stages of photo2cartoon, written by `p2c style new`. `release` notices another release of it.\n"
    return head + yaml.safe_dump(found, sort_keys=False, width=120)


def parameters(name: str, kinds: Iterable[str]) -> str:
    """Return params.yaml of a style that has pictures of these kinds."""
    kinds = set(kinds)
    ingest: dict[str, str] = {}
    for kind in (PHOTOS, CARTOONS, DRAWINGS):
        if kind in kinds:
            ingest |= {kind: "folder", f"{kind}_at": f"data/{kind}"}
        elif kind == PHOTOS:
            ingest[kind] = "sample"
    values = {
        "ingest": ingest,
        "preprocess": {"test_share": 0.2},
        "train": {"recipe": "paired" if DRAWINGS in kinds else "restyle", **TRAIN},
        "evaluate": {"photos": "test" if PHOTOS in kinds else "all"},
        "select": {"model_name": name, "floors": {"identity_sface": RECOGNISABLE}},
    }
    head = "# Parameters of this style. Those that are not here keep their defaults; `p2c params` lists all of them.\n"
    return head + yaml.safe_dump(values, sort_keys=False)


def write_release(out: Path) -> None:
    """Write the installed release and the hash of its code, on which the stages of a style depend."""
    write_json(out, {"photo2cartoon": version("photo2cartoon"), "code": folder_hash(PACKAGE, "**/*.py")})


def _pictures(folder: Path) -> list[Path]:
    return [folder / name for name in pictures_among(list_folder(folder), folder)]


def _check(found: dict[str, list[Path]], pictures: Pictures) -> None:
    if len(found[CARTOONS]) < FEWEST:
        raise UserError(
            f"{pictures.cartoons}: {len(found[CARTOONS])} pictures; a style needs {FEWEST} or more, 30 are good"
        )
    if DRAWINGS in found:
        if PHOTOS not in found:
            raise UserError("--drawings: needs --photos, the folder of the photographs that they are drawings of")
        stems = {path.stem for path in found[PHOTOS]}
        strangers = [path.name for path in found[DRAWINGS] if path.stem not in stems]
        if strangers:
            raise UserError(
                f"{pictures.drawings}: {strangers[0]} has no photograph of the same name in {pictures.photos}"
            )
    limits = PortraitParams()
    decoder = Sandbox.within(limits)
    for path in bar([path for files in found.values() for path in files], desc="pictures", unit="picture"):
        try:
            decoder(read_picture(path, limits.max_bytes), None, limits.max_pixels, limits.max_bytes)
        except PictureError as error:
            raise UserError(f"{path}: {error}") from None


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in files:
        target = folder / path.name
        if target.exists():
            raise UserError(f"{path}: another picture has the same name; rename one")
        shutil.copyfile(path, target)


def _is_version(place: str, name: str) -> bool:
    return Path(place).name == "generator" and (name.isdigit() or name.startswith("."))


def _version(folder: Path, kinds: list[str]) -> None:
    """Make the folder a git repository, if there is git, and a DVC project, and put the pictures into DVC."""
    git = shutil.which("git") is not None
    if git:
        _run(folder, "git", "init", "-q")
    dvc = [sys.executable, "-m", "dvc"]
    _run(folder, *dvc, "init", "-q", *(() if git else ("--no-scm",)))
    for name in ("analytics", "check_update"):
        _run(folder, *dvc, "config", f"core.{name}", "false")
    shutil.copytree(TEMPLATE / "plots", folder / ".dvc/plots", dirs_exist_ok=True)
    with (folder / ".dvcignore").open("a") as file:
        file.write("/var\n/.venv\n__pycache__\n")
    _run(folder, *dvc, "add", "-q", *(f"data/{kind}" for kind in kinds))
    _run(folder, sys.executable, "-m", "photo2cartoon", "dvc-setup")
    if git:
        _run(folder, "git", "add", "-A")


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1]
        raise UserError(f"{' '.join(command[-3:])}: {said}")


def _readme(name: str) -> str:
    return f"""# {name}

A style for photo2cartoon, made by `p2c style new`.

| to | do |
|---|---|
| train, score, select, export | `dvc repro` |
| see the results | open `reports/index.html` |
| draw | `p2c cartoonize PHOTO_OR_DIR --checkpoint models/selected --out DIR` |
| serve | `p2c promote`, `p2c serve` |
| change it | edit `params.yaml`, add pictures to `data/`, `dvc repro` |
| keep this version | `git add -A && git commit` |
"""
