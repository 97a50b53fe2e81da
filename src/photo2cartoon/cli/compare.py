"""Commands that compare models: by metrics, over seeds, and by people."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photo2cartoon.cli.common import MODELS, Data, WeightsFolder, app
from photo2cartoon.errors import UserError
from photo2cartoon.layout import CHECKPOINTS, DATA, MEASURES_TABLE, WEIGHTS

if TYPE_CHECKING:
    from photo2cartoon.cartoonize.stylize import Stylize


@app.command(rich_help_panel=MODELS)
def measure(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL…", help="Checkpoints, runs, ONNX files, or names of bundled models.")
    ],
    out: Annotated[Path, typer.Option(help="Output folder for measures.md, measures.json and contact sheets.")],
    data: Data = DATA,
    weights: WeightsFolder = WEIGHTS,
    photographs: Annotated[
        bool, typer.Option("--photographs", help="Show the photographs and the drawings beside the cartoons.")
    ] = False,
    colour: Annotated[
        float, typer.Option(min=0, max=1, help="Colours, from 0 (the style's own) to 1 (the photograph's).")
    ] = 0.9,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL,MODEL…",
            help="Models of one recipe with different seeds, whose spread is reported; may be repeated.",
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML with further groups of people: names, and lists of photographs' stems."
        ),
    ] = None,
) -> None:
    """Compare models on held-out photographs: distance to the drawings, to the style, and to the person."""
    from photo2cartoon.evaluation.measure import measure as stage

    recipes = dict(_recipe(each) for each in recipe or ())
    more = _groups(groups) if groups else None
    named = _named([*models, *(model for members in recipes.values() for model in members)])
    members = {name: [named[model] for model in given] for name, given in recipes.items()}
    stylizers = {name: functools.partial(_load(model), colour=colour) for model, name in named.items()}
    stage(stylizers, data, weights, out, photographs, members, more)
    typer.echo((out / MEASURES_TABLE).read_text(encoding="utf-8"))


@app.command(rich_help_panel=MODELS)
def judge(
    first: Annotated[str, typer.Argument(help="Checkpoint, run, ONNX file, or name of a bundled model.")],
    second: Annotated[str, typer.Argument(help="The model to compare it with.")],
    data: Data = DATA,
    votes: Annotated[Path, typer.Option(help="File that keeps the votes; votes in it count.")] = Path("votes.jsonl"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the page.")] = 7861,
) -> None:
    """Ask people which of two drawings is better, on a web page, until Ctrl-C; the votes go to MLflow."""
    import signal

    from photo2cartoon.cartoonize import judge_page as page
    from photo2cartoon.cartoonize.page_server import serve
    from photo2cartoon.evaluation.judge import Session, track
    from photo2cartoon.evaluation.measure import draw

    def stop(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    named = _named([first, second])
    if len(named) < 2:
        raise UserError("judge: name two different models")
    pictures = draw({name: _load(model) for model, name in named.items()}, data)
    session = Session((named[first], named[second]), sorted(pictures[""]), votes)
    asked = len(session.votes)
    try:
        serve(
            lambda: page.build(session, pictures),
            host,
            port,
            lambda url: typer.echo(f"Which is better: {url}   (Ctrl-C ends; votes are kept in {votes})"),
            footer_links=[],
        )
    finally:
        typer.echo(str(session.result()))
        if len(session.votes) > asked:
            track(session, {name: model for model, name in named.items()})


def _recipe(text: str) -> tuple[str, list[str]]:
    name, _, members = text.partition("=")
    models = [model for model in members.split(",") if model]
    if not name or len(models) < 2:
        raise UserError(f"measure: --recipe {text}: expected NAME=MODEL,MODEL with two models or more")
    return name, models


def _groups(path: Path) -> dict[str, list[str]]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not all(isinstance(stems, list) for stems in found.values()):
        raise UserError(f"{path}: expected names of groups, each with a list of photographs' stems")
    return {str(name): [str(stem) for stem in stems] for name, stems in found.items()}


def _named(models: list[str]) -> dict[str, str]:
    """Return a short name for each model, unique among them: its own, or the parts of its path that the others lack."""
    from photo2cartoon.evaluation.measure import PHOTOGRAPHS, STRANGERS

    paths = {model: Path(model) for model in models}
    names: dict[str, str] = {}
    for model, path in paths.items():
        twins = [other.with_suffix("").parts for other in paths.values() if other.stem == path.stem]
        own = [part for part in path.with_suffix("").parts if not all(part in twin for twin in twins)]
        name = path.stem if len(twins) == 1 else "_".join(own)
        taken = {PHOTOGRAPHS, STRANGERS, *names.values()}
        whole = str(path).strip("/").replace("/", "_")
        candidates = (name, whole, *(f"{whole}-{number}" for number in range(2, len(models) + 3)))
        names[model] = next(each for each in candidates if each and each not in taken)
    return names


def _load(model: str) -> Stylize:
    """Load a model; of a run, its last checkpoint."""
    from photo2cartoon.cartoonize.stylize import ModelChoice
    from photo2cartoon.checkpoint import list_checkpoints

    path = Path(model)
    if (path / CHECKPOINTS).is_dir():
        found = list_checkpoints(path / CHECKPOINTS)
        if not found:
            raise UserError(f"{path}: holds no checkpoints")
        path = found[-1]
    choice = ModelChoice(checkpoint=path) if path.is_dir() else ModelChoice(model=path)
    return choice.load().stylize
