"""Measures the time and memory of a training step, compared with the plain step in the original's order of work.

    python -m benchmarks.train_step --size 128 --channels 32

Each variant (`--ways`) runs in its own process; steps are interleaved, so a noisy machine slows all of them alike. The
ratio is the median, over the turns, of the plain step's time divided by the variant's time in the same turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.plain_step import PlainStep
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.params import Train
from photo2cartoon.training.memory import keep_freed
from photo2cartoon.training.unpaired import UnpairedTrainer

PLAIN = "plain"
# Changes of each variant to the `train` section. Compiling takes minutes on a CPU: those are timed only when named.
WAYS: dict[str, dict] = {
    PLAIN: {},
    "plain-kept": {"keep_memory": True},
    "ours": {},
    "returned": {"keep_memory": False},
    "bf16": {"precision": "bf16"},
    "channels-last": {"channels_last": True},
    "compile": {"compile": "default"},
    "cuda-graphs": {"compile": "reduce-overhead"},
    "recompute": {"recompute": True},
    "accumulate": {"accumulate": 2},
}


def main() -> None:
    """Measure and print a table; with --out, also write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each way")
    parser.add_argument("--warm-up", type=int, default=2, help="steps that are not timed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--ways", default="", help=f"some of {', '.join(WAYS)}; accumulate needs an even --batch")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    ways = (
        options.ways.split(",")
        if options.ways
        else [
            way
            for way, changes in WAYS.items()
            if "compile" not in changes and (way != "accumulate" or options.batch % 2 == 0)
        ]
    )
    ways = [PLAIN, *(way for way in ways if way != PLAIN)]
    workers = {way: _Worker(way) for way in ways}
    try:
        for turn in range(-options.warm_up, options.steps):
            for worker in workers.values():
                worker.step(timed=turn >= 0)
        rows = [worker.row(workers[PLAIN], options.batch) for worker in workers.values()]
    finally:
        for worker in workers.values():
            worker.close()
    setting = {
        "size": options.size,
        "channels": options.channels,
        "batch": options.batch,
        "device": _device(options.device),
    }
    print(json.dumps(setting))
    print(f"{'':12}{'s a step':>10}{'pictures/s':>12}{'times plain':>13}{'peak memory, MB':>17}")
    for row in rows:
        print(
            f"{row['way']:12}{row['seconds']:10.3f}{row['pictures_per_second']:12.2f}{row['times_plain']:13.2f}{row['memory_mb']:17.0f}"
        )
    if options.out:
        options.out.write_text(json.dumps({**setting, "rows": rows}, indent=1) + "\n")


class _Worker:
    """A variant in its own process, which runs one step for each line that it receives."""

    def __init__(self, way: str) -> None:
        self.way, self.times = way, []
        command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:], "--serve", way]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(self, timed: bool) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise UserError(f"the way {self.way} ended early")
        self.last = json.loads(line)
        if timed:
            self.times.append(self.last["seconds"])

    def row(self, plain: _Worker, batch: int) -> dict:
        seconds = statistics.median(self.times)
        return {
            "way": self.way,
            "seconds": seconds,
            "pictures_per_second": 2 * batch / seconds,
            "times_plain": statistics.median(p / own for p, own in zip(plain.times, self.times, strict=True)),
            "memory_mb": self.last["memory_mb"],
            "generator_loss": self.last["generator_loss"],
        }

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def serve(options: argparse.Namespace) -> None:
    """Run one variant: a step for each line on standard input, answered with its time, memory and loss."""
    device = torch.device(options.device)
    trainer = make(options.serve, options.size, options.channels, options.batch, options.weights, device)
    generator = torch.Generator().manual_seed(1)
    shape = (2, options.batch, 3, options.size, options.size)
    real_A, real_B = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
    for number, _ in enumerate(sys.stdin):
        started = time.perf_counter()
        report = trainer(real_A, real_B, number)
        loss = report["generator/total"].item()  # waits for a GPU
        seconds = time.perf_counter() - started
        if device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(device) / 2**20
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(json.dumps({"seconds": seconds, "memory_mb": memory, "generator_loss": loss}), flush=True)


def make(
    way: str, size: int, channels: int, batch: int, weights: Path, device: torch.device
) -> UnpairedTrainer | PlainStep:
    """Build the step of a variant, with randomly initialised networks.

    Raises:
        UserError: the face network is not in `weights`.
    """
    torch.manual_seed(0)
    changes = {"precision": "fp32"} | WAYS[way]
    params = Train(size=size, channels=channels, batch=batch, steps=10_000, **changes)
    face = load_face_network("dlib", weights)
    # The plain step uses memory as any program does; `plain-kept` shows what keeping freed memory alone gains.
    if way == "plain-kept":
        keep_freed()
    return (PlainStep if way.startswith(PLAIN) else UnpairedTrainer)(params, face, device)


def _device(name: str) -> str:
    if name.startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    with exit_on_user_error("train_step"):
        main()
