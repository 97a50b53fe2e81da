"""`p2c`: the verbs, nothing else. Everything heavy is imported when a verb needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.errors import UserError

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
Weights = Annotated[Path, typer.Option(help="Folder that `p2c assets` filled.")]
Data = Annotated[Path, typer.Option(help="Dataset: trainA, trainB, testA, testB.")]
Repository = Annotated[Path, typer.Option(help="Triton's model repository.")]
DEFAULT_WEIGHTS, DEFAULT_DATA, DEFAULT_REPOSITORY = Path("weights"), Path("data/faces"), Path("triton_repo")


@app.command("params", rich_help_panel=STAGES)
def params_(
    params: ParamsFile = None,
    profile: Profile = None,
    out: Annotated[Path | None, typer.Option(help="Write the resolved params here instead of showing them.")] = None,
    schema: Annotated[bool, typer.Option(help="Show the JSON schema: every key, its type, range and meaning.")] = False,
) -> None:
    """Check params.yaml and fill in every default."""
    import json

    import yaml

    from photo2cartoon import params as module

    if schema:
        typer.echo(json.dumps(module.Params.model_json_schema(), indent=2))
        return
    resolved = module.load(params, profile)
    if out:
        module.dump(resolved, out)
    else:
        typer.echo(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False))


@app.command(rich_help_panel=STAGES)
def assets(
    params: ParamsFile = None,
    out: Annotated[Path, typer.Option(help="Weights folder.")] = DEFAULT_WEIGHTS,
) -> None:
    """Fetch third-party weights and verify them."""
    from photo2cartoon import assets as module

    folder = _params(params).assets.folder
    for asset, origin in module.collect(out, Path(folder) if folder else None):
        typer.echo(f"{origin:8} {asset.file}  ({asset.what}; {asset.licence})")


@app.command(rich_help_panel=STAGES)
def ingest(
    params: ParamsFile = None,
    out: Annotated[Path, typer.Option(help="Gets photos/, cartoons/ and CARD.md.")] = Path("data/raw"),
) -> None:
    """Bring raw photographs and cartoons from their source."""
    from photo2cartoon.dataset.ingest import ingest as stage

    counts = stage(_params(params).ingest, out)
    typer.echo(
        f"{out}: {counts['photos']} photographs, {counts['cartoons']} cartoons; {out / 'CARD.md'} names the sources"
    )


@app.command(rich_help_panel=STAGES)
def preprocess(
    out: Annotated[
        Path, typer.Option(help="Gets trainA, testA (photographs), trainB, testB (cartoons), pictures.csv.")
    ],
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs.")] = None,
    cartoons: Annotated[Path | None, typer.Option(help="Folder of cartoons.")] = None,
    params: ParamsFile = None,
    weights: Weights = DEFAULT_WEIGHTS,
) -> None:
    """Find, level, crop and cut out every face, on every core."""
    from collections import Counter

    from photo2cartoon.dataset.preprocess import TABLE
    from photo2cartoon.dataset.preprocess import preprocess as stage

    values = _params(params)
    rows = stage(photos, cartoons, weights, out, values.portrait, values.preprocess)
    counts = Counter(row.result for row in rows)
    told = ", ".join(
        f"{count} {result}" for result, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    typer.echo(f"{out}: {told}; {out / TABLE} says what became of each picture")


@app.command(rich_help_panel=STAGES)
def train(
    out: Annotated[Path, typer.Option(help="Gets checkpoints/, samples/, stats.jsonl.")],
    params: ParamsFile = None,
    profile: Profile = None,
    data: Data = DEFAULT_DATA,
    weights: Weights = DEFAULT_WEIGHTS,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in --out.")] = False,
) -> None:
    """Train the generators and discriminators."""
    from photo2cartoon.training.loop import train as stage

    last = stage(_params(params, profile).train, data, weights, out, resume)
    typer.echo(f"{last}: the last checkpoint; {out / 'samples'} shows how it got there")


@app.command(rich_help_panel=STAGES)
def evaluate(
    train: Annotated[Path, typer.Option(help="What `p2c train` wrote.")],
    out: Annotated[Path, typer.Option(help="Gets scores.json, scores.csv, drawings.png.")],
    params: ParamsFile = None,
    data: Data = DEFAULT_DATA,
    weights: Weights = DEFAULT_WEIGHTS,
) -> None:
    """Score every checkpoint; lower is better."""
    from photo2cartoon.evaluation.evaluate import evaluate as stage

    _show_scores(stage(_params(params).evaluate, train, data, weights, out)["scores"])


@app.command(rich_help_panel=STAGES)
def select(
    scores: Annotated[Path, typer.Option(help="What `p2c evaluate` wrote.")],
    train: Annotated[Path, typer.Option(help="What `p2c train` wrote.")],
    out: Annotated[Path, typer.Option(help="Becomes the chosen checkpoint.")],
    params: ParamsFile = None,
) -> None:
    """Choose the best checkpoint and register it in MLflow."""
    from photo2cartoon.evaluation.selection import select as stage

    chosen = stage(_params(params).select, scores, train, out)
    typer.echo(
        f"{chosen.checkpoint}: {chosen.metric} {chosen.score:.4g} (the photographs themselves: "
        f"{chosen.photographs_score:.4g}); registered as {chosen.model} version {chosen.version}, "
        f"{'champion' if chosen.champion else 'candidate: a person may make it champion in MLflow'}"
    )


@app.command(rich_help_panel=STAGES)
def export(
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="The ONNX file.")],
    params: ParamsFile = None,
    data: Annotated[Path | None, typer.Option(help="Dataset whose portraits the graph is compared on.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where the comparison goes, as JSON.")] = None,
) -> None:
    """Write the generator as ONNX and prove that it draws the same."""
    from photo2cartoon.export.export import export as stage

    values = _params(params).export
    typer.echo("Exporting, and comparing with torch: half a minute", err=True)
    parity = stage(values, checkpoint, data, out, report)
    typer.echo(
        f"{out}: differs from torch by {parity.mean_difference:.4f} levels of 255 on average, {parity.max_difference:.0f}"
        f" at most, on {parity.portraits} portraits"
    )


@app.command(rich_help_panel=STAGES)
def promote(
    params: ParamsFile = None,
    repository: Repository = DEFAULT_REPOSITORY,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a running Triton that shall load it now.")] = None,
) -> None:
    """Deploy the version that the alias 'champion' points at in MLflow."""
    from photo2cartoon.serving.repository import promote as stage

    version = stage(repository, _params(params).select, server)
    typer.echo(f"{repository}/generator/{version}: in place{f', loaded by {server}' if server else ''}")


@app.command(rich_help_panel=MODELS)
def rollback(
    params: ParamsFile = None,
    repository: Repository = DEFAULT_REPOSITORY,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a running Triton that shall load it now.")] = None,
) -> None:
    """Go back to the version that was champion before."""
    from photo2cartoon.serving.repository import rollback as stage

    version = stage(repository, _params(params).select, server)
    typer.echo(f"{repository}/generator/{version}: back in place{f', loaded by {server}' if server else ''}")


@app.command(rich_help_panel=MODELS)
def serve(
    repository: Repository = DEFAULT_REPOSITORY,
    weights: Weights = DEFAULT_WEIGHTS,
    params: ParamsFile = None,
    grpc_port: Annotated[int, typer.Option(help="gRPC, on loopback.")] = 8001,
    http_port: Annotated[int, typer.Option(help="HTTP, on loopback.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics, on loopback.")] = 8002,
    run_folder: Annotated[Path, typer.Option(help="For backends and the log.")] = Path("var/triton"),
) -> None:
    """Run Triton on loopback until Ctrl-C or SIGTERM."""
    import signal
    import time

    from photo2cartoon.serving.server import Ports, Server

    _params(params)

    def stop(*_: object) -> None:
        raise SystemExit(0)

    # From here on the server is stopped on the way out, however early the signal comes.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with Server(repository, run_folder, Ports(grpc_port, http_port, metrics_port), weights, params) as server:
        typer.echo(
            f"Triton serves 'photo2cartoon': gRPC {server.grpc}, metrics http://127.0.0.1:{metrics_port}/metrics\n"
            f"Try: p2c cartoonize PHOTO --server {server.grpc} --out cartoon.png    (log: {server.log}; Ctrl-C stops)"
        )
        while server.process.poll() is None:
            time.sleep(0.3)
        raise UserError(f"Triton ended by itself (log: {server.log})")


@app.command(rich_help_panel=MODELS)
def cartoonize(
    source: Annotated[Path, typer.Argument(metavar="PICTURE_OR_DIR", help="A photograph or a folder of them.")],
    out: Annotated[Path, typer.Option(help="File (.png, .jpg, .webp) or folder.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Draw with a checkpoint, by torch.")] = None,
    model: Annotated[Path | None, typer.Option(help="Draw with an ONNX graph.")] = None,
    server: Annotated[str | None, typer.Option(help="Let a Triton at HOST:PORT draw.")] = None,
    params: ParamsFile = None,
    weights: Weights = DEFAULT_WEIGHTS,
    repository: Repository = DEFAULT_REPOSITORY,
) -> None:
    """Draw photographs; with the newest promoted model unless told otherwise."""
    from photo2cartoon import cartoonize as module

    portrait = _params(params).portrait
    drawer = module.make_drawer(checkpoint, model, server, weights, portrait, repository)
    failed = module.cartoonize(source, out, drawer, portrait.max_bytes)
    typer.echo(f"{out}: drawn{f'; {len(failed)} could not be' if failed else ''}")


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
    from photo2cartoon.tracking import run_page

    run_page(port)


@app.command(rich_help_panel=HELP)
def remote(url: Annotated[str, typer.Argument(help="s3://…, gs://…, azure://…, ssh://…, or a folder.")]) -> None:
    """Share data: make URL the default DVC remote and install what DVC needs to reach it."""
    from photo2cartoon.dataset.remote import add_remote

    add_remote(url)
    typer.echo(f"DVC's default remote is {url}: `dvc push` sends, `dvc pull` fetches")


def _params(path: Path | None, profile: str | None = None):
    from photo2cartoon.params import load

    return load(path, profile)


def _show_scores(scores: dict[str, dict[str, float]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    metrics = [key for key in next(iter(scores.values())) if not key.endswith("_interval")]
    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False)
    for heading in ("checkpoint", *metrics):
        table.add_column(
            heading.replace("_", "\n"), justify="left" if heading == "checkpoint" else "right", no_wrap=True
        )
    for name, values in scores.items():
        cells = []
        for metric in metrics:
            interval = values.get(f"{metric}_interval")
            cells.append(f"{values[metric]:.3g}" + (f"\n±{interval:.1g}" if interval is not None else ""))
        table.add_row(name, *cells)
    Console().print(table)
    typer.echo("Lower is better; ± is half of a 95 % interval.")


def main() -> None:
    """The program: one line for what a user can cause, a traceback for a bug."""
    try:
        app()
    except UserError as error:
        print(f"p2c: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("p2c: interrupted", file=sys.stderr)
        sys.exit(130)
