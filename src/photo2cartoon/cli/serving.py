"""Commands that serve: promote a version, follow the champion, roll back, list versions, run Triton."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import typer

from photo2cartoon.cli.common import MODELS, STAGES, ParamsFile, Repository, WeightsFolder, app, load_params
from photo2cartoon.errors import UserError
from photo2cartoon.layout import MODEL_REPOSITORY, TRITON_RUN, WEIGHTS
from photo2cartoon.urls import is_url

ServerOption = Annotated[str | None, typer.Option(help="Also load it into the Triton server at HOST:PORT.")]
CERTIFICATE = "P2C_TLS_CERTIFICATE"
KSERVE = "KServe"
KeyFile = Annotated[
    Path | None,
    typer.Option(show_default="P2C_TRITON_KEY, or var/triton/control.key", help="File with the key of that server."),
]


KServe = Annotated[
    str | None,
    typer.Option(
        help="Deploy to this InferenceService of KServe instead; --repository is an object storage URL then.",
        rich_help_panel=KSERVE,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        show_default="the pod's, or kubectl's", help="Namespace of the InferenceService.", rich_help_panel=KSERVE
    ),
]


@app.command(rich_help_panel=STAGES)
def promote(
    params: ParamsFile = None,
    repository: Repository = MODEL_REPOSITORY,
    server: ServerOption = None,
    key_file: KeyFile = None,
    init: Annotated[
        bool, typer.Option("--init", help="Initialise an empty repository with the model configurations.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep running, and deploy whenever somebody moves the alias 'champion'.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, max=60, help="With --follow: seconds between looks at MLflow.")] = 10,
    webhook: Annotated[
        str | None,
        typer.Option(help="With --follow: http://HOST:PORT at which MLflow reaches this process, to act at once."),
    ] = None,
    kserve: KServe = None,
    namespace: Namespace = None,
    canary: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=99,
            help="Percent of the calls that the version gets first. Without it: all, when its pods are ready.",
            rich_help_panel=KSERVE,
        ),
    ] = None,
    window: Annotated[
        float, typer.Option(min=30, help="Seconds for which a canary is observed.", rich_help_panel=KSERVE)
    ] = 600,
    prometheus: Annotated[
        str | None,
        typer.Option(
            envvar="P2C_PROMETHEUS",
            help="Address of the Prometheus that scrapes the servers: a canary is judged by its numbers.",
            rich_help_panel=KSERVE,
        ),
    ] = None,
    furnish: Annotated[bool, typer.Option("--furnish", hidden=True)] = False,
) -> None:
    """Deploy the version that has the alias 'champion' in MLflow.

    To a model repository, and with --server into a running Triton; or with --kserve to an InferenceService, where a canary
    gets a share of the calls and then, if errors, times and photographs hold (`rollout` in params.yaml), all of them.
    """
    from photo2cartoon.progress import note
    from photo2cartoon.serving import repository as serving
    from photo2cartoon.serving.control import find_key
    from photo2cartoon.serving.fleet import Fleet

    if furnish:
        note("--furnish is called --init now; the old name works for one more release")
    if webhook and not follow:
        raise UserError("promote: --webhook is used with --follow")
    section = load_params(params).select
    if kserve:
        if server or init or furnish:
            raise UserError("promote: --server and --init are not used with --kserve")
        deploy, place = _to_kserve(kserve, namespace, repository, params, canary, window, prometheus, not follow)
        catch_up = None
    elif canary or namespace:
        raise UserError("promote: --canary and --namespace are used with --kserve")
    else:
        if init or furnish:
            if not MODEL_REPOSITORY.is_dir():
                raise UserError(
                    f"promote: --init copies {MODEL_REPOSITORY}, which a clone or a style's project has: run it there"
                )
            serving.init_repository(repository, MODEL_REPOSITORY)
        key = find_key(key_file)
        deploy, place = (lambda: serving.promote(repository, section, server, key)), str(repository)
        catch_up = Fleet(server, key).catch_up if server else None
    if follow:
        from photo2cartoon.serving.champion_follower import follow as run

        run(place, section.model_name, deploy, every, webhook, catch_up, interrupt=bool(kserve))
        return
    version = deploy()
    if kserve:
        typer.echo(f"{place}: version {version} has all calls")
    else:
        typer.echo(f"{repository}/generator/{version}: in place{f', loaded by {server}' if server else ''}")


@app.command(rich_help_panel=MODELS)
def rollback(
    params: ParamsFile = None,
    repository: Repository = MODEL_REPOSITORY,
    server: ServerOption = None,
    key_file: KeyFile = None,
    kserve: KServe = None,
    namespace: Namespace = None,
) -> None:
    """Roll back to the previous champion."""
    if kserve and server:
        raise UserError("rollback: --server is not used with --kserve")
    if namespace and not kserve:
        raise UserError("rollback: --namespace is used with --kserve")
    if kserve:
        from photo2cartoon.rollout.inference_service import InferenceService
        from photo2cartoon.rollout.kserve import rollback as run

        target = InferenceService(kserve, namespace)
        version = run(target, _in_object_storage(repository), load_params(params))
        typer.echo(f"{target}: version {version} has all calls again")
        return
    from photo2cartoon.serving.control import find_key
    from photo2cartoon.serving.repository import rollback as stage

    version = stage(repository, load_params(params).select, server, find_key(key_file))
    typer.echo(f"{repository}/generator/{version}: back in place{f', loaded by {server}' if server else ''}")


def _to_kserve(
    name: str,
    namespace: str | None,
    repository: Path | str,
    params: Path | None,
    canary: int | None,
    window: float,
    prometheus: str | None,
    again: bool,
) -> tuple[Callable[[], int], str]:
    """Return what deploys to an InferenceService, and its name."""
    from photo2cartoon.rollout.inference_service import InferenceService
    from photo2cartoon.rollout.kserve import promote as run

    if canary and not prometheus:
        raise UserError("promote: --canary needs --prometheus (or P2C_PROMETHEUS): by its numbers a canary is judged")
    values, place = load_params(params), _in_object_storage(repository)
    target = InferenceService(name, namespace)
    return (lambda: run(target, place, values, canary, window, prometheus, again)), str(target)


def _in_object_storage(repository: Path | str) -> str:
    if not is_url(repository):
        raise UserError("--kserve: KServe downloads models from object storage: --repository s3://BUCKET/PATH")
    return str(repository)


@app.command(rich_help_panel=MODELS)
def versions(
    params: ParamsFile = None,
    repository: Repository = MODEL_REPOSITORY,
    server: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT of a Triton server to ask; may be repeated.")
    ] = None,
) -> None:
    """List the versions of the model: aliases, scores, and which one each repository and server serves."""
    from photo2cartoon.serving.overview import show

    show(load_params(params).select, repository, server or [])


@app.command(rich_help_panel=MODELS)
def ready(
    server: Annotated[str, typer.Option(help="HOST:PORT of the server's gRPC endpoint.")] = "127.0.0.1:8001",
    tls_certificate: Annotated[
        Path | None,
        typer.Option(envvar=CERTIFICATE, help="The server's certificate, which need not be for this name."),
    ] = None,
) -> None:
    """Exit with 0 if a server is ready and has drawn a picture, for health checks and probes."""
    from photo2cartoon.serving.client import Client
    from photo2cartoon.serving.connection import connect_here

    if not Client(server, connect_here(server, tls_certificate)).has_drawn():
        raise UserError(f"Triton at {server}: has not drawn a picture yet")
    typer.echo(f"Triton at {server}: ready")


@app.command(rich_help_panel=MODELS)
def serve(
    repository: Repository = MODEL_REPOSITORY,
    weights: WeightsFolder = WEIGHTS,
    params: ParamsFile = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; use 0.0.0.0 only behind a firewall or an authenticating proxy.")
    ] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="gRPC port.")] = 8001,
    http: Annotated[
        bool | None, typer.Option("--http/--no-http", show_default="on loopback only", help="Answer HTTP beside gRPC.")
    ] = None,
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="HTTP port.")] = 8000,
    metrics_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Prometheus metrics.")] = 8002,
    profile: Annotated[
        str, typer.Option(help="latency: a request gets all cores; throughput: each core has a request of its own.")
    ] = "latency",
    backend: Annotated[
        str,
        typer.Option(
            help="Runs the generator: onnxruntime; openvino; cuda or tensorrt, in NVIDIA's image; auto: openvino if it is"
            " installed and measurably faster here."
        ),
    ] = "auto",
    waiting: Annotated[
        int | None,
        typer.Option(
            min=1, show_default="16 per core", help="Refuse photographs beyond this number in work or waiting."
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            envvar=CERTIFICATE, help="PEM certificate for TLS on the gRPC port; clients call grpcs://HOST:PORT."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="P2C_TLS_KEY", help="PEM key of --tls-certificate, without a password.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(show_default="P2C_TRITON_TOKEN; no token", help="File with a token that requests have to send."),
    ] = None,
    run_folder: Annotated[
        Path, typer.Option(help="Folder for backends, log, and the key of model control.")
    ] = TRITON_RUN,
    log: Annotated[
        str | None,
        typer.Option(
            envvar="P2C_LOG", show_default="triton.log in --run-folder", help="File of the log, or - for the output."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the first version instead of exiting.")] = False,
) -> None:
    """Serve the promoted model with Triton until Ctrl-C or SIGTERM, on loopback by default."""
    import signal

    from photo2cartoon.assets.collect import ensure
    from photo2cartoon.portrait.maker import required_assets
    from photo2cartoon.serving.backend_choice import BACKENDS, Backend
    from photo2cartoon.serving.connection import SECURE, read_token
    from photo2cartoon.serving.plan import LATENCY, THROUGHPUT, Profile
    from photo2cartoon.serving.repository import init_repository, with_configurations
    from photo2cartoon.serving.server import Ports, Server
    from photo2cartoon.serving.storage import storage_at, wait_for_version
    from photo2cartoon.serving.supervise import supervise

    if profile not in (LATENCY, THROUGHPUT):
        raise UserError(f"serve: --profile '{profile}': expected {LATENCY} or {THROUGHPUT}")
    if backend not in BACKENDS:
        raise UserError(f"serve: --backend '{backend}': expected {', '.join(BACKENDS)}")
    if (tls_certificate is None) != (tls_key is None):
        raise UserError("serve: --tls-certificate and --tls-key are used together")
    use, runner = cast(Profile, profile), cast(Backend, backend)
    tls, token = (tls_certificate, tls_key) if tls_certificate and tls_key else None, read_token(token_file)
    values = load_params(params)
    own = values.assets.folder
    ensure(required_assets(values.portrait), weights, Path(own) if own else None)
    served = with_configurations(repository, MODEL_REPOSITORY, run_folder / "repository")
    init_repository(served, MODEL_REPOSITORY)

    def stop(*_: object) -> None:
        raise SystemExit(0)

    # Installed before the server starts, so that an early signal stops it too.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if wait:
        wait_for_version(storage_at(served))
    ports = Ports(grpc_port, http_port, metrics_port)
    with Server(
        served, run_folder, ports, weights, params,
        host=host, http=http, tls=tls, token=token, waiting=waiting, profile=use, backend=runner, log=log,
    ) as server:  # fmt: skip
        place = server.grpc.removeprefix(SECURE).split(":")[0]
        typer.echo(
            f"Triton serves 'photo2cartoon': gRPC {server.grpc}, metrics http://{place}:{metrics_port}/metrics\n"
            f"Try: p2c cartoonize PHOTO --server {server.grpc} --out cartoon.png    ({server.where}; Ctrl-C stops)"
        )
        supervise(server)
