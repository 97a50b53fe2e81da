"""Ends every stage and every command that changes a model at random moments, runs it again, and compares the results.

    python -m benchmarks.power --write                       (an hour on 2 cores; --moments 3 for a look)
    python -m benchmarks.power --how term --write

A project is cloned and made once, undisturbed, with a small network. Then each command is started and, at seeded moments
spread over the time that it takes, all its processes are killed (SIGKILL), or it is asked to end (SIGTERM). It is run again to
its end. Counted are: results that are not what the undisturbed run made; second runs that failed; partial files and folders
that are still there; MLflow runs that are still RUNNING; processes that are left. `dvc repro` is treated the same way,
as a whole.

`--how twice` starts each command twice at once instead: the second one has to end well, or to say who is at work.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.page import read_between, write_between
from benchmarks.serving import photographs
from photo2cartoon.assets.collect import collect
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.files import folder_hash
from photo2cartoon.progress import bar, note

PAGE = Path("docs/reliability.md")
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
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
    """A command that is ended.

    Args:
        name: of the table.
        command: its words.
        prepare: brings the project to the state before the command.
        result: what it has made, to be compared.
        once: whether a second run, after one that ended well, does something else or is refused.
        seconds: how long it takes undisturbed.
        expected: `result` after an undisturbed run.
    """

    name: str
    command: list[str]
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
        pictures = folder.parent / "pictures"
        pictures.mkdir()
        for number, photo in enumerate(photographs(None) * 4):
            (pictures / f"person-{number}.jpg").write_bytes(photo + bytes([number]))
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

    def p2c(self, *arguments: str) -> list[str]:
        """Return the words of a `p2c` command."""
        return [sys.executable, "-m", "photo2cartoon", *arguments]

    def stage(self, name: str) -> list[str]:
        """Return the words of a stage's command, as dvc.yaml has them."""
        return self.p2c(*self.stages[name]["cmd"].replace("${p2c}", "").split())

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
        return folder_hash(place.parent, place.name) if pattern else str(place.is_file())

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


