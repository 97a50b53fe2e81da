"""A project to break: a clone of this repository, made once with a small network, and the commands that change it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.serving import photographs
from benchmarks.watched import p2c
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash

PARTIAL = re.compile(r"\..+\.\d+(-\d+)?\.(partial|old)(\.\w+)?")
TRAIN = {"size": 128, "channels": 4, "hourglasses": False, "blocks": 1, "steps": 12, "checkpoint_every": 4}
TRAIN |= {"sample_every": 6, "log_every": 1}
# What a command makes, and the part of it that has to be the same: not times, ids of runs and the like.
OUTPUTS = {
    "params": ("reports/params.yaml", "**/*"),
    "assets": ("weights", "**/*"),
    "sources": ("reports/sources.json", "**/*"),
    "ingest": ("data/raw", "**/*"),
    "preprocess": ("data/faces", "**/*"),
    "train": ("models/train", "checkpoints/*/*.safetensors"),
    "evaluate": ("reports/evaluation", "scores.csv"),
    "select": ("models/selected", "*.safetensors"),
    "report": ("reports/index.html", ""),
    "export": ("models/export", "generator.onnx"),
}


@dataclass
class Case:
    """A command.

    Args:
        name: of the table.
        command: its words.
        out: what it writes, in the project.
        prepare: brings the project to the state before the command.
        result: what it has made, to be compared.
        once: whether a second run, after one that ended well, does something else or is refused.
        seconds: how long it takes undisturbed.
        expected: `result` after an undisturbed run.
    """

    name: str
    command: list[str]
    out: str
    prepare: Callable[[], None]
    result: Callable[[], object]
    once: bool = False
    seconds: float = 0.0
    expected: object = None
    found: Counter = field(default_factory=Counter)


class Project:
    """A clone of this repository, with a small network and a few pictures.

    Args:
        folder: does not exist yet.
        weights: folder that has the files for portraits already, maybe more.
    """

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", ".", folder], check=True)
        pictures = eight_pictures(folder.parent)
        self._params = {
            "assets": {"folder": str(weights)},
            "ingest": {"photos": "folder", "photos_at": str(pictures), "sample_cartoons": 8},
            "preprocess": {"test_share": 0.4},
            "evaluate": {"photos": "all"},
            "select": {"promote": "always"},
        }
        self.environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
        }
        self.environment |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder.parent / "site")}
        self.environment |= {"HOME": str(folder.parent), "XDG_CACHE_HOME": str(folder.parent / "cache")}
        self.stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]

    def params(self, train: dict[str, object]) -> None:
        """Write params.yaml, with these parameters of the training besides `TRAIN`."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self._params | {"train": TRAIN | train}))

    def start(self, command: list[str]) -> subprocess.Popen:
        """Start a command in a process group of its own."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **options)

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it printed."""
        process = self.start(command)
        printed, _ = process.communicate(timeout=900)
        return process.returncode, printed

    def must(self, *command: str) -> str:
        """Run a command that has to succeed.

        Raises:
            UserError: it failed.
        """
        code, printed = self.run(list(command))
        if code:
            raise UserError(f"{' '.join(command)}: {printed[-800:]}")
        return printed

    def stage(self, name: str) -> list[str]:
        """Return the words of a stage's command, as dvc.yaml has them."""
        return p2c(*self.stages[name]["cmd"].replace("${p2c}", "").split())

    def remove(self, *paths: str) -> None:
        """Remove files and folders."""
        for path in paths:
            place = self.folder / path
            shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)

    def hash_of(self, path: str, pattern: str) -> str:
        """Return the hash of a file, or of the files of a folder that match a pattern."""
        place = self.folder / path
        if place.is_dir():
            return folder_hash(place, pattern)
        if pattern:
            return folder_hash(place.parent, place.name)
        return str(place.is_file() and place.read_text().rstrip().endswith("</html>"))

    def debris(self) -> list[str]:
        """Return partial files and folders."""
        return [path.name for path in self.folder.rglob(".*") if PARTIAL.fullmatch(path.name)]

    def running(self) -> int:
        """Count MLflow's runs that have not ended."""
        with contextlib.closing(sqlite3.connect(self.folder / "var/mlflow.db")) as database:
            return database.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0]

    def aliases(self) -> dict[str, int]:
        """Return the versions of the aliases, as MLflow has them."""
        with contextlib.closing(sqlite3.connect(self.folder / "var/mlflow.db")) as database:
            return dict(database.execute("SELECT alias, version FROM registered_model_aliases").fetchall())

    def processes(self) -> list[int]:
        """Return the processes that work in the project."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (place / "cwd").resolve() == self.folder.resolve():
                    found.append(int(place.name))
        return found

    def served(self) -> list[str]:
        """Return the versions in Triton's repository with the hash of their graphs, and hidden ones that are not retired."""
        generator = self.folder / "triton_repo/generator"
        return [f"{path.name} {folder_hash(path)}" for path in sorted(generator.glob("[0-9]*"))]


