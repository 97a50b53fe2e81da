"""What is done with models: bring in, serve, draw, roll back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from photo2cartoon.cli.common import (
    DEFAULT_REPOSITORY,
    DEFAULT_WEIGHTS,
    MODELS,
    ParamsFile,
    Repository,
    Weights,
    app,
    load_params,
)
from photo2cartoon.errors import UserError


@app.command(rich_help_panel=MODELS)
def rollback(
    params: ParamsFile = None,
    repository: Repository = DEFAULT_REPOSITORY,
    server: Annotated[str | None, typer.Option(help="HOST:PORT of a running Triton that shall load it now.")] = None,
) -> None:
    """Go back to the version that was champion before."""
    from photo2cartoon.serving.repository import rollback as stage

    version = stage(repository, load_params(params).select, server)
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

    load_params(params)

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

    portrait = load_params(params).portrait
    drawer = module.make_drawer(checkpoint, model, server, weights, portrait, repository)
    failed = module.cartoonize(source, out, drawer, portrait.max_bytes)
    typer.echo(f"{out}: drawn{f'; {len(failed)} could not be' if failed else ''}")
