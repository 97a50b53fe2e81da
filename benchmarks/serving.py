"""Measures Triton against the same code in plain processes, and writes the table of docs/how-to/serving.md.

    python -m benchmarks.serving --weights weights --write

A plain process decodes a photograph, makes the portrait, draws and encodes, without a server. One client is compared with
one plain process that may use all cores; many clients are compared with as many plain processes as there are cores, with a
thread each. Plain and served take turns, round after round, so a noisy machine slows both alike; ratios are medians over
the rounds. Photographs are of 1,024 px on the longer side.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.page import write_between
from photo2cartoon import pretrained
from photo2cartoon.cores import usable_cores
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import ENSEMBLE, MODEL_REPOSITORY
from photo2cartoon.portrait import Photograph, PortraitMaker, decode
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.progress import bar
from photo2cartoon.provenance.encode import PNG, encode
from photo2cartoon.provenance.mark import Mark
from photo2cartoon.serving.aio import AsyncClient
from photo2cartoon.serving.messages import photo_input
from photo2cartoon.serving.plan import LATENCY, THROUGHPUT
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.session import draw, open_session
from photo2cartoon.serving.stamp import stamp

CLIENTS = (1, 2, 4, 8, 16)
SIDE, REFUSALS = 1024, 200
PAGE = Path("docs/how-to/serving.md")


@dataclass
class Times:
    """What one way of drawing took.

    Args:
        seconds: of each picture, as its client saw it.
        rates: pictures a second, of each round.
    """

    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def row(self, name: str, plain: Times) -> str:
        """Return a line of the table, with the ratio to the plain process."""
        p50, p95, p99 = np.percentile(self.seconds, [50, 95, 99]) * 1000
        ratio = statistics.median(own / other for own, other in zip(self.rates, plain.rates, strict=True))
        return f"| {name} | {statistics.median(self.rates):.2f} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {ratio:.2f} |"


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--photos", type=Path, help="folder of photographs with a face [default: two of installed packages]"
    )
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--model", default="slim", help="bundled model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="duration of each measurement in a round")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE}")
    options = parser.parse_args()
    photos = photographs(options.photos)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        graph = Path(folder) / "graph.onnx"
        stamp(pretrained.graph(options.model), 1, graph)
        repository = model_repository(graph, Path(folder) / "models")
        servers = {
            profile: stack.enter_context(
                Server(repository, Path(folder) / profile, Ports.free(), options.weights, None, profile=profile)
            )
            for profile in (LATENCY, THROUGHPUT)
        }
        cores = usable_cores()
        alone = stack.enter_context(_plain(1, cores, graph, options.weights, photos))
        all_cores = stack.enter_context(_plain(cores, 1, graph, options.weights, photos))
        ways: dict[str, Callable[[float], Times]] = {"plain process": alone, f"{cores} plain processes": all_cores}
        for profile, server in servers.items():
            for clients in CLIENTS:
                name = f"Triton, {profile}, {clients} client{'s' if clients > 1 else ''}"
                ways[name] = served([server.grpc], clients, photos)
        table = measure(ways, options.rounds, options.seconds)
        p50, p99 = np.percentile(_refused(servers[LATENCY], photos[0]), [50, 99]) * 1000
    text = f"{machine()}, `{options.model}`, {options.rounds} rounds of {options.seconds:g} s:\n\n{table}"
    text += f"\n\nA call that a server is too busy for gets its refusal after {p50:.1f} ms (p50) to {p99:.1f} ms (p99)."
    print(text)
    if options.write:
        write_between(PAGE, "benchmarks.serving", text)


def model_repository(graph: Path, folder: Path) -> Path:
    """Make a model repository with one version, and return it."""
    shutil.copytree(MODEL_REPOSITORY, folder, ignore=shutil.ignore_patterns("[0-9]*.onnx"))
    (folder / "generator/1").mkdir(exist_ok=True)
    shutil.copyfile(graph, folder / "generator/1/model.onnx")
    return folder


def measure(ways: dict[str, Callable[[float], Times]], rounds: int, seconds: float) -> str:
    """Run all ways in turn, round after round, and return the table. The first two are what the others are compared with."""
    taken = {name: Times() for name in ways}
    for run in ways.values():
        run(1.0)  # warm-up
    for _ in bar(range(rounds), desc="rounds", unit="round"):
        for name, run in ways.items():
            times = run(seconds)
            taken[name].seconds += times.seconds
            taken[name].rates += times.rates
    alone, all_cores = list(taken.values())[:2]
    lines = ["| | pictures a second | p50, ms | p95 | p99 | speed, plain = 1 |", "|---|---|---|---|---|---|"]
    for name, times in taken.items():
        lines.append(times.row(name, alone if times is alone or name.endswith(" 1 client") else all_cores))
    return "\n".join(lines)


def served(servers: Sequence[str], clients: int, photos: Sequence[bytes]) -> Callable[[float], Times]:
    """Return what lets a number of clients of each server call it one after another for some seconds."""

    async def one(client: AsyncClient, first: int, until: float, taken: list[float]) -> None:
        number = first
        while (began := time.perf_counter()) < until:
            await client.cartoonize(photos[number % len(photos)])
            taken.append(time.perf_counter() - began)
            number += 1

    async def all_of_them(seconds: float) -> Times:
        taken: list[float] = []
        async with contextlib.AsyncExitStack() as stack:
            connected = [await stack.enter_async_context(AsyncClient(server)) for server in servers]
            began = time.perf_counter()
            calls = (one(client, first, began + seconds, taken) for client in connected for first in range(clients))
            await asyncio.gather(*calls)
            return Times(taken, [len(taken) / (time.perf_counter() - began)])

    return lambda seconds: asyncio.run(all_of_them(seconds))


def _refused(server: Server, photo: bytes) -> list[float]:
    """Return the seconds of calls, one after another, while all of a server's places are taken."""
    from tritonclient import grpc

    places, client = server.slots(), grpc.InferenceServerClient(server.grpc)
    taken = places.take(len(places))
    seconds = []
    for _ in range(REFUSALS):
        began = time.perf_counter()
        with contextlib.suppress(grpc.InferenceServerException):
            client.infer(ENSEMBLE, photo_input(grpc, [photo]))
            raise AssertionError("a server without places has drawn")
        seconds.append(time.perf_counter() - began)
    places.free(taken)
    return seconds


