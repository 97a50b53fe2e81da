"""The commands for a style of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import MODELS, app

style = typer.Typer(help="Make a project for a style of your own.", no_args_is_help=True)
app.add_typer(style, name="style", rich_help_panel=MODELS)


@style.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder to make; its name names the model.")],
    cartoons: Annotated[Path, typer.Option(help="Folder of cartoon portraits in the style: 8 or more, 30 are good.")],
    photos: Annotated[
        Path | None, typer.Option(show_default="the built-in sample", help="Folder of photographs of people.")
    ] = None,
    drawings: Annotated[
        Path | None,
        typer.Option(help="Folder of drawings of some of the photographs in the style, with the photographs' names."),
    ] = None,
) -> None:
    """Make a project for a style of your own: pictures, parameters, stages for DVC, git.

    It needs no clone of this repository. `dvc repro` in it trains the bundled slim model on the style.
    """
    from photo2cartoon.style.project import Pictures, new_style

    counts = new_style(folder, Pictures(cartoons, photos, drawings))
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    typer.echo(f"{folder}: {kinds}{'' if photos else ', photographs of the built-in sample'}")
    typer.echo(f"\n  cd {folder}\n  dvc repro                  trains the style, 25 minutes on 2 cores")
    typer.echo("  open reports/index.html    the report\n  p2c promote && p2c serve")


@style.command(hidden=True)
def release(out: Annotated[Path, typer.Option(help="JSON file to write.")]) -> None:
    """Write the installed release and the hash of its code; the stages of a style depend on it."""
    from photo2cartoon.style.project import write_release

    write_release(out)