def eight_pictures(folder: Path) -> Path:
    """Write two portraits four times, each with another hash, into a folder `pictures`, and return it."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, photo in enumerate(photographs(None) * 4):
        (pictures / f"person-{number}.jpg").write_bytes(photo + bytes([number]))
    return pictures


def cases(project: Project) -> Iterator[Case]:
    """Yield the commands: stages, then those that change models, then DVC."""
    second = project.aliases()["champion"]
    first = second - 1

    def champion(version: int, other: int) -> None:
        script = "import sys; from photo2cartoon.tracking import aliases as a; name, one, two = sys.argv[1:];"
        script += "a.set_alias(name, 'previous', int(two)); a.set_alias(name, 'champion', int(one))"
        project.must(sys.executable, "-c", script, "photo2cartoon", str(version), str(other))

    for name, (out, pattern) in OUTPUTS.items():
        removed = [out, "var/datasets"] if name == "preprocess" else [out, "var/training"] if name == "train" else [out]
        yield Case(
            f"`{name}`",
            project.stage(name),
            out,
            lambda removed=removed, name=name: (
                project.remove(*removed),
                name == "evaluate" and champion(second, first),
            ),
            lambda out=out, pattern=pattern: project.hash_of(out, pattern),
        )

    def before_promote() -> None:
        champion(first, first)
        project.must(*p2c("promote"))
        champion(second, first)

    def before_rollback() -> None:
        champion(second, first)
        project.must(*p2c("promote"))

    def deployed() -> object:
        return project.served()[-1], project.aliases()["champion"], project.aliases()["previous"]

    yield Case("`promote`", p2c("promote"), "triton_repo/generator/2", before_promote, deployed)
    yield Case("`rollback`", p2c("rollback"), "triton_repo/generator/1", before_rollback, deployed, once=True)
    yield Case(
        "`export --version`",
        p2c("export", "--version", str(second), "--out", "again/again.onnx", "--data", "data/faces"),
        "again/again.onnx",
        lambda: project.remove("again"),
        lambda: project.hash_of("again/again.onnx", "**/*"),
    )
    _weights_to_import(project.folder / "own.pt")
    yield Case(
        "`import-weights`",
        p2c("import-weights", "own.pt", "--out", "own/imported"),
        "own/imported",
        lambda: project.remove("own"),
        lambda: project.hash_of("own/imported", "*.safetensors"),
        once=True,
    )
    photos = project.folder.parent / "pictures"
    yield Case(
        "`cartoonize` of a folder",
        p2c("cartoonize", str(photos), "--out", "cartoons", "--checkpoint", "models/selected"),
        "cartoons/1.png",
        lambda: project.remove("cartoons"),
        lambda: project.hash_of("cartoons", "**/*"),
    )
    outs = [out for out, _ in OUTPUTS.values() if out != "weights"]
    yield Case(
        "`dvc repro`",
        ["dvc", "repro", "-q", "--no-run-cache"],
        "dvc.lock",
        lambda: project.remove(*outs, "reports", "dvc.lock", "var/datasets", "var/training", ".dvc/cache"),
        lambda: (
            {name: project.hash_of(*OUTPUTS[name]) for name in OUTPUTS}
            | {"status": project.run(["dvc", "status", "--json"])[1]}
        ),
    )


def _weights_to_import(path: Path) -> None:
    """Write weights as photo2cartoon's training saves them, with random values."""
    import torch

    from tests import original

    torch.save({"genA2B": original.tensors(original.generator_shapes(8, 256))}, path)