@contextlib.contextmanager
def _plain(
    processes: int, threads: int, graph: Path, weights: Path, photos: Sequence[bytes]
) -> Iterator[Callable[[float], Times]]:
    """Start processes that draw without a server; yield what lets them draw for some seconds."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for first in range(processes):
        here, there = context.Pipe()
        arguments = (there, first, threads, graph, weights, photos)
        context.Process(target=_draw_when_asked, args=arguments, daemon=True).start()
        pipes.append(here)

    def run(seconds: float) -> Times:
        for pipe in pipes:
            pipe.send(seconds)
        answers = [pipe.recv() for pipe in pipes]
        return Times(
            [each for taken, _ in answers for each in taken], [sum(len(taken) / wall for taken, wall in answers)]
        )

    for pipe in pipes:
        pipe.recv()
    try:
        yield run
    finally:
        for pipe in pipes:
            pipe.send(None)


def _draw_when_asked(pipe: Any, first: int, threads: int, graph: Path, weights: Path, photos: Sequence[bytes]) -> None:
    cv2.setNumThreads(threads)
    maker = PortraitMaker.from_weights(weights, threads=threads)
    session = open_session(graph, threads)
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        taken, number, start = [], first, time.perf_counter()
        while (began := time.perf_counter()) < start + seconds:
            portrait = maker.of(Photograph(photos[number % len(photos)]))
            encode(draw(session, portrait.rgba[None])[0], PNG, Mark("version 1"))
            taken.append(time.perf_counter() - began)
            number += 1
        pipe.send((taken, time.perf_counter() - start))


def photographs(folder: Path | None) -> list[bytes]:
    """Return JPEGs whose longer side has `SIDE` pixels."""
    if folder:
        paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES][:32]
    else:
        import matplotlib
        import skimage

        paths = [Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"]
        paths.append(Path(skimage.__file__).parent / "data/astronaut.png")
    if not paths:
        raise UserError(f"{folder}: holds no pictures")
    photos = []
    for path in paths:
        rgb = decode(path)
        scale = SIDE / max(rgb.shape[:2])
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        photos.append(cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    return photos


def machine() -> str:
    """Return the cores and the processor of this machine, in words."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        os.uname().machine,
    )
    return f"{usable_cores()} cores of {cpu}"


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.serving"):
        main()
