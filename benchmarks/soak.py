"""Loads a server with everything that callers send, and a training with many steps, and writes whether memory stays flat.

    python -m benchmarks.soak --write                          (a quarter of an hour, and ten minutes of training)
    python -m benchmarks.soak --minutes 0 --write              (the training alone; --steps 0: the server alone)
    make test-hours                                            (two hours, as a test)

Four clients send single photographs, photographs with two people, 512 px, WebP, pasted heads, and one damaged picture in ten.
Every minute another version is loaded and the former one is retired, as `p2c promote` does. Memory is the private memory of the
server and all its processes; shared memory is what lies in /dev/shm. A change is the slope of a line through the samples after
the first third, when every size has been seen, with half of its 95 % interval.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from benchmarks.fuzz import mutations
from benchmarks.page import write_between
from benchmarks.project import eight_pictures
from benchmarks.serving import machine, model_repository, photographs
from benchmarks.watched import memory, open_files, p2c
from photo2cartoon import pretrained
from photo2cartoon.assets.collect import ensure
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.params import PortraitParams
from photo2cartoon.pictures import decode_png
from photo2cartoon.portrait import PictureError
from photo2cartoon.portrait.maker import required_assets
from photo2cartoon.progress import bar
from photo2cartoon.serving.call import Call, code_of
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.fleet import Fleet
from photo2cartoon.serving.plan import THROUGHPUT
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.stamp import stamp
from photo2cartoon.serving.storage import storage_at

PAGE = Path("docs/explanation/reliability.md")
CLIENTS, INTERVAL, TURN = 4, 5.0, 60.0
TRAIN = {"size": 128, "channels": 4, "hourglasses": False, "blocks": 1, "log_every": 50, "sample_every": 500}


@dataclass
class Samples:
    """What was measured: time in seconds, and a value of each kind at that time.

    Args:
        rows: time, memory in MB, open files, shared memory in MB.
        calls: time, seconds and answer of each call.
        loads: versions that were loaded.
    """

    rows: list[tuple[float, float, float, float]] = field(default_factory=list)
    calls: list[tuple[float, float, str]] = field(default_factory=list)
    loads: int = 0


def main() -> None:
    """Load the server, train, print the tables, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--minutes", type=float, default=15, help="of load; 0: none")
    parser.add_argument("--steps", type=int, default=2000, help="steps of the training; 0: none")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE}")
    options = parser.parse_args()
    ensure(required_assets(PortraitParams()), options.weights)
    with tempfile.TemporaryDirectory() as folder:
        texts = {}
        if options.minutes:
            samples = load(Path(folder), options.weights.resolve(), options.minutes * 60)
            texts["benchmarks.soak"] = f"{machine()}, {options.minutes:g} minutes:\n\n{table(samples)}"
        if options.steps:
            said = training(Path(folder), options.steps)
            texts["benchmarks.soak training"] = f"A training of {options.steps} steps, {machine()}: {said}"
    for mark, text in texts.items():
        print(text)
        if options.write:
            write_between(PAGE, mark, text)


def load(folder: Path, weights: Path, seconds: float) -> Samples:
    """Start a server, call it for some seconds, and measure meanwhile."""
    graphs = [folder / "one.onnx", folder / "two.onnx"]
    for number, graph in enumerate(graphs, 1):
        stamp(pretrained.graph("slim"), number, graph)
    repository = model_repository(graphs[0], folder / "models")
    samples, stop = Samples(), threading.Event()
    with Server(repository, folder / "run", Ports.free(), weights, None, profile=THROUGHPUT) as server:
        began = time.monotonic()
        clients = [
            threading.Thread(target=_call, args=(server.grpc, number, samples, stop, began))
            for number in range(CLIENTS)
        ]
        clients.append(threading.Thread(target=_change, args=(server, repository, samples, stop)))
        for client in clients:
            client.start()
        try:
            for _ in bar(range(int(seconds / INTERVAL)), desc="load", unit="sample"):
                time.sleep(INTERVAL)
                shared = sum(path.stat().st_size for path in Path("/dev/shm").iterdir() if path.is_file()) / 1e6
                now = time.monotonic() - began
                samples.rows.append((now, memory(server.process.pid), open_files(server.process.pid), shared))
        finally:
            stop.set()
            for client in clients:
                client.join()
    return samples


def _call(server: str, number: int, samples: Samples, stop: threading.Event, began: float) -> None:
    photos = photographs(None)
    both = np.hstack([decode_png(_as_png(photo))[:700, :700] for photo in photos])
    group = cv2.imencode(".jpg", both[..., ::-1])[1].tobytes()
    damaged = mutations(1_000_000, number)
    kinds: list[Callable[[], tuple[bytes, Call]]] = [
        *[lambda: (photos[0], Call()), lambda: (photos[1], Call())] * 2,
        lambda: (group, Call("all")),
        lambda: (photos[0], Call(size=512)),
        lambda: (photos[1], Call(format="webp")),
        lambda: (group, Call("all", paste=True, format="jpeg")),
        lambda: (photos[0], Call(colour=0.0)),
        lambda: (next(damaged)[1], Call()),
    ]
    client = Client(server)
    for kind in itertools.islice(itertools.cycle(range(len(kinds))), number, None):
        if stop.is_set():
            return
        photo, call = kinds[kind]()
        asked = time.monotonic()
        try:
            client.cartoonize(photo, call, timeout=60)
            said = "drawn"
        except PictureError as error:
            said = code_of(error)
        except Exception as error:  # of any kind: nobody would miss a thread that ended
            said = f"FAILED: {error}"
        samples.calls.append((asked - began, time.monotonic() - asked, said if kind else f"{said} (plain)"))


