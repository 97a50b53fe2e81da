"""Checkpoints in MLflow's table of models: every scored one with its scores, the best ones with their files."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from photo2cartoon import checkpoint
from photo2cartoon.evaluation.result import Result
from photo2cartoon.evaluation.rule import PHOTOGRAPHS, finalists
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import SCORED_GRID
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.tracking import logged_models, runs
from photo2cartoon.tracking.datasets import portraits


def log_candidates(
    stage: runs.Stage, found: list[Path], dataset: Any, result: Result, rows: dict[str, list[np.ndarray]]
) -> None:
    """Log every checkpoint as a model with its scores; those that are the best by some metric with their files too.

    Args:
        stage: the run of `evaluate`.
        found: the checkpoints.
        dataset: `scored_dataset`.
        result: contents of `scores.json`.
        rows: sample images of the photographs and of every checkpoint, uint8 `[H, W, 3]` each.
    """
    stage.run.inputs({"evaluation": dataset})
    best_ones = finalists(result["scores"])
    log_baseline(stage, result, dataset)
    for path in found:
        scores, step = result["scores"][path.name], checkpoint.read_card(path).step
        picture = encode_png(grid([(name, rows[name]) for name in (PHOTOGRAPHS, path.name)]))
        model = log_candidate(stage.whole, path, result, picture if path.name in best_ones else None)
        logged_models.log_scores(stage.run, model, step, shown_scores(scores), dataset)
        stage.run.image(picture, "drawings", step)
    stage.whole.note(
        "Evaluation",
        f"{len(found)} checkpoints on {result['photographs']} photographs ({'+'.join(result['splits'])}) and"
        f" {result['cartoons']} cartoons; the scores are in the table of models",
    )


def log_baseline(stage: runs.Stage, result: Result, dataset: Any) -> None:
    """Log the photographs themselves as a model that does nothing: what scores no better has learnt nothing."""
    model = logged_models.log_checkpoint(stage.whole, logged_models.Checkpoint(PHOTOGRAPHS, 0, {"step": 0}))
    logged_models.log_scores(stage.run, model, 0, shown_scores(result["scores"][PHOTOGRAPHS]), dataset)


def scored_dataset(data: Path, result: Result) -> Any:
    """Describe for MLflow what the scores were measured on."""
    counts = {"photographs": result["photographs"], "cartoons": result["cartoons"]}
    digest = result.get("scored_sha256", result["data_sha256"])
    return portraits(data, digest, "+".join(result["splits"]), counts)


def log_candidate(whole: runs.Run, path: Path, result: Result, picture: bytes | None) -> str:
    """Log a checkpoint as a model, unless it is logged already; return the model's id.

    Args:
        whole: the parent run.
        path: the checkpoint.
        result: contents of `scores.json`.
        picture: PNG of what it draws; with it, the generator is logged too, so that a person can register the model.
    """
    card = checkpoint.read_card(path)
    shown = {name: getattr(card.train, name) for name in ("recipe", "size", "channels", "lr", "seed")}
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) if picture else None
        if files and picture:
            checkpoint.copy_generator(path, files, which=generator_of(result))
            (files / SCORED_GRID).write_bytes(picture)
        which = sha256_of(checkpoint.generator_file(path, which=generator_of(result)))
        made = logged_models.Checkpoint(path.name, card.step, {"step": card.step, **shown}, files, which)
        return logged_models.log_checkpoint(whole, made)


def generator_of(result: Result) -> str:
    """Return which generators were scored; the previous release stored this as `weights: average` or `raw`."""
    return result.get("generator") or {"average": "ema", "raw": "raw"}[result["weights"]]


def shown_scores(scores: dict[str, float]) -> dict[str, float]:
    """Return the scores that MLflow's charts can show: numbers, without their intervals."""
    return {key: value for key, value in scores.items() if math.isfinite(value) and not key.endswith("_interval")}
