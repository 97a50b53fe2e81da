"""The `evaluate` stage: a score for every checkpoint, and the pictures behind the scores."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from photo2cartoon import tracking
from photo2cartoon.errors import UserError
from photo2cartoon.files import read_json, whole_folder, write_json
from photo2cartoon.params import Evaluate
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.training import checkpoint
from photo2cartoon.training.loop import CHECKPOINTS
from photo2cartoon.training.record import RUN
from photo2cartoon.training.samples import to_uint8

SCORES = "scores.json"
SHOWN = 8


def evaluate(params: Evaluate, train: Path, data: Path, weights: Path, out: Path) -> dict:
    """Score every checkpoint of a training run; lower is better in every column.

    Cartoons drawn of the photographs are compared with all real cartoons. The photographs themselves are scored as well:
    a checkpoint that does no better than they do has learnt nothing.

    Args:
        params: the `evaluate` section.
        train: what the `train` stage wrote.
        data: the dataset.
        weights: folder that the `assets` stage filled.
        out: gets `scores.json`, `scores.csv` and `drawings.png`.

    Returns:
        What is in `scores.json`.

    Raises:
        UserError: there are no checkpoints, or too few pictures.
    """
    found = checkpoint.list_checkpoints(train / CHECKPOINTS)
    if not found:
        raise UserError(f"{train}: holds no checkpoints; `p2c train` makes them")
    run_info = read_json(train / RUN, "`p2c train` writes it")
    size = checkpoint.read_card(found[0]).train.size
    splits = ("test",) if params.photos == "test" else ("train", "test")
    scorer = Scorer(data, size, splits, weights, params.fid, params.batch)

    scores = {"photographs": scorer.of_photographs()}
    rows = [("photographs", list(to_uint8(scorer.photos[:SHOWN])))]
    for path in bar(found, desc="evaluate", unit="checkpoint"):
        scores[path.name], drawn = scorer.of(checkpoint.load_generator(path, weights=params.weights))
        rows.append((path.name, list(to_uint8(drawn[:SHOWN]))))

    result = {
        "photographs": len(scorer.photos),
        "splits": list(splits),
        "cartoons": scorer.count,
        "weights": params.weights,
        "data_sha256": run_info["data_sha256"],
        "scores": scores,
    }
    picture = grid(rows)
    with whole_folder(out, SCORES) as partial:
        write_json(partial / SCORES, result)
        _write_csv(partial / "scores.csv", scores)
        (partial / "drawings.png").write_bytes(encode_png(picture))
    _track(run_info["mlflow_run"], train, scores, picture, out)
    return result


def _write_csv(path: Path, scores: dict[str, dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["checkpoint", *next(iter(scores.values()))])
        for name, values in scores.items():
            writer.writerow([name, *(f"{value:.6g}" for value in values.values())])


def _track(run_id: str, train: Path, scores: dict[str, dict[str, float]], picture: np.ndarray, out: Path) -> None:
    run = tracking.find_run(run_id, train.name)
    for name, values in scores.items():
        if name.startswith("step-"):
            run.metrics({f"score/{key}": value for key, value in values.items()}, int(name.removeprefix("step-")))
    run.image(picture, "scored_drawings", 0)
    run.files(out / SCORES, "evaluation")
    run.finish()
