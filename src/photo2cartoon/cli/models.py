"""What is done with models: bring in, serve, draw, roll back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photo2cartoon.cli.common import (
    MODELS,
    Data,
    ParamsFile,
    Repository,
    WeightsFolder,
    app,
    load_params,
)
from photo2cartoon.errors import UserError
from photo2cartoon.layout import DATA, MEASURES_TABLE, MODEL_REPOSITORY, OVERVIEW, PHOTOS, RAW, TRITON_RUN, WEIGHTS

if TYPE_CHECKING:
    from photo2cartoon.params import PortraitParams


@app.command("import-weights", rich_help_panel=MODELS)
def import_weights(
    file: Annotated[Path, typer.Argument(help="photo2cartoon's .pt or .onnx, or the Paddle port's .pdparams.")],
    out: Annotated[Path, typer.Option(help="Becomes the checkpoint; a new folder.")],
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures that a light generator was trained on. [default: 256]")
    ] = None,
) -> None:
    """Read photo2cartoon's trained weights as a checkpoint, to draw with, export or train on.

    Nothing pickled is run. Variant and sizes are told by the shapes; what is missing, left over or of another shape is named.
    """
    from photo2cartoon.importing.cartoon_weights import import_weights as importer

    found = importer(file, out, size)
    kind = "light" if found.train.light else "full"
    absent = f"\nNot in it: {', '.join(found.absent)}; training would begin {'it' if len(found.absent) == 1 else 'them'} afresh"
    typer.echo(
        f"{out}: {', '.join(found.networks)} from a {found.kind} file; {kind}, {found.train.channels} channels, "
        f"{found.train.size} px{absent if found.absent else ''}\nTry: p2c cartoonize PHOTO --checkpoint {out} --out cartoon.png"
    )


@app.command("test", hidden=True)
@app.command(rich_help_panel=MODELS)
def translate(
    context: typer.Context,
    checkpoint: Annotated[Path, typer.Option(help="A checkpoint folder with both generators.")],
    out: Annotated[Path, typer.Option(help="Gets A2B/, B2A/ and overview.png.")],
    data: Data = DATA,
    split: Annotated[str, typer.Option(help="test, or train for the pictures that were learnt from.")] = "test",
    raw: Annotated[bool, typer.Option(help="The last step's generators instead of the averaged ones.")] = False,
) -> None:
    """Draw every held-out picture in seven rows, both ways: picture, identity, translation, reconstruction, attention."""
    from photo2cartoon.evaluation.translate import translate_dataset
    from photo2cartoon.progress import note

    if context.info_name == "test":
        note("p2c test is called `p2c translate` now; the old name works for one more release")

    if split not in ("test", "train"):
        raise UserError(f"translate: --split is '{split}', known are test and train")
    counts = translate_dataset(checkpoint, data, out, "raw" if raw else "ema", split)
    typer.echo(f"{out}: {counts['A2B']} photographs and {counts['B2A']} cartoons; look at {out / OVERVIEW}")


@app.command(rich_help_panel=MODELS)
def rollback(
    params: ParamsFile = None,
    repository: Repository = MODEL_REPOSITORY,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a running Triton that shall load it now.")] = None,
) -> None:
    """Go back to the version that was champion before."""
    from photo2cartoon.serving.repository import rollback as stage

    version = stage(repository, load_params(params).select, server)
    typer.echo(f"{repository}/generator/{version}: back in place{f', loaded by {server}' if server else ''}")


@app.command(rich_help_panel=MODELS)
def serve(
    repository: Repository = MODEL_REPOSITORY,
    weights: WeightsFolder = WEIGHTS,
    params: ParamsFile = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of them, where something else guards the door.")
    ] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(help="gRPC.")] = 8001,
    http_port: Annotated[int, typer.Option(help="HTTP.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics.")] = 8002,
    run_folder: Annotated[Path, typer.Option(help="For backends and the log.")] = TRITON_RUN,
) -> None:
    """Run Triton until Ctrl-C or SIGTERM; on loopback unless another address is named."""
    import signal
    import time

    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.portrait.maker import required_assets
    from photo2cartoon.serving.repository import init_repository
    from photo2cartoon.serving.server import Ports, Server

    values = load_params(params)
    own = values.assets.folder
    ensure(required_assets(values.portrait), weights, Path(own) if own else None)
    init_repository(repository, MODEL_REPOSITORY)

    def stop(*_: object) -> None:
        raise SystemExit(0)

    # From here on the server is stopped on the way out, however early the signal comes.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    ports = Ports(grpc_port, http_port, metrics_port)
    with Server(repository, run_folder, ports, weights, params, host) as server:
        typer.echo(
            f"Triton serves 'photo2cartoon': gRPC {server.grpc}, metrics http://{server.grpc.split(':')[0]}:{metrics_port}/metrics\n"
            f"Try: p2c cartoonize PHOTO --server {server.grpc} --out cartoon.png    (log: {server.log}; Ctrl-C stops)"
        )
        while server.process.poll() is None:
            time.sleep(0.3)
        raise UserError(f"Triton ended by itself (log: {server.log})")


@app.command(rich_help_panel=MODELS)
def cartoonize(
    source: Annotated[
        Path, typer.Argument(metavar="PICTURE_VIDEO_OR_DIR", help="A photograph, a video, or a folder of photographs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File (.png, .jpg, .webp; .mp4, .mov, .mkv, .webm) or folder; NAME-cartoon here by default."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Draw with a checkpoint, or a model of the project by its name, by torch.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Draw with an ONNX graph, ours or photo2cartoon's own, or a model by its name.")
    ] = None,
    server: Annotated[str | None, typer.Option(help="Let a Triton at HOST:PORT draw.")] = None,
    paste: Annotated[
        bool, typer.Option("--paste", help="The whole photograph with the cartoon's head in place, not the portrait.")
    ] = False,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
    repository: Repository = MODEL_REPOSITORY,
) -> None:
    """Draw photographs or a video; with the newest promoted model, or the one that comes with the project."""
    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.cartoonize import stills, video_reader
    from photo2cartoon.cartoonize.stylize import ModelChoice
    from photo2cartoon.portrait import PortraitMaker
    from photo2cartoon.portrait.maker import required_assets

    values = load_params(params)
    portrait, own = values.portrait, values.assets.folder
    out = out or _beside(source, video_reader.SUFFIXES)
    moves = source.is_file() and source.suffix.lower() in video_reader.SUFFIXES
    portraits_here = moves or paste or not server
    choice = ModelChoice(checkpoint, model, server, repository)
    if portraits_here:
        ensure(required_assets(portrait), weights, Path(own) if own else None)
    else:
        _must_not_choose_portraits(portrait, params)
    loaded = choice.load()
    maker = PortraitMaker.from_params(weights, portrait) if portraits_here else None
    if moves:
        from photo2cartoon.cartoonize.video import cartoonize_video

        out = out / f"{source.stem}.mp4" if out.is_dir() else out
        report = cartoonize_video(source, out, maker.finder, maker.cut, loaded.stylize, paste)
        typer.echo(
            f"{out}: {report.drawn} of {report.frames} frames drawn by {loaded.label()}, {report.seconds:.1f} s;"
            f" sound {report.sound}"
        )
        return
    failed = stills.cartoonize(source, out, stills.Cartoonizer(loaded, portrait, maker, paste))
    typer.echo(f"{out}: drawn by {loaded.label()}{f'; {len(failed)} could not be' if failed else ''}")


@app.command(rich_help_panel=MODELS)
def web(
    checkpoint: Annotated[Path | None, typer.Option(help="Draw with a checkpoint, by torch.")] = None,
    model: Annotated[Path | None, typer.Option(help="Draw with an ONNX graph, or a model by its name.")] = None,
    server: Annotated[str | None, typer.Option(help="Let a Triton at HOST:PORT draw.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of them, where something else guards the door.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the page.")] = 7860,
    examples: Annotated[Path, typer.Option(help="Folder of photographs; its first ones are there to be tried.")] = RAW
    / PHOTOS,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
    repository: Repository = MODEL_REPOSITORY,
) -> None:
    """Open a page to try it on, until Ctrl-C: a photograph in, a cartoon out. Offers every model there is, or the one named."""
    import signal

    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.cartoonize import web as page
    from photo2cartoon.cartoonize.stylize import ModelChoice
    from photo2cartoon.portrait.maker import required_assets

    def stop(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    values = load_params(params)
    portrait, own = values.portrait, values.assets.folder
    ensure(required_assets(portrait), weights, Path(own) if own else None)
    models = page.offer_models(ModelChoice(checkpoint, model, server, repository), weights, portrait)
    tried = examples if examples.is_dir() else None
    page.run(models, tried, host, port, lambda url: typer.echo(f"photo2cartoon's page: {url}   (Ctrl-C ends)"))


@app.command(rich_help_panel=MODELS)
def measure(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL…", help="Checkpoints, ONNX files, or names of models of the project.")
    ],
    out: Annotated[Path, typer.Option(help="Gets measures.md, measures.json and contact sheets.")],
    data: Data = DATA,
    weights: WeightsFolder = WEIGHTS,
    photographs: Annotated[
        bool, typer.Option("--photographs", help="Lay the photographs, and the teacher's drawings, beside ours.")
    ] = False,
) -> None:
    """Measure models side by side on held-out photographs: likeness to the teacher's drawings, the style, the person."""
    from photo2cartoon.cartoonize.stylize import ModelChoice
    from photo2cartoon.evaluation.measure import measure as stage

    stylizers = {}
    for model in models:
        path = Path(model)
        name = path.stem if path.suffix else path.name
        if name in stylizers:  # the same step of two runs, say
            name = str(path).strip("/").replace("/", "_")
        choice = ModelChoice(checkpoint=path) if path.is_dir() else ModelChoice(model=path)
        stylizers[name] = choice.load().stylize
    stage(stylizers, data, weights, out, photographs)
    typer.echo((out / MEASURES_TABLE).read_text(encoding="utf-8"))


def _beside(source: Path, videos: frozenset[str]) -> Path:
    """Where drawings go when nobody says where: in this folder, under the source's name."""
    suffix = "" if source.is_dir() else ".mp4" if source.suffix.lower() in videos else ".png"
    return Path(f"{source.resolve().stem if suffix else source.resolve().name}-cartoon{suffix}")


def _must_not_choose_portraits(portrait: PortraitParams, params: Path | None) -> None:
    """A server makes portraits by its own settings: refuse those of a file that was named, mention those of ./params.yaml."""
    from photo2cartoon.params import PortraitParams
    from photo2cartoon.progress import note

    changed = [
        name for name in PortraitParams.model_fields if getattr(portrait, name) != getattr(PortraitParams(), name)
    ]
    ignored = ", ".join(f"portrait.{name}" for name in changed if name != "max_bytes")
    if ignored and params:
        raise UserError(
            f"{params}: {ignored} would be ignored: the server makes portraits by its own; start it with them"
        )
    if ignored:
        note(f"cartoonize: the server makes portraits by its own settings; {ignored} of params.yaml is not used")
