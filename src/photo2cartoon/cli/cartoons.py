"""Commands that draw: photographs and videos, the web page; and the check of a file's mark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photo2cartoon.cli.common import (
    MODELS,
    Faces,
    ParamsFile,
    Repository,
    Size,
    WeightsFolder,
    app,
    load_params,
)
from photo2cartoon.errors import UserError
from photo2cartoon.layout import CARTOON_RECORD, MODEL_REPOSITORY, PHOTOS, RAW, WEIGHTS

if TYPE_CHECKING:
    from photo2cartoon.cartoonize.stills import Report
    from photo2cartoon.cartoonize.stylize import LoadedModel
    from photo2cartoon.params import PortraitParams
    from photo2cartoon.portrait import PortraitMaker
    from photo2cartoon.portrait.options import DrawOptions


@app.command(rich_help_panel=MODELS)
def cartoonize(
    source: Annotated[
        Path, typer.Argument(metavar="PICTURE_VIDEO_OR_DIR", help="Photograph, video, or folder of photographs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            show_default="./NAME-cartoon", help="File (.png, .jpg, .webp; .mp4, .mov, .mkv, .webm) or folder."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Use a checkpoint, or a bundled model by name, in torch.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Use an ONNX graph, exported here or photo2cartoon's own, or a bundled model by name."),
    ] = None,
    server: Annotated[str | None, typer.Option(help="Use the Triton server at HOST:PORT.")] = None,
    paste: Annotated[
        bool,
        typer.Option("--paste", help="Paste the cartoon's head into the photograph instead of returning the portrait."),
    ] = False,
    faces: Faces = "largest",
    size: Size = None,
    background: Annotated[
        str, typer.Option(help="white, transparent, photograph, or a colour: a name or #RRGGBB.")
    ] = "white",
    colour: Annotated[
        float | None,
        typer.Option(show_default="0.9", help="Colours, from 0 (the style's own) to 1 (the photograph's)."),
    ] = None,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
    repository: Repository = MODEL_REPOSITORY,
) -> None:
    """Make cartoons of photographs or a video, with the newest promoted model or else the bundled one.

    A folder of cartoons gets cartoons.csv, with a row for every file. Run again, the command draws what is new or was changed.
    """
    from dataclasses import asdict

    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.cartoonize import stills, video_reader
    from photo2cartoon.cartoonize.record import made_by
    from photo2cartoon.cartoonize.stylize import ModelChoice
    from photo2cartoon.portrait import PortraitMaker
    from photo2cartoon.portrait.maker import required_assets
    from photo2cartoon.portrait.options import ALL, DEFAULTS, DrawOptions
    from photo2cartoon.portrait.sandbox import Sandbox

    options = DrawOptions(faces, size, background, DEFAULTS.colour if colour is None else colour, paste)
    values = load_params(params)
    portrait, own = values.portrait, values.assets.folder
    out = out or _beside(source, video_reader.SUFFIXES)
    moves = source.is_file() and source.suffix.lower() in video_reader.SUFFIXES
    out = out if moves else stills.target_of(source, out, marked=True)
    portraits_here = moves or not server
    choice = ModelChoice(checkpoint, model, server, repository)
    if portraits_here:
        ensure(required_assets(portrait), weights, Path(own) if own else None)
    else:
        _must_not_choose_portraits(portrait, params)
    decoder = Sandbox.within(portrait)
    if portraits_here and not moves:
        decoder.start(portrait.max_pixels)
    loaded = choice.load()
    maker = PortraitMaker.from_params(weights, portrait) if portraits_here else None
    if moves and maker:
        _cartoonize_video(source, out / f"{source.stem}.mp4" if out.is_dir() else out, maker, loaded, options)
        return
    draw = stills.Cartoonizer(loaded, portrait, maker, options, decoder)
    made = made_by(asdict(options), portrait.model_dump(), server, loaded.weights()) if source.is_dir() else ""
    report = stills.cartoonize(source, out, draw, numbered=faces == ALL and not paste, made_by=made)
    typer.echo(_summary(report, source, out, loaded))


def _cartoonize_video(source: Path, out: Path, maker: PortraitMaker, model: LoadedModel, options: DrawOptions) -> None:
    from photo2cartoon.cartoonize.video import cartoonize_video

    film = cartoonize_video(
        source,
        out,
        maker.finder,
        maker.cut,
        model.stylize,
        options,
        smallest=maker.min_face,
        version=model.weights(),
    )
    typer.echo(
        f"{out}: {film.drawn} of {film.frames} frames drawn by {model.label()}, {film.seconds:.1f} s;"
        f" sound {film.sound}"
    )


def _summary(report: Report, source: Path, out: Path, model: LoadedModel) -> str:
    """Return what was drawn of a photograph or a folder, in a line."""
    first, *more = report.written
    count = f"{len(report.written)} cartoon{'s' if more else ''}"
    done = f"{out}: {count}," if source.is_dir() else f"{first}{f' to {more[-1].name}' if more else ''}:"
    counts = {
        f"{len(report.failed)} failed": len(report.failed),
        f"{report.kept} drawn before": report.kept,
        f"no pictures: {len(report.others)} ({out / CARTOON_RECORD})": len(report.others),
    }
    remarks = "".join(f"; {text}" for text, count in counts.items() if count)
    return f"{done} drawn by {model.label()}{remarks}"


@app.command(rich_help_panel=MODELS)
def verify(
    files: Annotated[list[Path], typer.Argument(help="PNG, JPEG, WebP, MP4, MOV, MKV or WebM.")],
) -> None:
    """Print what files say of their origin: generated or not, by which model, signed by whom.

    Exits with 1 if one of them has no mark of generated content, or was altered since it was signed.
    """
    from photo2cartoon.provenance.verify import verify as read

    doubtful = 0
    for file in files:
        origin = read(file)
        typer.echo(f"{file}: {'; '.join(origin.lines())}")
        altered = origin.credentials is not None and not origin.credentials.unaltered
        doubtful += origin.mark is None or altered
    if doubtful:
        raise typer.Exit(1)


@app.command(rich_help_panel=MODELS)
def web(
    checkpoint: Annotated[Path | None, typer.Option(help="Use a checkpoint, in torch.")] = None,
    model: Annotated[Path | None, typer.Option(help="Use an ONNX graph, or a bundled model by name.")] = None,
    server: Annotated[str | None, typer.Option(help="Use the Triton server at HOST:PORT.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; use 0.0.0.0 only behind a firewall or an authenticating proxy.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 7860,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that the page answers to, as in cartoons.example.org; can be repeated.",
            show_default="on loopback its names, else every name",
        ),
    ] = None,
    examples: Annotated[Path, typer.Option(help="Folder of photographs; the first ones are offered as examples.")] = RAW
    / PHOTOS,
    params: ParamsFile = None,
    weights: WeightsFolder = WEIGHTS,
    repository: Repository = MODEL_REPOSITORY,
    static: Annotated[
        Path | None,
        typer.Option(help="Write a page that draws in the browser, without a server, to this folder, and end."),
    ] = None,
) -> None:
    """Serve a web page that turns an uploaded photograph into a cartoon, until Ctrl-C. Offers all models, or the one named.

    With --static, write a page that needs no server but one for files, and draws by slim, or the graph of --model.
    """
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
    if static:
        if checkpoint or server:
            raise UserError(
                "web: --static draws in the browser, by slim or --model; leave out --checkpoint and --server"
            )
        _write_static(static, weights, portrait, model, Path(own) if own else None)
        return
    ensure(required_assets(portrait), weights, Path(own) if own else None)
    models = page.offer_models(ModelChoice(checkpoint, model, server, repository), weights, portrait)
    tried = examples if examples.is_dir() else None
    page.run(
        models,
        tried,
        host,
        port,
        lambda url: typer.echo(f"photo2cartoon's page: {url}   (Ctrl-C ends)"),
        allow_host or (),
    )


def _write_static(out: Path, weights: Path, portrait: PortraitParams, model: Path | None, own: Path | None) -> None:
    import shlex

    from photo2cartoon.cartoonize.static_page import write_page

    size = write_page(out, weights, portrait, model, own)
    typer.echo(
        f"{out}: a page of {size / 1e6:.1f} MB, for any server of files\n"
        f"Try: python -m http.server --bind 127.0.0.1 -d {shlex.quote(str(out))}, then http://127.0.0.1:8000"
    )


def _beside(source: Path, videos: frozenset[str]) -> Path:
    """The default output: in the current folder, named after the source."""
    suffix = "" if source.is_dir() else ".mp4" if source.suffix.lower() in videos else ".png"
    return Path(f"{source.resolve().stem if suffix else source.resolve().name}-cartoon{suffix}")


def _must_not_choose_portraits(portrait: PortraitParams, params: Path | None) -> None:
    """Refuse portrait settings of an explicit --params file, which a server ignores; note those of ./params.yaml."""
    from photo2cartoon.params import PortraitParams
    from photo2cartoon.progress import note

    changed = [
        name for name in PortraitParams.model_fields if getattr(portrait, name) != getattr(PortraitParams(), name)
    ]
    ignored = ", ".join(f"portrait.{name}" for name in changed if name != "max_bytes")
    if ignored and params:
        raise UserError(
            f"{params}: {ignored} would be ignored: the server uses its own portrait settings; start the server with these"
        )
    if ignored:
        note(f"cartoonize: the server uses its own portrait settings; {ignored} of params.yaml is not used")
