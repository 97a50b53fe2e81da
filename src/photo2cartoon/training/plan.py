"""The plan of a run: its size, and the time and memory that it takes, measured on a few steps. Nothing is written."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from photo2cartoon.params import Train
from photo2cartoon.training import checkpoint
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.recipes import RECIPES

TRIED_STEPS = 3


def plan(params: Train, data: Path, weights: Path, device: torch.device, processes: int) -> list[str]:
    """Describe a run: pictures, networks, losses, checkpoints, and the memory and time of a few steps run here.

    Args:
        params: the `train` section.
        data: the dataset.
        weights: folder that the `assets` stage filled.
        device: device of each process.
        processes: number of processes; one of them is run here, with its share of the batch.

    Raises:
        UserError: what would stop the run at its start, other than a `train.score` that cannot be measured.
    """
    trainer = RECIPES[params.recipe](params, data, weights, ProcessGroup(0, processes, device))
    state = trainer.state
    if params.start_from:
        checkpoint.start_from(Path(params.start_from), state)
    state.group = ProcessGroup(0, 1, device)  # gradients are not averaged here
    seconds = []
    for step in range(TRIED_STEPS):
        started = time.perf_counter()
        report = trainer.step(step)
        report["generator/total"].item()  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    a_step = min(seconds[1:])
    tried = {name.split("/")[1] for name in report} - {"total"}
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in state.networks.items()}
    # Parameters, EMA of the generators, two Adam moments per parameter: float32.
    saved = 4 * (3 * sum(sizes.values()) + sum(size for name, size in sizes.items() if name.startswith("gen")))
    losses = ", ".join(f"{name} {getattr(trainer.weights, name):g}" for name in sorted(tried))
    pictures = ", ".join(
        f"{count} {kind} ({params.steps * trainer.per_step[kind] / count:.1f} times each)"
        for kind, count in trainer.counts.items()
        if count
    )
    each_step = " and ".join(f"{count} {kind}" for kind, count in trainer.per_step.items() if count)
    return [
        f"pictures        {pictures}, {params.size} px",
        f"generators      {len(state.generators)} of {sizes['genA2B'] / 1e6:.2f} M weights: {params.channels} channels, "
        f"{'light' if params.light else 'full'}, {params.norm}, {'' if params.hourglasses else 'no '}hourglasses",
        f"discriminators  {', '.join(f'{name} {size / 1e6:.2f} M' for name, size in sizes.items() if name.startswith('dis'))}",
        f"losses          {losses}",
        f"steps           {params.steps} of {each_step}, on {processes} "
        f"{'process' if processes == 1 else 'processes'} ({_name(device)}), learning rate {params.lr:g}",
        f"checkpoints     every {params.checkpoint_every} steps, {saved / 2**20:.0f} MB each, the last {params.keep} kept",
        f"memory          {_memory(device):.1f} GB a process",
        f"time            {a_step:.2f} s a step: {_span(a_step * params.steps)}"
        + (", without what the processes cost one another" if processes > 1 else ""),
    ]


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _span(seconds: float) -> str:
    """A duration in its two largest units."""
    for unit, length, smaller, part in (("days", 86400, "hours", 3600), ("hours", 3600, "minutes", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // part)} {smaller}"
    return f"{int(seconds // 60)} minutes {int(seconds % 60)} seconds"
