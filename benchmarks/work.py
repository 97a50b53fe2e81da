"""Counts the work of a training step, independent of the machine: kernel launches, arithmetic, memory read and written.

    python -m benchmarks.work --size 256

Time on a CPU says little about a GPU, where at one image per step launching the kernels takes longer than running them.
A kernel is a PyTorch operation that computes something; views and empty tensors are not counted. Memory is the size of
all kernel inputs and outputs, as if no cache helped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.train_step import PLAIN, WAYS, make
from photo2cartoon.errors import exit_on_user_error

UNCOUNTED = {
    "_unsafe_view",
    "detach",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "_local_scalar_dense",
}


class Kernels(TorchDispatchMode):
    """Counts kernels, and the bytes of their arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.started = self.bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = operation(*args, **kwargs)
        if not operation.is_view and operation._schema.name.split("::")[-1] not in UNCOUNTED:
            self.started += 1
            tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return made


def work(way: str, size: int, channels: int, weights: Path) -> tuple[int, float, float]:
    """Return kernels, arithmetic in GFLOP and memory in GB of one step at batch 1."""
    trainer = make(way, size, channels, 1, weights, torch.device("cpu"))
    real_A, real_B = torch.rand(2, 1, 3, size, size) * 2 - 1
    trainer(real_A, real_B, 0)  # creates the optimizers' moments
    with FlopCounterMode(display=False) as arithmetic, Kernels() as kernels:
        trainer(real_A, real_B, 1)
    return kernels.started, arithmetic.get_total_flops() / 1e9, kernels.bytes / 1e9


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--ways", default=f"{PLAIN},ours,recompute", help=f"some of {', '.join(WAYS)}")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder that `p2c assets` filled")
    given = parser.parse_args()
    print(f"{'':12}{'kernels':>10}{'GFLOP':>10}{'GB':>10}")
    for way in given.ways.split(","):
        kernels, arithmetic, memory = work(way, given.size, given.channels, given.weights)
        print(f"{way:12}{kernels:10}{arithmetic:10.0f}{memory:10.1f}", flush=True)


if __name__ == "__main__":
    with exit_on_user_error("work"):
        main()
