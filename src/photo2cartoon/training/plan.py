"""What a run would be: said and tried out for a few steps before days are spent on it. Nothing is written."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from photo2cartoon.dataset.faces import Sampler
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.params import Train
from photo2cartoon.training.parallel import Team
from photo2cartoon.training.step import Step

TRIED_STEPS = 3


def plan(params: Train, data: Path, weights: Path, device: torch.device, processes: int) -> list[str]:
    """Lines for a person: pictures, networks, checkpoints, and by a few steps made here, memory and time.

    Args:
        params: the `train` section.
        data: the dataset.
        weights: folder that the `assets` stage filled.
        device: what each process runs on.
        processes: of the run; one of them is tried out, with its share of the batch.

    Raises:
        UserError: what would end the run at its start.
    """
    share = Team(0, processes, device).share(params.batch)
    face = load_face_network(params.face_network, weights) if params.loss.face_id else None
    samplers = [
        Sampler.from_folder(data / f"train{letter}", params.size, params.seed, domain, device)
        for domain, letter in enumerate("AB")
    ]
    state = Step(params, face, device)
    seconds = []
    for step in range(TRIED_STEPS):
        started = time.perf_counter()
        report = state(*(sampler.batch(step * share, share) for sampler in samplers), step)
        report["generator/total"].item()  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    a_step = min(seconds[1:])
    photos, cartoons = (len(sampler.pictures) for sampler in samplers)
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in state.networks.items()}
    # Weights, averages of the generators, two moments of each weight: float32.
    checkpoint = 4 * (3 * sum(sizes.values()) + sum(size for name, size in sizes.items() if name.startswith("gen")))
    losses = ", ".join(f"{name} {value:g}" for name, value in params.loss.model_dump().items() if value)
    return [
        f"pictures        {photos} photographs, {cartoons} cartoons, {params.size} px; "
        f"{params.steps * params.batch / photos:.1f} and {params.steps * params.batch / cartoons:.1f} times each",
        f"generators      2 of {sizes['genA2B'] / 1e6:.2f} M weights: {params.channels} channels, "
        f"{'light' if params.light else 'full'}, {params.norm}, {'' if params.hourglasses else 'no '}hourglasses",
        f"discriminators  {', '.join(f'{name} {size / 1e6:.2f} M' for name, size in sizes.items() if name.startswith('dis'))}",
        f"losses          {losses}",
        f"steps           {params.steps} of {params.batch} and {params.batch} pictures, on {processes} "
        f"{'process' if processes == 1 else 'processes'} ({_name(device)}), learning rate {params.lr:g}",
        f"checkpoints     every {params.checkpoint_every} steps, {checkpoint / 2**20:.0f} MB each, the last {params.keep} kept",
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
    """A time in the two units that matter."""
    for unit, length, smaller, part in (("days", 86400, "hours", 3600), ("hours", 3600, "minutes", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // part)} {smaller}"
    return f"{int(seconds // 60)} minutes {int(seconds % 60)} seconds"