def _as_png(photo: bytes) -> bytes:
    return cv2.imencode(".png", cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR))[1].tobytes()


def _change(server: Server, repository: Path, samples: Samples, stop: threading.Event) -> None:
    """Load another version every minute."""
    storage, fleet = storage_at(repository), Fleet(server.grpc, server.key)
    source = storage.graph(1)
    for version in itertools.count(2):
        if stop.wait(TURN):
            return
        with tempfile.TemporaryDirectory() as folder:
            stamp(source, version, Path(folder) / "model.onnx")
            storage.publish(version, Path(folder) / "model.onnx")
        fleet.reload("generator")
        if version > 2:
            shutil.rmtree(storage.graph(version - 1).parent)
        samples.loads += 1


def slope(times: list[float], values: list[float]) -> tuple[float, float]:
    """Return the change of values in an hour, and half of its 95 % interval: a line through the last two thirds."""
    start = times[len(times) // 3]
    x, y = np.array([(at / 3600, value) for at, value in zip(times, values, strict=True) if at >= start]).T
    (rate, level), covariance = np.polyfit(x, y, 1, cov=True)
    del level
    return float(rate), float(1.96 * np.sqrt(covariance[0, 0]))


def table(samples: Samples) -> str:
    """Return the samples of six parts of the time, the slopes, and the answers."""
    end = samples.rows[-1][0]
    lines = [
        "| minutes | memory, MB | open files | shared memory, MB | calls | p50, ms | p95, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in range(6):
        first, last = end * part / 6, end * (part + 1) / 6
        rows = np.array([row for row in samples.rows if first < row[0] <= last])
        plain = [seconds for at, seconds, said in samples.calls if first < at <= last and said.endswith("(plain)")]
        count = sum(first < at <= last for at, _, _ in samples.calls)
        _, private, files, shared = np.median(rows, axis=0)
        p50, p95 = np.percentile(plain, [50, 95]) * 1000
        numbers = f"{private:.0f} | {files:.0f} | {shared:.1f} | {count} | {p50:.0f} | {p95:.0f}"
        lines.append(f"| {first / 60:.0f} to {last / 60:.0f} | {numbers} |")
    times = [row[0] for row in samples.rows]
    changes = [
        f"{name} {rate:+.1f} ± {half:.1f}{unit}"
        for place, name, unit in ((1, "memory", " MB"), (2, "open files", ""), (3, "shared memory", " MB"))
        for rate, half in [slope(times, [row[place] for row in samples.rows])]
    ]
    answers = Counter(said.removesuffix(" (plain)") for _, _, said in samples.calls)
    said = ", ".join(f"{count} {answer}" for answer, count in answers.most_common())
    return (
        "\n".join(lines)
        + f"\n\nChange in an hour: {', '.join(changes)}. Versions loaded: {samples.loads}. Answers: {said}."
    )


def training(folder: Path, steps: int) -> str:
    """Train a small network and return how its memory changed."""
    params = {"ingest": {"photos": "folder", "photos_at": str(eight_pictures(folder)), "sample_cartoons": 8}}
    params["train"] = TRAIN | {"steps": steps, "checkpoint_every": max(1, steps // 4)}
    (folder / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
    weights = folder / "weights"
    for words in (["assets", "--out", weights], ["ingest"], ["preprocess", "--raw", "data/raw", "--out", "data/faces"]):
        subprocess.run(p2c(*words), cwd=folder, check=True, capture_output=True)
    process = subprocess.Popen(
        p2c("train", "--out", "run"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began, rows = time.monotonic(), []
    while process.poll() is None:
        time.sleep(2)
        rows.append((time.monotonic() - began, memory(process.pid), float(open_files(process.pid))))
    if process.returncode:
        raise UserError("the training failed")
    rows = rows[:-1]
    times = [row[0] for row in rows]
    (rate, half), (files, spread) = (slope(times, [row[place] for row in rows]) for place in (1, 2))
    third = len(rows) // 3
    middle, last = (float(np.median([row[1] for row in part])) for part in (rows[third : 2 * third], rows[2 * third :]))
    return (
        f"{middle:.0f} MB in the second third of its {times[-1] / 60:.0f} minutes, {last:.0f} MB in the last;"
        f" {rate:+.0f} ± {half:.0f} MB and {files:+.1f} ± {spread:.1f} open files in an hour."
    )


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.soak"):
        main()
