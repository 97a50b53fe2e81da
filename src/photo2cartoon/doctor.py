"""`p2c doctor`: what this machine has, what it lacks, and what that costs."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from photo2cartoon.cores import usable_cores, usable_memory
from photo2cartoon.errors import UserError, without_credentials
from photo2cartoon.layout import MODEL_REPOSITORY, WEIGHTS

GIGABYTE = 1e9
OK, LACKS, FAILS = "ok", "lacks", "fails"
TOOLS = {
    "git": "no versions of data and models: dvc diff, dvc exp and `make submit` need it",
    "docker": "no images: make team, image-test and compose-test",
    "kubectl": "no cluster: applying kubernetes/, make train-job",
    "chromium": "tests with a browser and make screenshots are skipped",
    "nvidia-smi": "no GPU: fine-tuning takes minutes to hours, training from nothing weeks; drawing takes 25 to 300 ms",
}
# What `pip install .` leaves out.
PACKAGES = {"torch": "checkpoints and training", "dvc": "versions", "mlflow": "runs", "gradio": "the page"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        state: `ok`; `lacks`, which costs something; or `fails`, with which nothing works.
        what: the item that was checked.
        said: what was found, or what its absence costs and how to mend it.
    """

    state: str
    what: str
    said: str


def examine() -> Iterator[Finding]:
    """Look at the machine and at the project in the working directory; nothing is changed or fetched."""
    yield from _system()
    yield from _resources()
    yield _python()
    yield _packages()
    yield _triton()
    for tool, cost in TOOLS.items():
        yield Finding(OK, tool, place) if (place := shutil.which(tool)) else Finding(LACKS, tool, cost)
    yield from _project()


def _system() -> Iterator[Finding]:
    right = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    said = f"{platform.system()} on {platform.machine()}"
    yield Finding(OK if right else FAILS, "system", said if right else f"{said}: Triton and dlib need Linux on x86-64")
    name, release = platform.libc_ver()
    if name == "glibc" and tuple(map(int, release.split("."))) < (2, 35):
        yield Finding(LACKS, "glibc", f"{release}: Triton needs 2.35 (Debian 12, Ubuntu 22.04); serve with `make team`")


def _resources() -> Iterator[Finding]:
    cores = usable_cores()
    yield Finding(OK, "processor", f"{cores} {'core' if cores == 1 else 'cores'}{_arithmetic()}")
    memory = usable_memory() / GIGABYTE
    enough = memory >= 4
    yield Finding(OK if enough else LACKS, "memory", f"{memory:.0f} GB{'' if enough else ': training takes 4 GB'}")
    free = shutil.disk_usage(Path.cwd()).free / GIGABYTE
    enough = free >= 2
    yield Finding(OK if enough else LACKS, "disk", f"{free:.0f} GB free here{'' if enough else ': a demo takes 2 GB'}")


def _arithmetic() -> str:
    with contextlib.suppress(OSError):
        if "avx512_bf16" in Path("/proc/cpuinfo").read_text():
            return ", bfloat16: OpenVINO draws in half the time"
    return ""


def _python() -> Finding:
    said = f"{platform.python_version()} in {sys.prefix}"
    return (
        Finding(OK, "Python", said)
        if sys.version_info[:2] == (3, 11)
        else Finding(
            LACKS, "Python", f"{said}: drawing was tried with 3.12 and 3.13, everything else was tested with 3.11 only"
        )
    )


def _packages() -> Finding:
    lacking = {name: needed for name, needed in PACKAGES.items() if not importlib.util.find_spec(name)}
    if not lacking:
        return Finding(OK, "packages", "for drawing, training and the page")
    return Finding(
        LACKS, "packages", f"no {', '.join(lacking)}: it draws, without {', '.join(lacking.values())}; `make env`"
    )


def _triton() -> Finding:
    from photo2cartoon.serving.installation import find_triton

    try:
        find_triton()
    except UserError as error:
        return Finding(LACKS, "Triton", f"no server: {error}")
    return Finding(OK, "Triton", "can be started")


def _project() -> Iterator[Finding]:
    if not Path("dvc.yaml").exists():
        yield Finding(LACKS, "project", "none here: `p2c style new NAME --cartoons DIR` makes one; drawing needs none")
        return
    files = len([path for path in WEIGHTS.glob("*") if path.is_file()])
    yield Finding(OK, "weights", f"{files} files") if files else Finding(LACKS, "weights", "fetched when first needed")
    yield _dvc("DVC")
    if importlib.util.find_spec("mlflow"):
        yield _mlflow("MLflow")
    yield _model("model")
    with contextlib.closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", 8001))
        except OSError:
            yield Finding(OK, "port 8001", "in use: a server runs, or `p2c serve --grpc-port` takes another")


def _dvc(what: str) -> Finding:
    local = Path(".dvc/config.local")
    return Finding(OK, what, "set up") if local.exists() else Finding(LACKS, what, "`p2c dvc-setup` sets it up")


def _mlflow(what: str) -> Finding:
    from photo2cartoon.tracking.client import tracking_uri
    from photo2cartoon.tracking.server import must_answer

    try:
        must_answer()
    except UserError as error:
        return Finding(FAILS, what, f"{error}")
    return Finding(OK, what, without_credentials(tracking_uri()))


def _model(what: str) -> Finding:
    from photo2cartoon.serving.repository import list_versions

    with contextlib.suppress(UserError):
        if versions := list_versions(MODEL_REPOSITORY):
            return Finding(OK, what, f"version {versions[-1]} is promoted")
    return Finding(LACKS, what, "none is promoted: `dvc repro`, then `p2c promote`; the bundled ones draw")


def report(show: Callable[[str], None]) -> bool:
    """Show every finding in a line; return whether none fails."""
    marks = {OK: "✓", LACKS: "–", FAILS: "✗"}
    fine = True
    for finding in examine():
        show(f"{marks[finding.state]} {finding.what:<12} {finding.said}")
        fine &= finding.state != FAILS
    return fine
