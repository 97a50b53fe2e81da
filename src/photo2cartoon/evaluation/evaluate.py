"""The `evaluate` stage: a score for every checkpoint, and the pictures behind the scores."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photo2cartoon import tracking
from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.distances import face_distance, frechet_distance, kernel_distance
from photo2cartoon.evaluation.features import Extractor, extractors
from photo2cartoon.files import read_json, whole_folder, write_json
from photo2cartoon.params import Evaluate
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
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
    photos = _pictures(data, splits, "A", size)
    cartoons = _pictures(data, ("train", "test"), "B", size)
    nets = extractors(weights, params.fid)
    real = {name: _extract(net, cartoons, params.batch) for name, net in nets.items()}
    source = {name: _extract(net, photos, params.batch) for name, net in nets.items()}

    scores = {"photographs": _score(source, real, source["face"])}
    rows = [("photographs", list(to_uint8(photos[:SHOWN])))]
    for path in bar(found, desc="evaluate", unit="checkpoint"):
        generator = checkpoint.load_generator(path, weights=params.weights)
        drawn = _batched(lambda pictures, draw=generator: draw(pictures).picture, photos, params.batch)
        features = {name: _extract(net, drawn, params.batch) for name, net in nets.items()}
        scores[path.name] = _score(features, real, source["face"])
        rows.append((path.name, list(to_uint8(drawn[:SHOWN]))))

    result = {
        "photographs": len(photos),
        "splits": list(splits),
        "cartoons": len(cartoons),
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


def _pictures(data: Path, splits: tuple[str, ...], letter: str, size: int) -> Tensor:
    folders = [data / f"{split}{letter}" for split in splits]
    filled = [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]
    pictures = [load_faces(folder, size).pictures for folder in filled]
    count = sum(len(part) for part in pictures)
    if count < 2:
        names = ", ".join(folder.name for folder in folders)
        raise UserError(f"{data}: {names} hold {count} pictures, scores need two or more; see evaluate.photos")
    return to_float(torch.cat(pictures))


def _batched(function: Callable[[Tensor], Tensor], pictures: Tensor, batch: int) -> Tensor:
    with torch.inference_mode():
        return torch.cat([function(part) for part in pictures.split(batch)])


def _extract(net: Extractor, pictures: Tensor, batch: int) -> np.ndarray:
    return _batched(net, pictures, batch).numpy()


def _score(features: dict[str, np.ndarray], real: dict[str, np.ndarray], source_faces: np.ndarray) -> dict[str, float]:
    scores: dict[str, float] = {}
    for name, values in features.items():
        if name == "inception":
            scores["fid"] = frechet_distance(values, real[name])
            continue
        scores[f"frechet_{name}"] = frechet_distance(values, real[name])
        scores[f"kernel_{name}"], scores[f"kernel_{name}_interval"] = kernel_distance(values, real[name])
    scores["face_distance"], scores["face_distance_interval"] = face_distance(source_faces, features["face"])
    return scores


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
