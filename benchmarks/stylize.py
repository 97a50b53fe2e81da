"""Measures the project's models in each variant: speed, size and difference from the full model.

    python -m benchmarks.stylize --data data/faces

Graphs take turns on one portrait each, so a noisy machine slows all of them alike. The ratio is the median, over the
turns, of the full float32 graph's time divided by the variant's time in the same turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from photo2cartoon import pretrained
from photo2cartoon.checkpoint import load_generator
from photo2cartoon.export.export import export, real_portraits
from photo2cartoon.params import Export
from photo2cartoon.serving.session import draw, open_session

VARIANTS = ("fp32", "fp16")


def main() -> None:
    """Measure and print a table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("data/faces"), help="dataset; its held-out portraits are used"
    )
    parser.add_argument("--portraits", type=int, default=32)
    parser.add_argument("--turns", type=int, default=10, help="timed turns, after two that are not timed")
    parser.add_argument("--threads", type=int, default=0, help="0: every core")
    parser.add_argument("--keep", type=Path, help="folder where the graphs stay, for `p2c measure`")
    given = parser.parse_args()
    portraits = real_portraits(given.data, given.portraits)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        sessions, arithmetic = {}, {}
        for model in sorted(pretrained.names()):
            generator = load_generator(model)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                generator(torch.zeros(1, 3, generator.size, generator.size))
            arithmetic[model] = counter.get_total_flops() / 1e9
            for variant in VARIANTS:
                graph = folder / f"{model}-{variant}.onnx"
                export(Export(variant=variant), Path(model), given.data, graph)
                sessions[model, variant] = open_session(graph, given.threads), graph.stat().st_size
        times: dict[tuple[str, str], list[float]] = {key: [] for key in sessions}
        for turn in range(-2, given.turns):
            for key, (session, _) in sessions.items():
                begun = time.perf_counter()
                draw(session, portraits[:1])
                if turn >= 0:
                    times[key].append(time.perf_counter() - begun)
        cartoons = {
            key: np.concatenate([draw(session, one[None]) for one in portraits]).astype(int)
            for key, (session, _) in sessions.items()
        }
    print("| model | variant | GFLOP | MB | s a portrait | times full fp32 | from its own fp32 | from full fp32 |")
    print("|---|---|---|---|---|---|---|---|")
    full = times["full", "fp32"]
    for (model, variant), own in times.items():
        ratio = statistics.median(a / b for a, b in zip(full, own, strict=True))
        apart = [np.abs(cartoons[model, variant] - cartoons[other, "fp32"]).mean() for other in (model, "full")]
        print(
            f"| {model} | {variant} | {arithmetic[model]:.1f} | {sessions[model, variant][1] / 1e6:.1f} | "
            f"{statistics.median(own):.3f} | {ratio:.2f} | {apart[0]:.2f} | {apart[1]:.2f} |"
        )
    print("\nDistances: mean absolute difference in levels of 255.")


if __name__ == "__main__":
    main()
