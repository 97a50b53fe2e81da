"""Compares models side by side on photographs that none has seen, by the registry's metrics, for every group of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError
from photo2cartoon.files import write_json
from photo2cartoon.layout import MEASURES, MEASURES_TABLE
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
from photo2cartoon.scoring.metrics import METRICS, direction
from photo2cartoon.scoring.scorer import Scored, Scorer
from photo2cartoon.scoring.statistics import half_interval
from photo2cartoon.scoring.test_set import FEWEST_IN_GROUP, TestSet

PHOTOGRAPHS, STRANGERS = "photographs", "photographs of somebody else"
EVERYBODY = "everybody"
SIDE, BATCH, SHOWN = 256, 8, 32
Stylize = Callable[[np.ndarray], np.ndarray]  # portraits uint8 [N, 256, 256, 4] to cartoons uint8 [N, 256, 256, 3]


def measure(
    models: Mapping[str, Stylize],
    data: Path,
    weights: Path,
    out: Path,
    photographs: bool = False,
    recipes: Mapping[str, Sequence[str]] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """Measure models on the held-out photographs of a dataset, and write contact sheets of their cartoons.

    Args:
        models: by name. Two baselines are measured as well: the photographs themselves (a model that does nothing) and
            photographs of somebody else (a model that makes a cartoon of another person).
        data: a dataset; where some of its held-out photographs have drawings, cartoons are compared with these too.
        weights: folder that the `assets` stage filled; MobileFaceNet is used if its weights are there.
        out: receives `measures.json`, `measures.md` and contact sheets.
        photographs: show the photographs and the teacher's drawings beside the cartoons on the contact sheets.
        recipes: names of models that differ in their seed alone, by recipe; their spread is reported.
        groups: further groups of people, such as those with glasses: stems of photographs by name. Stems that are not among
            the held-out photographs are left out.

    Returns:
        The contents of `measures.json`: the size of each group, the scores of each model for everybody and by group with
        half of their 95 % intervals, the differences of the first model from the others on the same photographs, and the
        spread of each recipe.

    Raises:
        UserError: there are too few photographs, or weights are missing.
    """
    scorer = Scorer(data, SIDE, ("test",), weights, style=False)
    photos = scorer.set.photos
    if len(photos) < FEWEST_IN_GROUP:
        raise UserError(f"{data}: testA holds {len(photos)} photographs, three or more are needed to measure")
    for name, stems in (groups or {}).items():
        scorer.groups[name] = np.isin(scorer.set.stems, list(stems))
    scorer.groups = {name: members for name, members in scorer.groups.items() if members.sum() >= FEWEST_IN_GROUP}
    cartoons = {PHOTOGRAPHS: photos, STRANGERS: photos[_strangers(scorer.set.stems)]}
    for name, stylize in bar(models.items(), desc="stylize", unit="model"):
        cartoons[name] = _stylized(stylize, photos)
    scored = {name: scorer.of_images(each) for name, each in bar(cartoons.items(), desc="measure", unit="model")}
    sizes = {EVERYBODY: len(photos), **{name: int(members.sum()) for name, members in scorer.groups.items()}}
    spread = {name: _spread([scored[model].scores for model in members]) for name, members in (recipes or {}).items()}
    first, *others = models
    apart = {name: _differences(scored[first], scored[name]) for name in others}
    result = {"groups": sizes, "models": {name: _by_group(each) for name, each in scored.items()}}
    result |= {"differences": {first: apart} if apart else {}, "recipes": spread}
    with atomic_dir(out, MEASURES) as partial:
        write_json(partial / MEASURES, result)
        (partial / MEASURES_TABLE).write_text(table(result), encoding="utf-8")
        _write_sheets(partial, cartoons, scorer.set.drawings, photographs)
    return result


def _strangers(stems: Sequence[str]) -> list[int]:
    """For each photograph, the next one of somebody else; a person is the part of the name before `--`."""
    people = [stem.split("--", maxsplit=1)[0] for stem in stems]
    count = len(people)
    following = ([(own + step) % count for step in range(1, count)] for own in range(count))
    return [
        next((other for other in others if people[other] != people[own]), others[0])
        for own, others in enumerate(following)
    ]


def table(result: Mapping) -> str:
    """Format the measures as Markdown: what each metric is, and a table per group; columns that hold nothing are left out."""
    models = result["models"]
    known = [m for m in METRICS if any(m in groups[EVERYBODY] for groups in models.values())]
    arrows = {m: f"{'lower' if direction(m) > 0 else 'higher'} is better" for m in known}
    text = ["\n".join(f"- `{m}`: {METRICS[m].what}; {arrows[m]}" for m in known)]
    for group, size in result["groups"].items():
        columns = [m for m in known if any(m in groups.get(group, {}) for groups in models.values())]
        lines = [f"| {group} ({size}) | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for model, groups in models.items():
            cells = (_cell(groups.get(group, {}), m) for m in columns)
            lines.append(f"| {model} | {' | '.join(cells)} |")
        text.append("\n".join(lines))
    for first, others in (result.get("differences") or {}).items():
        lines = [f"| {first} minus | {' | '.join(known)} |", "|---" * (len(known) + 1) + "|"]
        for name, differences in others.items():
            cells = (_difference(differences[m], m) if m in differences else "" for m in known)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        text.append(
            "Differences on the same photographs, with 95 % intervals of a paired bootstrap:\n\n" + "\n".join(lines)
        )
    recipes = result.get("recipes") or {}
    if recipes:
        columns = [m for m in known if any(m in spread for spread in recipes.values())]
        lines = [f"| recipe (runs): mean, standard deviation over seeds | {' | '.join(columns)} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name, spread in recipes.items():
            cells = (f"{spread[m]['mean']:.3f}, {spread[m]['deviation']:.3f}" if m in spread else "" for m in columns)
            lines.append(f"| {name} ({next(iter(spread.values()))['runs']}) | {' | '.join(cells)} |")
        text.append("\n".join(lines))
    return "\n\n".join(text) + "\n"


def draw(models: Mapping[str, Stylize], data: Path) -> dict[str, dict[str, np.ndarray]]:
    """Draw the held-out photographs of a dataset by several models.

    Returns:
        Pictures uint8 `[S, S, 3]` by photograph: the photographs under the name `""`, and each model's under its own.

    Raises:
        UserError: there are too few photographs.
    """
    held_out = TestSet.load(data, ("test",), SIDE, style=False)
    drawn = {"": held_out.photos} | {name: _stylized(each, held_out.photos) for name, each in models.items()}
    return {
        name: dict(zip(held_out.stems, images.permute(0, 2, 3, 1).numpy(), strict=True))
        for name, images in drawn.items()
    }


def _differences(one: Scored, other: Scored) -> dict[str, dict[str, float]]:
    """Return a model's scores minus another's, with half of the 95 % interval, by metric; draws are of the same resamples."""
    return {
        metric: {
            "difference": one.scores[metric] - other.scores[metric],
            "interval": half_interval(one.draws[metric] - other.draws[metric]),
        }
        for metric in one.draws
        if metric in other.draws
    }


def _difference(found: Mapping[str, float], metric: str) -> str:
    """Format a difference; the interval that excludes zero says which is better."""
    difference, half = found["difference"], found["interval"]
    verdict = "" if abs(difference) <= half else " better" if difference * direction(metric) < 0 else " worse"
    return f"{difference:+.3f} ± {half:.3f}{verdict}"


def _spread(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, standard deviation and range over runs, of each metric that all of them have."""
    found = {}
    for metric in METRICS:
        values = np.array([scores[metric] for scores in runs if metric in scores])
        if len(values) == len(runs):
            low, high = float(values.min()), float(values.max())
            deviation = float(values.std(ddof=1))
            found[metric] = {
                "mean": float(values.mean()),
                "deviation": deviation,
                "low": low,
                "high": high,
                "runs": len(runs),
            }
    return found


