"""The `evaluate` stage: scores every checkpoint, and keeps sample images beside the scores.

Checkpoints are scored one by one, in this process or each on its own machine; then the scores are collected.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon import checkpoint
from photo2cartoon.dataset.faces import to_uint8
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_dir, read_json, write_json
from photo2cartoon.layout import CHECKPOINTS, PART, PART_GRID, RUN, SCORED_GRID, SCORES, SCORES_TABLE
from photo2cartoon.params import Evaluate
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.tracking import runs

PHOTOGRAPHS = "photographs"
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
        out: receives `scores.json`, `scores.csv` and `drawings.png`.

    Returns:
        The contents of `scores.json`.

    Raises:
        UserError: there are no checkpoints, or too few images.
    """
    names = candidates(train)
    scorer = prepare(params, train, data, weights)
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for name in bar(names, desc="evaluate", unit="checkpoint"):
            parts.append(Path(folder) / name)
            evaluate_one(scorer, params, train, name, parts[-1])
        return collect(params, train, parts, out)


def candidates(train: Path) -> list[str]:
    """List the candidates to score: the photographs themselves, then every checkpoint.

    Raises:
        UserError: there are no checkpoints.
    """
    found = checkpoint.list_checkpoints(train / CHECKPOINTS)
    if not found:
        raise UserError(f"{train}: holds no checkpoints; `p2c train` makes them")
    return [PHOTOGRAPHS, *(path.name for path in found)]


def prepare(params: Evaluate, train: Path, data: Path, weights: Path) -> Scorer:
    """Build the scorer that is used for every candidate."""
    size = checkpoint.read_card(checkpoint.list_checkpoints(train / CHECKPOINTS)[0]).train.size
    return Scorer(data, size, _splits(params), weights, params.fid, params.batch)


def evaluate_one(scorer: Scorer, params: Evaluate, train: Path, name: str, out: Path) -> dict[str, float]:
    """Score one candidate.

    Args:
        scorer: from `prepare`.
        params, train: as for `evaluate`.
        name: name of the candidate.
        out: receives `part.json` and `drawn.png`, for `collect`.

    Returns:
        The scores.
    """
    if name == PHOTOGRAPHS:
        values, images = scorer.of_photographs(), scorer.photos
    else:
        values, images = scorer.of(checkpoint.load_generator(train / CHECKPOINTS / name, which=params.generator))
    part = {
        "candidate": name,
        "photographs": len(scorer.photos),
        "splits": list(_splits(params)),
        "cartoons": scorer.count,
        "scores": values,
    }
    with atomic_dir(out, PART) as partial:
        write_json(partial / PART, part)
        # Stacked vertically; `_read_grid` separates them again.
        (partial / PART_GRID).write_bytes(encode_png(np.concatenate(list(to_uint8(images[:SHOWN])))))
    return values


def collect(params: Evaluate, train: Path, parts: list[Path], out: Path) -> dict:
    """Merge the candidates' scores and sample images, and log them to MLflow.

    Args:
        params, train, out: as for `evaluate`.
        parts: folders that `evaluate_one` wrote, one per candidate.

    Returns:
        The contents of `scores.json`.
    """
    read = {path: read_json(path / PART, "`evaluate_one` writes it") for path in parts}
    parts = sorted(parts, key=lambda path: read[path]["candidate"])  # photographs, step-000100, step-000200
    run_info = read_json(train / RUN, "`p2c train` writes it")
    scores = {read[path]["candidate"]: read[path]["scores"] for path in parts}
    result = {name: read[parts[0]][name] for name in ("photographs", "splits", "cartoons")} | {
        "generator": params.generator,
        "data_sha256": run_info["data_sha256"],
        "scores": scores,
    }
    picture = grid([(read[path]["candidate"], _read_grid(path / PART_GRID)) for path in parts])
    with atomic_dir(out, SCORES) as partial:
        write_json(partial / SCORES, result)
        _write_csv(partial / SCORES_TABLE, scores)
        (partial / SCORED_GRID).write_bytes(encode_png(picture))
    _track(run_info["mlflow_run"], train, scores, picture, out)
    return result


def _splits(params: Evaluate) -> tuple[str, ...]:
    return ("test",) if params.photos == "test" else ("train", "test")


def _read_grid(path: Path) -> list[np.ndarray]:
    column = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return np.split(column, len(column) // column.shape[1])


def _write_csv(path: Path, scores: dict[str, dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["checkpoint", *next(iter(scores.values()))])
        for name, values in scores.items():
            writer.writerow([name, *(f"{value:.6g}" for value in values.values())])


def _track(run_id: str, train: Path, scores: dict[str, dict[str, float]], picture: np.ndarray, out: Path) -> None:
    run = runs.find_run(run_id, train.name)
    for name, values in scores.items():
        if name.startswith("step-"):
            run.metrics({f"score/{key}": value for key, value in values.items()}, int(name.removeprefix("step-")))
    run.image(picture, "scored_drawings", 0)
    run.files(out / SCORES, "evaluation")
    run.finish()
