"""The `evaluate` stage: scores every checkpoint, the champion and the photographs, and keeps sample images beside the scores."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from photo2cartoon import checkpoint
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.bootstrap_draws import write_draws
from photo2cartoon.evaluation.candidates import log_candidates, scored_dataset
from photo2cartoon.evaluation.result import Result
from photo2cartoon.evaluation.rule import CHAMPION, PHOTOGRAPHS, STEP
from photo2cartoon.files import read_json, sha256_of, write_json
from photo2cartoon.layout import (
    CARD,
    CARTOON_GENERATOR,
    CHECKPOINTS,
    CURVES,
    RUN,
    SCORED_GRID,
    SCORES,
    SCORES_TABLE,
)
from photo2cartoon.networks.generator import GeneratorOutput
from photo2cartoon.params import Evaluate, Select
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar, note
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.tracking import aliases, runs, version_files
from photo2cartoon.tracking.curves import write_curves

SHOWN = 8
# Metrics of the face network that training itself minimises, by `train.face_network`: no independent judges.
TRAINED_ON = {"dlib": "identity_dlib", "mobilefacenet-128": "identity_mobilefacenet"}


def evaluate(
    params: Evaluate, train: Path, data: Path, weights: Path, out: Path, select: Select | None = None
) -> Result:
    """Score every checkpoint of a training run by every metric of the registry (`scoring.metrics`).

    The photographs themselves are scored as a baseline: a checkpoint that scores no better has learnt nothing. The
    champion is scored on the same photographs, so that a checkpoint can be compared with it.

    Args:
        params: the `evaluate` section.
        train: output folder of the `train` stage.
        data: the dataset.
        weights: folder that the `assets` stage filled.
        out: receives `scores.json`, `scores.csv`, `draws.npz`, `curves.csv` and `drawings.png`.
        select: the `select` section, which names the registered model; None selects the defaults.

    Returns:
        The contents of `scores.json`.

    Raises:
        UserError: there are no checkpoints, or too few images.
    """
    found = checkpoint.list_checkpoints(train / CHECKPOINTS)
    if not found:
        raise UserError(f"{train}: holds no checkpoints; `p2c train` makes them")
    run_info = read_json(train / RUN, "`p2c train` writes it")
    card = checkpoint.read_card(found[0])
    with runs.stage("evaluate", run_info["mlflow_run"], run_info.get("title", train.name)) as stage:
        scorer = Scorer(data, card.train.size, _splits(params), weights, params.fid, params.batch)
        scored = {PHOTOGRAPHS: scorer.of_photographs()}
        champion = _find_champion((select or Select()).model_name, card.train.size)
        if champion:
            scored[CHAMPION] = scorer.of(champion.generator)
        for path in bar(found, desc="evaluate", unit="checkpoint"):
            generator = checkpoint.load_generator(path, which=params.generator)
            scored[path.name] = scorer.of(generator, _way_back(path, params.generator))
        result: Result = {
            "photographs": len(scorer.set.photos),
            "people": len(set(scorer.set.people)),
            "splits": list(_splits(params)),
            "cartoons": len(scorer.set.cartoons),
            "generator": params.generator,
            "generators": {
                path.name: sha256_of(checkpoint.generator_file(path, which=params.generator)) for path in found
            },
            "data_sha256": run_info["data_sha256"],
            "scored_sha256": scorer.set.sha256,
            "champion": champion and champion.version,
            "trained_on": [TRAINED_ON[card.train.face_network]]
            if card.train.uses_face_id and card.train.face_network in TRAINED_ON
            else [],
            "floors": scorer.floors(),
            "groups": {name: int(members.sum()) for name, members in scorer.groups.items()},
            "scores": {name: each.scores for name, each in scored.items()},
            "by_group": {name: each.groups for name, each in scored.items()},
        }
        rows = {name: list(each.images[:SHOWN].permute(0, 2, 3, 1).numpy()) for name, each in scored.items()}
        with atomic_dir(out, SCORES) as partial:
            write_json(partial / SCORES, result)
            _write_csv(partial / SCORES_TABLE, result["scores"])
            write_draws(partial, {name: each.draws for name, each in scored.items()})
            write_curves(partial / CURVES, _points(result["scores"]))
            (partial / SCORED_GRID).write_bytes(encode_png(grid(list(rows.items()))))
        log_candidates(stage, found, scored_dataset(data, result), result, rows)
    return result


class _Champion(NamedTuple):
    version: int
    generator: nn.Module


def _find_champion(model: str, size: int) -> _Champion | None:
    """Load the champion's generator from MLflow, to draw at a size that may not be its own."""
    version = aliases.champion_version(model)
    if version is None:
        return None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            for name in (CARTOON_GENERATOR, CARD):
                version_files.download(model, version, name, folder)
            generator, own = checkpoint.load_generator(folder), checkpoint.read_card(folder).train.size
        except UserError as error:
            note(f"evaluate: the champion is not scored: {error}")
            return None
    return _Champion(version, generator if own == size else _Resized(generator, own, size))


class _Resized(nn.Module):
    """A generator that draws at its own size, between images of another one."""

    def __init__(self, generator: nn.Module, own: int, size: int) -> None:
        super().__init__()
        self.generator, self.own, self.size = generator, own, size

    def forward(self, images: torch.Tensor) -> GeneratorOutput:
        """Map `[N, 3, S, S]` in -1..1 to the same."""
        output = self.generator(_resize(images, self.own))
        return output._replace(image=_resize(output.image, self.size))


def _resize(images: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def _way_back(path: Path, which: str) -> nn.Module | None:
    """Load the generator from cartoon to photograph, which paired training has not."""
    try:
        return checkpoint.load_generator(path, "genB2A", which)
    except UserError:
        return None


def _splits(params: Evaluate) -> tuple[str, ...]:
    return ("test",) if params.photos == "test" else ("train", "test")


def _write_csv(path: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
    columns = list(dict.fromkeys(key for values in scores.values() for key in values))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", *columns])
        for name, values in scores.items():
            writer.writerow([name, *(f"{values[key]:.6g}" if key in values else "" for key in columns)])


def _points(scores: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, int, float, float, float]]:
    """Yield each score of each checkpoint with its 95 % interval."""
    for name, values in scores.items():
        if not name.startswith(STEP):
            continue
        for metric, value in values.items():
            if not metric.endswith("_interval"):
                half = values.get(f"{metric}_interval", 0.0)
                yield metric, int(name.removeprefix(STEP)), value, value - half, value + half
