"""Descriptions in MLflow, Markdown: what a person reads on the page of a version before moving an alias."""

from __future__ import annotations

from collections.abc import Mapping

from photo2cartoon.evaluation.candidates import PHOTOGRAPHS
from photo2cartoon.layout import SCORED_GRID


def describe_version(
    logged: str, checkpoint: str, title: str, metric: str, scores: Mapping[str, Mapping[str, float]]
) -> str:
    """Describe a version: a picture, its scores, and the reason for its choice.

    Args:
        logged: id of its logged model, which holds the picture.
        checkpoint: name of the checkpoint.
        title: name of the run.
        metric: metric that decided.
        scores: of every checkpoint and of the photographs.
    """
    address = f"ajax-api/2.0/mlflow/logged-models/{logged}/artifacts/files?artifact_file_path={SCORED_GRID}"
    mine, baseline = scores[checkpoint], scores[PHOTOGRAPHS]
    rows = ["| score | this | photographs |", "|---|---|---|"]
    for name, value in mine.items():
        if not name.endswith("_interval"):
            half = mine.get(f"{name}_interval")
            rows.append(f"| {name} | {value:.4g}{f' ± {half:.2g}' if half else ''} | {baseline[name]:.4g} |")
    return "\n\n".join(
        [
            f"![photographs, and what it draws of them]({address})",
            f"**{checkpoint}** of *{title}*, chosen by `{metric}`.",
            "\n".join(rows),
        ]
    )
