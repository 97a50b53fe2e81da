"""What every verb shares: the program itself, and the options that several of them take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.urls import place

app = typer.Typer(
    help="Portrait photographs to cartoons: train, compare, pick, ship, serve, roll back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STAGES, MODELS, HELP = "Stages, as `dvc repro` runs them", "Models in use", "Help"

ParamsFile = Annotated[Path | None, typer.Option("--params", help="Params file. [default: ./params.yaml]")]
Profile = Annotated[str | None, typer.Option(help="Named set of changes in the params file, such as 'full'.")]
WeightsFolder = Annotated[Path, typer.Option(help="Folder that `p2c assets` filled.")]
Data = Annotated[Path, typer.Option(help="Dataset: trainA, trainB, testA, testB.")]
Repository = Annotated[
    Path, typer.Option(parser=place, metavar="PLACE", help="Triton's model repository: a folder, or s3://bucket/path.")
]


def load_params(path: Path | None, profile: str | None = None):
    """The checked params file."""
    from photo2cartoon.params import load

    return load(path, profile)
