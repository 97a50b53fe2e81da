"""The application, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photo2cartoon.layout import WEIGHTS
from photo2cartoon.urls import place

if TYPE_CHECKING:
    from photo2cartoon.params import Params

app = typer.Typer(
    help="Turn portrait photographs into cartoons: train, compare, select, export, serve, roll back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from photo2cartoon.tracking.lineage import lineage

        said = lineage()
        typer.echo(f"photo2cartoon {said['photo2cartoon']}, commit {said['git_commit']}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print version and commit, and end."),
    ] = False,
) -> None:
    """Options before the command."""


STAGES, MODELS, HELP = "Stages of the pipeline (`dvc repro` runs all but promote)", "Use models", "More"

ParamsFile = Annotated[Path | None, typer.Option("--params", show_default="./params.yaml", help="Parameters file.")]
Profile = Annotated[str | None, typer.Option(help="Profile of the parameters file, such as 'full'.")]


def _weights(given: Path) -> Path:
    """Return the weights folder; where no project stands and none is given, the one in the user's cache."""
    from photo2cartoon.files import cache_folder

    elsewhere = given == WEIGHTS and not WEIGHTS.is_dir() and not Path("dvc.yaml").exists()
    return cache_folder() / "weights" if elsewhere else given


WeightsFolder = Annotated[
    Path,
    typer.Option(
        callback=_weights,
        show_default="weights; outside of a project, in the user's cache",
        help="Weights folder, as `p2c assets` writes it.",
    ),
]
Data = Annotated[Path, typer.Option(help="Dataset folder with trainA, trainB, testA, testB.")]
Repository = Annotated[
    Path, typer.Option(parser=place, metavar="PLACE", help="Triton model repository: a folder or s3://bucket/path.")
]

Faces = Annotated[str, typer.Option(help="Which faces of a photograph: 'largest', or 'all' (at most 10).")]
Size = Annotated[
    int | None,
    typer.Option(
        show_default="256; with --paste the head's own size", help="Side of each portrait, 256 or 512 pixels."
    ),
]


def load_params(path: Path | None, profile: str | None = None) -> Params:
    """Read and check the parameters file, with the names of metrics in it."""
    from photo2cartoon.params import load
    from photo2cartoon.scoring.names import check_names

    given = load(path, profile)
    check_names(given)
    return given
