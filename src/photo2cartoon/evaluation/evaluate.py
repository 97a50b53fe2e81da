"""The `evaluate` stage: scores every checkpoint, and keeps sample images beside the scores."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from photo2cartoon import checkpoint
from photo2cartoon.dataset.faces import to_uint8
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.candidates import PHOTOGRAPHS, log_candidates, scored_dataset
from photo2cartoon.files import atomic_dir, read_json, write_json
from photo2cartoon.layout import CHECKPOINTS, CURVES, RUN, SCORED_GRID, SCORES, SCORES_TABLE
from photo2cartoon.params import Evaluate
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.tracking import runs
from photo2cartoon.tracking.curves import write_curves

SHOWN = 8


def evaluate(params: Evaluate, train: Path, data: Path, weights: Path, out: Path) -> dict:
    """Score every checkpoint of a training run; lower is better in every column.

    Cartoons made from the photographs are compared with all real cartoons. The photographs themselves are scored as a
    baseline: a checkpoint that scores no better has learnt nothing.

    Args:
        params: the `evaluate` section.
        train: output folder of the `train` stage.
        data: the dataset.
        weights: folder that the `assets` stage filled.
        out: receives `scores.json`, `scores.csv`, `curves.csv` and `drawings.png`.

    Returns:
        The contents of `scores.json`.

    Raises:
        UserError: there are no checkpoints, or too few images.
    """
    found = checkpoint.list_checkpoints(train / CHECKPOINTS)
    if not found:
        raise UserError(f"{train}: holds no checkpoints; `p2c train` makes them")
    run_info = read_json(train / RUN, "`p2c train` writes it")
    with runs.stage("evaluate", run_info["mlflow_run"], run_info.get("title", train.name)) as stage:
        size = checkpoint.read_card(found[0]).train.size
        scorer = Scorer(data, size, _splits(params), weights, params.fid, params.batch)
        rows = {PHOTOGRAPHS: list(to_uint8(scorer.photos[:SHOWN]))}
        scores = {PHOTOGRAPHS: scorer.of_photographs()}
        for path in bar(found, desc="evaluate", unit="checkpoint"):
            scores[path.name], images = scorer.of(checkpoint.load_generator(path, which=params.generator))
            rows[path.name] = list(to_uint8(images[:SHOWN]))
        result = {
            "photographs": len(scorer.photos),
            "splits": list(_splits(params)),
            "cartoons": scorer.count,
            "generator": params.generator,
            "data_sha256": run_info["data_sha256"],
            "scores": scores,
        }
        with atomic_dir(out, SCORES) as partial:
            write_json(partial / SCORES, result)
            _write_csv(partial / SCORES_TABLE, scores)
            write_curves(partial / CURVES, _points(scores))
            (partial / SCORED_GRID).write_bytes(encode_png(grid(list(rows.items()))))
        log_candidates(stage, found, scored_dataset(data, result), result, rows)
    return result


def _splits(params: Evaluate) -> tuple[str, ...]:
    return ("test",) if params.photos == "test" else ("train", "test")


def _write_csv(path: Path, scores: dict[str, dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["checkpoint", *next(iter(scores.values()))])
        for name, values in scores.items():
            writer.writerow([name, *(f"{value:.6g}" for value in values.values())])


def _points(scores: dict[str, dict[str, float]]) -> Iterator[tuple[str, int, float, float, float]]:
    """Yield each score of each checkpoint with its 95 % interval."""
    for name, values in scores.items():
        if name == PHOTOGRAPHS:
            continue
        for metric, value in values.items():
            if not metric.endswith("_interval"):
                half = values.get(f"{metric}_interval", 0.0)
                yield metric, int(name.removeprefix("step-")), value, value - half, value + half
