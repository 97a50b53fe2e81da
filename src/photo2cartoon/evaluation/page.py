"""Writes pages for people: a self-contained HTML file with scores and cartoons, and a Markdown summary."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from urllib.parse import quote

from photo2cartoon.evaluation.selection import Selection
from photo2cartoon.files import atomic_write, read_json
from photo2cartoon.layout import SCORED_GRID, SCORES
from photo2cartoon.tracking.client import tracking_uri

STYLE = "body{font-family:sans-serif}td,th{padding:2px 10px;text-align:right}img{max-width:100%}"


def write_page(scores: Path, out: Path) -> None:
    """Write the results of the `evaluate` stage as one HTML file.

    Args:
        scores: the stage's output folder.
        out: the HTML file.
    """
    result = read_json(scores / SCORES, "`p2c evaluate` writes it")
    names = list(next(iter(result["scores"].values())))
    rows = ["".join(f"<th>{html.escape(name)}</th>" for name in ("", *names))]
    for candidate, values in result["scores"].items():
        cells = "".join(f"<td>{values[name]:.4g}</td>" for name in names)
        rows.append(f"<th>{html.escape(candidate)}</th>{cells}")
    picture = base64.b64encode((scores / SCORED_GRID).read_bytes()).decode()
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    body = f"<p>{result['photographs']} photographs, {result['cartoons']} cartoons; lower is better.</p><table>{table}</table>"
    with atomic_write(out) as partial:
        partial.write_text(
            f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{body}<img src="data:image/png;base64,{picture}">',
            encoding="utf-8",
        )


def write_summary(chosen: Selection, out: Path, outcome: str) -> None:
    """Summarise a selection in a few lines of Markdown, with links if MLflow is a server.

    Args:
        chosen: result of the `select` stage.
        out: the Markdown file.
        outcome: of the promotion, in words.
    """
    version, run = f"{chosen.model} version {chosen.version}", chosen.mlflow_run
    if tracking_uri().startswith("http"):
        page = f"{tracking_uri().rstrip('/')}/#"
        version = f"[{version}]({page}/models/{quote(chosen.model)}/versions/{chosen.version})"
        run = f"[{run}]({page}/runs/{run})"
    lines = [
        f"# {chosen.checkpoint}",
        f"- {chosen.metric}: {chosen.score:.4g} (the photographs themselves: {chosen.photographs_score:.4g})",
        f"- MLflow: {version}, run {run}",
        f"- {'It is' if chosen.champion else 'It is not'} the champion: {outcome}.",
    ]
    with atomic_write(out) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
