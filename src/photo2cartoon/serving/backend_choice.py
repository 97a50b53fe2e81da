"""Chooses what runs the generator: onnxruntime, or OpenVINO where it is installed and measurably faster on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from photo2cartoon.atomic import atomic_write
from photo2cartoon.errors import UserError
from photo2cartoon.files import read_json, sha256_of
from photo2cartoon.progress import note

# What runs the generator. CUDA and TensorRT are onnxruntime's, in NVIDIA's server.
AUTO: Final = "auto"
ONNXRUNTIME: Final = "onnxruntime"
OPENVINO: Final = "openvino"
CUDA: Final = "cuda"
TENSORRT: Final = "tensorrt"
BACKENDS = (AUTO, ONNXRUNTIME, OPENVINO, CUDA, TENSORRT)
Backend = Literal["auto", "onnxruntime", "openvino", "cuda", "tensorrt"]
REMEMBERED = "backend.json"  # in a server's run folder
TURNS, WORTH = 7, 0.95  # OpenVINO is chosen if it takes less than this share of onnxruntime's time
LIMIT_SECONDS = 120


class Times(NamedTuple):
    """Median seconds of a portrait of 256 px."""

    onnxruntime: float
    openvino: float


def resolve_backend(wish: Backend, native: bool, graph: Callable[[], Path], threads: int, run_folder: Path) -> str:
    """Return the backend of the generator: the requested one, or for `auto` the faster one.

    Args:
        wish: one of `BACKENDS`.
        native: whether the server is NVIDIA's, with backends of its own; `auto` is onnxruntime there.
        graph: returns the newest version's; it may be far away.
        threads, run_folder: as for `choose_backend`.

    Raises:
        UserError: the server does not have it.
    """
    if wish in (CUDA, TENSORRT) and not native:
        raise UserError(f"serve: --backend {wish} needs a GPU and NVIDIA's Triton image (docs/how-to/serving.md)")
    if wish == OPENVINO and not native and not has_openvino():
        raise UserError("serve: --backend openvino needs the package openvino")
    if wish != AUTO:
        return wish
    return ONNXRUNTIME if native else choose_backend(graph(), threads, run_folder)


def choose_backend(graph: Path, threads: int, run_folder: Path) -> str:
    """Return the backend that draws faster; measured once for each graph, number of threads and version of OpenVINO.

    Args:
        graph: a promoted version.
        threads: of an instance of the generator.
        run_folder: remembers what was measured.
    """
    if not has_openvino():
        return ONNXRUNTIME
    place = run_folder / REMEMBERED
    key = hashlib.sha256(f"{sha256_of(graph)} {threads} {_version()} {_processor()}".encode()).hexdigest()
    remembered = read_json(place) if place.is_file() else {}
    if remembered.get("key") != key:
        times = measure(graph, threads)
        if times is None:
            return ONNXRUNTIME
        remembered = {"key": key, "times": times}
        with atomic_write(place) as partial:
            partial.write_text(json.dumps(remembered))
    return pick(Times(*remembered["times"]))


def has_openvino() -> bool:
    """Return whether the package is installed."""
    return importlib.util.find_spec("openvino") is not None


def pick(times: Times) -> str:
    """Return the backend to use, and say why."""
    chosen = OPENVINO if times.openvino < WORTH * times.onnxruntime else ONNXRUNTIME
    note(
        f"serve: the generator runs in {chosen}: a portrait takes {1000 * times.onnxruntime:.0f} ms with onnxruntime,"
        f" {1000 * times.openvino:.0f} ms with openvino"
    )
    return chosen


def measure(graph: Path, threads: int) -> Times | None:
    """Measure both in a process of their own, which gives their memory back; None if OpenVINO cannot be used."""
    command = [sys.executable, "-m", __name__, str(graph), str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        note(f"serve: comparing backends took more than {LIMIT_SECONDS} s; onnxruntime is used")
        return None
    if done.returncode:
        note(f"serve: openvino cannot be used: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
        return None
    return Times(*json.loads(done.stdout))


def _version() -> str:
    from importlib import metadata

    return metadata.version("openvino")


def _processor() -> str:
    """Return what names this machine's processor, with its instruction sets."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _measure(graph: str, threads: int) -> Times:
    """Let both draw in turns, as their backends do."""
    import openvino

    from photo2cartoon.serving.openvino_backend import check, options, sample
    from photo2cartoon.serving.session import INPUTS, open_session

    core, given = openvino.Core(), dict(zip(INPUTS, sample(), strict=True))
    request = core.compile_model(graph, "CPU", options(core, threads)).create_infer_request()
    session = open_session(Path(graph), threads)
    request.infer(given)
    check(request.get_tensor("cartoon").data, session.run(["cartoon"], given)[0])
    taken: dict[str, list[float]] = {ONNXRUNTIME: [], OPENVINO: []}
    for _ in range(TURNS + 2):
        for name, run in (
            (ONNXRUNTIME, lambda: session.run(["cartoon"], given)),
            (OPENVINO, lambda: request.infer(given)),
        ):
            since = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - since)
    return Times(*(statistics.median(seconds[2:]) for seconds in taken.values()))


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
