"""The `train` stage: steps, curves, sample pictures and checkpoints, and nothing else."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path

import torch

from photo2cartoon import tracking
from photo2cartoon.dataset.faces import Sampler, faces_fingerprint, load_faces
from photo2cartoon.errors import UserError
from photo2cartoon.files import whole_file, write_json
from photo2cartoon.lineage import lineage
from photo2cartoon.networks.face import FaceNetwork, load_face_network
from photo2cartoon.params import Train
from photo2cartoon.pictures import encode_png
from photo2cartoon.progress import bar, note
from photo2cartoon.training import checkpoint
from photo2cartoon.training.samples import sample_grid
from photo2cartoon.training.step import Step, learning_rate

CHECKPOINTS, STATS, SAMPLES, RUN = "checkpoints", "stats.jsonl", "samples", "run.json"
SAMPLE_COUNT = 6


def train(params: Train, data: Path, weights: Path, out: Path, resume: bool = False) -> Path:
    """Train all networks on a dataset.

    Args:
        params: the `train` section.
        data: folder with trainA, trainB, testA, testB.
        weights: folder that the `assets` stage filled.
        out: gets `checkpoints/`, `samples/`, `stats.jsonl` and `run.json`, which names the MLflow run.
        resume: go on from the last checkpoint in `out` instead of refusing a folder that holds one.

    Returns:
        The last checkpoint.

    Raises:
        UserError: the dataset or weights are missing, `out` holds another run, or a loss is no longer a number.
    """
    device = pick_device(params.device)
    torch.set_num_threads(params.threads or len(os.sched_getaffinity(0)))
    torch.manual_seed(params.seed)
    face: FaceNetwork | None = load_face_network(params.face_network, weights) if params.loss.face_id else None
    fingerprint = faces_fingerprint(data)
    photos, cartoons = (
        Sampler.from_folder(data / f"train{letter}", params.size, params.seed, domain, device)
        for domain, letter in enumerate("AB")
    )
    fixed = [fixed_pictures(data, letter, params.size) for letter in "AB"]
    state = Step(params, face, device)
    done = _continue(state, out, resume)
    run = _track(
        params, out, resume, state, {"photos": len(photos.pictures), "cartoons": len(cartoons.pictures)}, fingerprint
    )

    shown = bar(range(done, params.steps), initial=done, total=params.steps, desc="train", unit="step")
    saved = checkpoint.list_checkpoints(out / CHECKPOINTS)
    started = time.monotonic()
    try:
        with (out / STATS).open("a", encoding="utf-8") as stats:
            for step in shown:
                first = step * params.batch
                losses = state(photos.batch(first, params.batch), cartoons.batch(first, params.batch), step)
                after = step + 1
                keep = after % params.checkpoint_every == 0 or after == params.steps
                # What is kept was checked: no checkpoint ever holds the step after a loss went astray.
                if keep or after % params.log_every == 0 or after == 1:
                    values = _checked(losses, after, saved)
                    speed = (after - done) * params.batch * 2 / (time.monotonic() - started)
                    values |= {"pictures_per_second": speed, "learning_rate": learning_rate(step, params)}
                    stats.write(json.dumps({"step": after, **values}) + "\n")
                    stats.flush()
                    run.metrics(values, after)
                    shown.set_postfix_str(
                        f"cycle {values.get('generator/cycle', 0):.2f} face {values.get('generator/face_id', 0):.2f} "
                        f"D {values['discriminator/total']:.2f}, {speed:.1f} pictures/s",
                        refresh=False,
                    )
                if after % params.sample_every == 0 or after in (1, params.steps):
                    _draw(state, fixed, out, run, after)
                if keep:
                    saved.append(checkpoint.save(out / CHECKPOINTS, state, after))
                    while len(saved) > params.keep:
                        shutil.rmtree(saved.pop(0))
    except BaseException as error:
        run.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    run.finish()
    return saved[-1]


def pick_device(wish: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: 'cuda', but torch sees no GPU here")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def fixed_pictures(data: Path, letter: str, size: int) -> torch.Tensor:
    """The pictures that are drawn at every tick: held-out ones where there are any. uint8 `[n, 3, S, S]`."""
    folder = data / f"test{letter}"
    if not folder.is_dir() or not any(folder.iterdir()):
        folder = data / f"train{letter}"
    return load_faces(folder, size).pictures[:SAMPLE_COUNT]


def _continue(state: Step, out: Path, resume: bool) -> int:
    saved = checkpoint.list_checkpoints(out / CHECKPOINTS)
    if saved and not resume:
        raise UserError(f"{out}: holds a run already; --resume goes on with it, another --out begins a new one")
    if saved:
        return checkpoint.load(saved[-1], state)
    if state.params.start_from:
        fresh = checkpoint.start_from(Path(state.params.start_from), state)
        note(
            f"begins with {state.params.start_from}" + (f"; not in it, and fresh: {', '.join(fresh)}" if fresh else "")
        )
    return 0


def _track(
    params: Train, out: Path, resume: bool, state: Step, counts: dict[str, int], fingerprint: str
) -> tracking.Run:
    name = out.resolve().name
    before = json.loads((out / RUN).read_text())["mlflow_run"] if resume and (out / RUN).exists() else None
    run = tracking.find_run(before, name)
    if run.run_id != before:
        sizes = {
            f"weights_{name}": sum(p.numel() for p in network.parameters()) for name, network in state.networks.items()
        }
        run.params({"train": params.model_dump(mode="json"), "data_sha256": fingerprint, **counts, **sizes})
        run.tags(lineage())
        write_json(out / RUN, {"mlflow_run": run.run_id, "data_sha256": fingerprint, **lineage()})
    return run


def _checked(losses: dict[str, torch.Tensor], step: int, saved: list[Path]) -> dict[str, float]:
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        last = f"; the last good checkpoint is {saved[-1]}" if saved else ""
        raise UserError(f"train: {bad[0]} is {values[bad[0]]} at step {step}: try a lower train.lr{last}")
    return values


def _draw(state: Step, fixed: list[torch.Tensor], out: Path, run: tracking.Run, step: int) -> None:
    picture = sample_grid(state.averages, *fixed)
    with whole_file(out / SAMPLES / f"step-{step:06d}.png") as partial:
        partial.write_bytes(encode_png(picture))
    run.image(picture, "samples", step)
