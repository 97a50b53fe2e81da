"""Commands around the pipeline: the demo, MLflow's page, DVC's settings and remote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import HELP, app


@app.command(rich_help_panel=HELP)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for cartoon.png and side-by-side.png.")] = Path(),
) -> None:
    """Run every stage, promote the model, serve it with Triton and request one cartoon."""
    from photo2cartoon.demo import demo as run

    run(out)


@app.command(rich_help_panel=HELP)
def doctor() -> None:
    """Print what this machine and this folder have, what they lack, and what that costs. Exit with 1 if nothing can work."""
    from photo2cartoon.doctor import report

    if not report(typer.echo):
        raise typer.Exit(1)


@app.command(rich_help_panel=HELP)
def mlflow(port: Annotated[int, typer.Option(help="Port on loopback.")] = 5000) -> None:
    """Serve MLflow's page for the runs of this folder, until Ctrl-C."""
    from photo2cartoon.tracking.page import run_page

    run_page(port)


@app.command(rich_help_panel=HELP)
def remote(url: Annotated[str, typer.Argument(help="s3://…, gs://…, azure://…, ssh://…, or a folder.")]) -> None:
    """Set the default DVC remote, and install the DVC plugin for its protocol."""
    from photo2cartoon.dataset.dvc_project import in_git
    from photo2cartoon.dataset.remote import add_remote

    add_remote(url)
    typer.echo(f"DVC's default remote is {url}: `dvc push` uploads, `dvc pull` downloads")
    if in_git():
        typer.echo("Other clones find it once .dvc/config is committed")


@app.command(
    rich_help_panel=HELP,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]},
)
def repro(context: typer.Context) -> None:
    """Run `dvc repro` with the same options, check that DVC's cache is whole, and print the line that commits the
    result."""
    from photo2cartoon.dataset import dvc_project

    dvc_project.repro(context.args)
    if line := dvc_project.commit_line():
        typer.echo(f"Commit this version: {line}")


@app.command("dvc-setup", rich_help_panel=HELP)
def dvc_setup() -> None:
    """Configure DVC for this machine: with or without git, and plots that load nothing from the internet."""
    from photo2cartoon.dataset import dvc_project

    for line in dvc_project.configure():
        typer.echo(line)
