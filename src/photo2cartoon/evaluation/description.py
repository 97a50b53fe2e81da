"""Descriptions of a choice in Markdown: what a person reads on MLflow's page of a version before moving an alias."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from photo2cartoon.evaluation.result import Result
from photo2cartoon.evaluation.rule import CHAMPION, PHOTOGRAPHS
from photo2cartoon.layout import SCORED_GRID
from photo2cartoon.scoring.metrics import METRICS, WORST, direction


def describe_version(
    logged: str,
    checkpoint: str,
    title: str,
    rank: Sequence[str],
    result: Result,
    reasons: Mapping[str, str],
    compared: str,
) -> str:
    """Describe a version: a picture, the reason for its choice, how it compares, its scores.

    Args:
        logged: id of its logged model, which holds the picture.
        checkpoint: name of the checkpoint.
        title: name of the run.
        rank: the metrics that decided, in order.
        result: contents of `scores.json`.
        reasons: for each checkpoint, why it was or was not chosen.
        compared: how it compares with the champion, in words.
    """
    address = f"ajax-api/2.0/mlflow/logged-models/{logged}/artifacts/files?artifact_file_path={SCORED_GRID}"
    text = [
        f"![photographs, and what it draws of them]({address})",
        f"**{checkpoint}** of *{title}*. Compared with the champion: **{compared}**.",
        score_table(result, [checkpoint, CHAMPION, PHOTOGRAPHS]),
        _note(result),
        "**Why this checkpoint**",
        choice_table(result, rank, reasons),
        'Load it anywhere: `mlflow.pyfunc.load_model(URI).predict({"photo": [bytes]})["cartoon"]`.',
    ]
    return "\n\n".join(part for part in text if part)


def score_table(result: Result, models: Sequence[str]) -> str:
    """Return a table of all scores of a few models, those of them that were scored."""
    scores = result["scores"]
    shown = [name for name in models if name in scores]
    heads = [f"champion (version {result['champion']})" if name == CHAMPION else name for name in shown]
    lines = [f"| score | better | {' | '.join(heads)} |", "|---" * (len(shown) + 2) + "|"]
    for metric in scores[shown[0]]:
        if metric.removeprefix(WORST) in METRICS:
            cells = (cell(scores[name], metric, result) for name in shown)
            lines.append(f"| {metric} | {'lower' if direction(metric) > 0 else 'higher'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def choice_table(result: Result, rank: Sequence[str], reasons: Mapping[str, str]) -> str:
    """Return a table of all checkpoints with the scores that decide, and why each was or was not chosen."""
    lines = [f"| checkpoint | {' | '.join(rank)} | |", "|---" * (len(rank) + 2) + "|"]
    for name, reason in sorted(reasons.items()):
        cells = (cell(result["scores"][name], metric, result) for metric in rank)
        lines.append(f"| {name} | {' | '.join(cells)} | {reason} |")
    return "\n".join(lines)


def cell(scores: Mapping[str, float], metric: str, result: Result | None = None) -> str:
    """Format a score with its interval; with the evaluation, a kernel distance also as its share of the photographs' own."""
    value, half = scores.get(metric, math.nan), scores.get(f"{metric}_interval")
    if not math.isfinite(value):
        return ""
    share = None if result is None else share_of(value, metric, result)
    text = f"{value:.4g}" + (f" ± {half:.2g}" if half is not None and math.isfinite(half) else "")
    return text + (f" ({share:.0%})" if share is not None else "")


def share_of(value: float, metric: str, result: Result) -> float | None:
    """Return a kernel distance as a share: 0 for what cannot be told from the style, 1 for the unchanged photographs."""
    floor = (result.get("floors") or {}).get(metric)
    if floor is None or not math.isfinite(floor):
        return None
    whole = result["scores"][PHOTOGRAPHS][metric] - floor
    return max(0.0, value - floor) / whole if whole > 0 else None


def _note(result: Result) -> str:
    on = f"On {result['photographs']} photographs ({'+'.join(result['splits'])}), ± half of the 95 % interval."
    shares = " In brackets: 0 % equals the style's own cartoons, 100 % the unchanged photographs."
    trained = "".join(
        f" Training itself minimised {name}; identity_sface is the independent judge."
        for name in result.get("trained_on", ())
    )
    return on + (shares if result.get("floors") else "") + trained
