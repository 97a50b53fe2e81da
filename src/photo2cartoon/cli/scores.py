"""The table of scores that `p2c evaluate` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from photo2cartoon.layout import SCORES_TABLE

if TYPE_CHECKING:
    from photo2cartoon.evaluation.result import Result


def show_scores(result: Result, out: Path) -> None:
    """Print a row for each metric, and a column for each of at most six models: the others are in the table's file."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from photo2cartoon.evaluation.description import cell
    from photo2cartoon.evaluation.rule import STEP, finalists
    from photo2cartoon.scoring.metrics import METRICS, WORST, direction

    names, most = list(result["scores"]), 6
    if len(names) > most:
        best = finalists(result["scores"])
        names = [name for name in names if not name.startswith(STEP) or name in best][:most]
    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False)
    for heading in ("score", "better", *names):
        table.add_column(heading, justify="left" if heading in ("score", "better") else "right", overflow="fold")
    for metric in dict.fromkeys(key for name in names for key in result["scores"][name]):
        if metric.removeprefix(WORST) in METRICS:
            cells = (cell(result["scores"][name], metric, result) for name in names)
            table.add_row(metric, "lower" if direction(metric) > 0 else "higher", *cells)
    Console().print(table)
    typer.echo(f"± is half of a 95 % interval; {out / SCORES_TABLE} has every checkpoint")