def main() -> None:
    """Make the project, end everything, print each row of the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="folder of weights; what is missing is fetched"
    )
    parser.add_argument("--how", choices=[*SIGNALS, "twice"], default="kill")
    parser.add_argument("--moments", type=int, default=20, help="moments for each command")
    parser.add_argument("--only", nargs="+", help="names of the table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write", action="store_true", help=f"write each result into {PAGE}; other rows of the table stay"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.weights.mkdir(exist_ok=True)
        collect(options.weights)
        project = Project(Path(temporary) / "project", options.weights.resolve())
        note("two versions, undisturbed: three minutes")
        for seed in (1, 0):
            project.params({"seed": seed})
            project.must("dvc", "repro", "-q")
        chosen = [case for case in cases(project) if not options.only or case.name in options.only]
        chosen.sort(key=lambda case: options.only.index(case.name) if options.only else 0)
        for case in bar(chosen, desc="undisturbed", unit="command"):
            undisturbed(project, case)
        moments = random.Random(options.seed)
        for case in chosen:
            for _ in bar(range(options.moments), desc=case.name, unit="moment"):
                if options.how == "twice":
                    twice(project, case)
                else:
                    ended(project, case, moments.random() * case.seconds, SIGNALS[options.how])
            print(row(case, options.moments, options.how), flush=True)
            if options.write:
                write(case, options)


HEAD = (
    "| | takes | ended | had ended before | second run failed | other result | partial files | runs RUNNING | processes left |\n"
    "|---|---|---|---|---|---|---|---|---|",
    "| | takes | started twice | both ended well | second one said who is at work | failed otherwise | other result"
    " | partial files | runs RUNNING |\n|---|---|---|---|---|---|---|---|---|",
)


def write(case: Case, options: argparse.Namespace) -> None:
    """Write the row of a case into the page; the other rows of the table stay."""
    mark = f"benchmarks.power {options.how}"
    lines = [line for line in read_between(PAGE, mark).splitlines() if line.startswith("| `")]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    rows[case.name] = row(case, options.moments, options.how)
    write_between(PAGE, mark, "\n".join([HEAD[options.how == "twice"], *rows.values()]))


def row(case: Case, moments: int, how: str) -> str:
    """Return a row of the table."""
    found = case.found
    names = ("before", "failed", "other", "debris", "running", "processes")
    if how == "twice":
        names = ("both", "said", "failed", "other", "debris", "running")
    return f"| {case.name} | {case.seconds:.1f} s | {moments} | {' | '.join(str(found[name]) for name in names)} |"


def cases(project: Project) -> Iterator[Case]:
    """Yield the commands: stages, then those that change models, then DVC."""
    first, second = project.aliases()["previous"], project.aliases()["champion"]

    def champion(version: int, other: int) -> None:
        script = "import sys; from photo2cartoon.tracking import registry as r; name, one, two = sys.argv[1:];"
        script += "r.set_alias(name, 'previous', int(two)); r.set_alias(name, 'champion', int(one))"
        project.must(sys.executable, "-c", script, "photo2cartoon", str(version), str(other))

    for name, (out, pattern) in OUTPUTS.items():
        removed = [out, "var/datasets"] if name == "preprocess" else [out, "var/training"] if name == "train" else [out]
        yield Case(
            f"`{name}`",
            project.stage(name),
            lambda removed=removed, name=name: (
                project.remove(*removed),
                name == "evaluate" and champion(second, first),
            ),
            lambda out=out, pattern=pattern: project.hash_of(out, pattern),
        )

    def before_promote() -> None:
        champion(first, first)
        project.must(*project.p2c("promote"))
        champion(second, first)

    def before_rollback() -> None:
        champion(second, first)
        project.must(*project.p2c("promote"))

    def deployed() -> object:
        return project.served()[-1], project.aliases()["champion"], project.aliases()["previous"]

    yield Case("`promote`", project.p2c("promote"), before_promote, deployed)
    yield Case("`rollback`", project.p2c("rollback"), before_rollback, deployed, once=True)
    yield Case(
        "`export --version`",
        project.p2c("export", "--version", str(second), "--out", "again.onnx", "--data", "data/faces"),
        lambda: project.remove("again.onnx"),
        lambda: project.hash_of("again.onnx", "**/*"),
    )
    _weights_to_import(project.folder / "own.pt")
    yield Case(
        "`import-weights`",
        project.p2c("import-weights", "own.pt", "--out", "imported"),
        lambda: project.remove("imported"),
        lambda: project.hash_of("imported", "*.safetensors"),
        once=True,
    )
    photos = project.folder.parent / "pictures"
    yield Case(
        "`cartoonize` of a folder",
        project.p2c("cartoonize", str(photos), "--out", "cartoons", "--checkpoint", "models/selected"),
        lambda: project.remove("cartoons"),
        lambda: project.hash_of("cartoons", "**/*"),
    )
    outs = [out for out, _ in OUTPUTS.values() if out != "weights"]
    yield Case(
        "`dvc repro`",
        ["dvc", "repro", "-q", "--no-run-cache"],
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


def undisturbed(project: Project, case: Case) -> None:
    """Run a case to its end, and note its time and its result."""
    case.prepare()
    began = time.monotonic()
    project.must(*case.command)
    case.seconds, case.expected = time.monotonic() - began, case.result()


def ended(project: Project, case: Case, seconds: float, how: signal.Signals) -> None:
    """Run a case, end it after some seconds, run it again, and count what is wrong then."""
    case.prepare()
    process = project.start(case.command)
    try:
        process.communicate(timeout=seconds)
        case.found["before"] += 1
        return
    except subprocess.TimeoutExpired:
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
    printed, _ = process.communicate(timeout=120)
    if how == signal.SIGTERM and "Traceback" in printed:
        _complain(case, "failed", f"told to end after {seconds:.2f} s: {printed[-600:]}")
    if case.once and case.result() == case.expected:
        case.found["before"] += 1  # it was about to exit
        return
    code, printed = project.run(case.command)
    if code or "Traceback" in printed:
        _complain(case, "failed", f"run again after {seconds:.2f} s: {printed[-600:]}")
    _inspect(project, case, f"ended after {seconds:.2f} s")


def twice(project: Project, case: Case) -> None:
    """Start a case twice at once, and count what came of it."""
    case.prepare()
    both = [project.start(case.command) for _ in range(2)]
    printed = [process.communicate(timeout=900)[0] for process in both]
    failed = [text for process, text in zip(both, printed, strict=True) if process.returncode]
    said = [text for text in failed if "Traceback" not in text and re.search(r"is writing it|is at work|lock", text)]
    if not failed:
        case.found["both"] += 1
    elif len(failed) == len(said) == 1:
        case.found["said"] += 1
    else:
        _complain(case, "failed", "\n".join(failed)[-900:])
    _inspect(project, case, "two at once")


def _inspect(project: Project, case: Case, what: str) -> None:
    if (result := case.result()) != case.expected:
        _complain(case, "other", f"{what}: {result} instead of {case.expected}")
    if debris := project.debris():
        _complain(case, "debris", f"{what}: {', '.join(debris)}")
    if running := project.running():
        _complain(case, "running", f"{what}: {running} runs")
    time.sleep(0.2)
    if left := project.processes():
        _complain(case, "processes", f"{what}: {left}")


def _complain(case: Case, kind: str, text: str) -> None:
    case.found[kind] += 1
    note(f"{case.name}: {kind}: {text}")


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.power"):
        main()
