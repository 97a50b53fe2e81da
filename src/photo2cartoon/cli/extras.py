"""What helps a person: the demo, MLflow's page, a place to share data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import HELP, app


@app.command(rich_help_panel=HELP)
def demo(
    out: Annotated[Path, typer.Option(help="Where cartoon.png and side-by-side.png go.")] = Path(),
) -> None:
    """From nothing to a served cartoon: every stage, promoted, answered by a real Triton."""
    from photo2cartoon.demo import demo as run

    run(out)


@app.command(rich_help_panel=HELP)
def mlflow(port: Annotated[int, typer.Option(help="On loopback.")] = 5000) -> None:
    """Open MLflow's page on the runs made here, until Ctrl-C."""
    from photo2cartoon.tracking.runs import run_page

    run_page(port)


@app.command(rich_help_panel=HELP)
def remote(url: Annotated[str, typer.Argument(help="s3://…, gs://…, azure://…, ssh://…, or a folder.")]) -> None:
    """Share data: make URL the default DVC remote and install what DVC needs to reach it."""
    from photo2cartoon.dataset.remote import add_remote

    add_remote(url)
    typer.echo(f"DVC's default remote is {url}: `dvc push` sends, `dvc pull` fetches")