def _cell(scores: Mapping[str, float], metric: str) -> str:
    if metric not in scores:
        return ""
    return f"{scores[metric]:.3f} ± {scores[f'{metric}_interval']:.3f}"


def _by_group(scored: Scored) -> dict[str, dict[str, float]]:
    return {EVERYBODY: scored.scores, **scored.groups}


def _stylized(stylize: Stylize, photos: Tensor) -> Tensor:
    """Stylize photographs, uint8 `[N, 3, S, S]` to the same; models receive RGBA with alpha 255 everywhere."""
    rgb = photos.permute(0, 2, 3, 1).numpy()
    portraits = np.concatenate([rgb, np.full((*rgb.shape[:3], 1), 255, np.uint8)], axis=3)
    parts = [stylize(portraits[first : first + BATCH]) for first in range(0, len(portraits), BATCH)]
    return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2)


def _write_sheets(folder: Path, cartoons: Mapping[str, Tensor], drawings: Tensor, photographs: bool) -> None:
    """Write contact sheets, eight images in a row, of photographs with a drawing and without one."""
    drawn = len(drawings)
    for kind, places in (("with-drawing", slice(0, drawn)), ("without-drawing", slice(drawn, None))):
        for name, pictures in cartoons.items():
            if name in (PHOTOGRAPHS, STRANGERS):
                continue
            shown = _shown(pictures[places])
            beside = {}
            if photographs:
                beside = {PHOTOGRAPHS: _shown(cartoons[PHOTOGRAPHS][places])}
                if kind == "with-drawing":
                    beside["teacher"] = _shown(drawings)
            rows = []
            for first in range(0, len(shown), 8):
                rows += [(label, those[first : first + 8]) for label, those in (beside | {name: shown}).items()]
            if rows:
                (folder / f"{name}-{kind}.png").write_bytes(encode_png(grid(rows, side=160)))


def _shown(images: Tensor) -> list[np.ndarray]:
    """Return images at equal distances, of uint8 `[N, 3, S, S]`, as pictures `[S, S, 3]`."""
    places = np.linspace(0, len(images) - 1, min(len(images), SHOWN)).round().astype(int)
    return list(images[places].permute(0, 2, 3, 1).numpy())
