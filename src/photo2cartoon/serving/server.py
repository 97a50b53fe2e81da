"""Runs a Triton server with explicit model control, on loopback by default."""

from __future__ import annotations

import compileall
import contextlib
import errno
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import make_folder
from photo2cartoon.cores import usable_cores
from photo2cartoon.errors import UserError
from photo2cartoon.layout import READY
from photo2cartoon.portrait.sandbox import KEEP_MEMORY
from photo2cartoon.ports import LOOPBACK, free_ports
from photo2cartoon.processes import end_with_parent
from photo2cartoon.progress import note
from photo2cartoon.serving import slots
from photo2cartoon.serving.backend_choice import ONNXRUNTIME, Backend, resolve_backend
from photo2cartoon.serving.call import WARM_UP
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.connection import SECURE, TOKEN, connect_here, tls_options, token_option
from photo2cartoon.serving.control import VARIABLE, Control, restrictions, server_key
from photo2cartoon.serving.installation import Triton, find_triton
from photo2cartoon.serving.plan import LATENCY, Profile, configurations, instance_threads
from photo2cartoon.serving.storage import Folder, Storage, storage_at
from photo2cartoon.serving.stub_watch import Watch

START_SECONDS, STOP_SECONDS, LOOK_SECONDS = 300, 30, 5
OUTPUT = "-"
ENGINES = "engines"  # of TensorRT, in the run folder
WAITING = 16  # photographs in work or waiting, for each core; more are refused


@dataclass(frozen=True)
class Ports:
    """Ports that the server listens on."""

    grpc: int = 8001
    http: int = 8000
    metrics: int = 8002

    @classmethod
    def free(cls) -> Ports:
        """Choose three ports that are free at the moment."""
        return cls(*free_ports(3))


class Server:
    """A running Triton server; use it in a `with` block.

    Args:
        repository: the model repository, a folder or an object storage URL, with at least one version of the generator.
        run_folder: holds the backends and the log; created if missing.
        ports: ports to listen on.
        weights: folder that the `assets` stage filled.
        params: resolved params file for the portrait model; None is params.yaml of the working directory, or the defaults.
        host: address to listen on; use 0.0.0.0 (all interfaces) only behind a firewall or an authenticating proxy.
        http: whether to answer HTTP beside gRPC; None does on loopback only.
        profile: whether one request gets all cores, or each core a request.
        waiting: photographs in work or waiting at most; None is `WAITING` for each core.
        tls: files of a certificate and its key, both PEM, for TLS on the gRPC port; None is without.
        token: that a request for cartoons has to send; None asks for none.
        backend: what runs the generator; `auto` measures, see `backend_choice`.
        log: file of the server's log; `-` is this process's output; None is `triton.log` in the run folder.

    Raises:
        UserError: a port is taken, a version is missing, or the server does not start.
    """

    def __init__(
        self,
        repository: Path | str,
        run_folder: Path,
        ports: Ports,
        weights: Path,
        params: Path | None,
        *,
        host: str = LOOPBACK,
        http: bool | None = None,
        profile: Profile = LATENCY,
        waiting: int | None = None,
        tls: tuple[Path, Path] | None = None,
        token: str | None = None,
        backend: Backend = ONNXRUNTIME,
        log: str | None = None,
    ) -> None:
        self.repository, self.run_folder, self.ports = repository, run_folder.resolve(), ports
        self.weights, self.params = weights.resolve(), params.resolve() if params else None
        self.host, self.http = host, host == LOOPBACK if http is None else http
        self.profile, self.cores = profile, usable_cores()
        self.waiting = waiting or WAITING * self.cores
        self.tls, self.token, self.backend = tls, token, backend
        self.key = ""
        self.log = self.run_folder / "triton.log" if log is None else None if log == OUTPUT else Path(log).resolve()
        self.process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._log_is_begun = False

    @property
    def grpc(self) -> str:
        """Address of the gRPC endpoint, as seen from this machine."""
        return f"{SECURE if self.tls else ''}{LOOPBACK if self.host == '0.0.0.0' else self.host}:{self.ports.grpc}"

    def connection(self) -> Any:
        """Open a connection to the running server from this machine, whatever name its certificate is for."""
        return connect_here(self.grpc, self.tls and self.tls[0], self.token)

    @property
    def where(self) -> str:
        """Where the log is, in words."""
        return f"log: {self.log}" if self.log else "log: above"

    @property
    def _prefix(self) -> str:
        """Prefix of the names of this server's files in shared memory."""
        return f"p2c-{os.getpid()}-{self.ports.grpc}-"

    @property
    def _places(self) -> Path:
        return Path(f"/dev/shm/{self._prefix}slots")

    def slots(self) -> slots.Slots:
        """Return the places for photographs of the running server."""
        return slots.Slots(self._places)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, load the models as the machine asks for, and draw a first picture."""
        triton = find_triton()
        models = storage_at(self.repository)
        if not models.versions():
            raise UserError(f"{models}/generator: holds no version yet; `p2c promote` puts one there")
        for name, port in vars(self.ports).items():
            if name != "http" or self.http:
                _check_free(self.host, name, port)
        if self.tls and self.http and self.host != LOOPBACK:
            raise UserError("serve: Triton has no TLS for HTTP: leave out --http, or put a TLS proxy in front")
        tls = tls_options(self.tls)
        if self.host != LOOPBACK:
            _warn(triton.native, bool(self.token))
        make_folder(self.run_folder)
        (self.run_folder / READY).unlink(missing_ok=True)
        self.key = server_key(self.run_folder)
        threads = instance_threads(self.profile, self.cores)
        backend = resolve_backend(
            self.backend, triton.native, lambda: models.graph(models.versions()[-1]), threads, self.run_folder
        )
        configs = configurations(models, self.profile, self.cores, backend, self.run_folder / ENGINES)
        if isinstance(models, Folder):
            # Byte code that is written while a model loads counts as a change of it: the ensemble's load would then load the
            # model again, with its file's configuration.
            compileall.compile_dir(models.path, quiet=2)
        command = self._command(triton, models, tls)
        environment = {
            **KEEP_MEMORY,  # Triton's stubs would spend a fifth of a portrait's time on fresh pages
            **triton.environment(),
            "P2C_WEIGHTS": str(self.weights),
            "P2C_PARAMS": str(self.params or ""),
            slots.VARIABLE: str(self._places),
        }
        for secret in (VARIABLE, TOKEN):  # the models have no use for them
            environment.pop(secret, None)
        try:
            slots.Slots.create(self._places, self.waiting)
            process = self._launch(command, environment)
            self._wait(process)
            control = Control(self.grpc, self.key, self.connection())
            for model, config in configs.items():
                control.load(model, config)
            # An answer is enough: limits of params.yaml may refuse the picture.
            Client(self.grpc, self.connection()).cartoonize_all([WARM_UP.read_bytes()])
            (self.run_folder / READY).touch()
            instances = {
                model: config["instance_group"][0]["count"]
                for model, config in configs.items()
                if "instance_group" in config
            }
            self._watch = Watch(process.pid, instances, control.restart, self.slots().forget)
        except BaseException:
            self.stop()
            raise

    def _command(self, triton: Triton, models: Storage, tls: list[str]) -> list[str]:
        return [
            str(triton.root / "bin/tritonserver"),
            f"--model-repository={models.for_triton()}",
            f"--backend-directory={triton.backends(self.run_folder / 'backends')}",
            f"--cache-directory={triton.root / 'caches'}",
            "--model-control-mode=explicit",
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            "--exit-timeout-secs=20",
            f"--grpc-address={self.host}",
            f"--grpc-port={self.ports.grpc}",
            f"--metrics-address={self.host}",
            f"--metrics-port={self.ports.metrics}",
            *(
                ("--http-address=" + self.host, f"--http-port={self.ports.http}")
                if self.http
                else ("--allow-http=false",)
            ),
            *restrictions(self.key, self.http),
            *(token_option(kind, self.token) for kind in ("grpc", *(["http"] * self.http)) if self.token),
            *tls,
        ]

    def _launch(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as stack:
            log = None
            if self.log is not None:
                try:
                    if not self._log_is_begun:
                        self.log.write_bytes(b"")
                    self._log_is_begun = True
                    log = stack.enter_context(self.log.open("ab"))  # appended to, so that it can be rotated by copying
                except OSError as error:
                    raise UserError(f"{self.log}: the log cannot be written: {error.strerror}") from None
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: end_with_parent(signal.SIGTERM),
            )
        return self.process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        from tritonclient.utils import InferenceServerException

        deadline, client = time.monotonic() + START_SECONDS, self.connection()
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise UserError(f"Triton ended while starting: {self._last_error()} ({self.where})")
            try:
                if client.is_server_live(client_timeout=LOOK_SECONDS):
                    return
            except InferenceServerException as error:
                if self.tls and (failed := re.search(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)", str(error))):
                    raise UserError(f"{self.tls[0]}: fails its own check: {failed[1]}") from None
            time.sleep(0.2)
        raise UserError(f"Triton was not ready after {START_SECONDS} s ({self.where})")

    def _last_error(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log else ["see above"]
        errors = [line for line in lines if line.startswith("E") or line.startswith("error")]
        return (errors or lines or ["no output"])[-1].split("] ", 1)[-1].strip('"')

    def stop(self) -> None:
        """Let requests in progress finish, then end the server and every process that it started."""
        (self.run_folder / READY).unlink(missing_ok=True)
        if self._watch:
            self._watch.stop()
            self._watch = None
        if self.process:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for leftover in Path("/dev/shm").glob(f"{self._prefix}*"):
            leftover.unlink(missing_ok=True)
        self.process = None


def _warn(native: bool, token: bool) -> None:
    """Note what a server lacks that others can reach."""
    if not native:
        note(
            "serve: the wheel's Triton 2.51 gets no security updates: use it on a machine of your own, and NVIDIA's image"
            " where others reach it"
        )
    if not token:
        note("serve: anyone who can reach this server can use it; --token-file asks callers for a token")


def _check_free(host: str, name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(f"port {port} on {host} is taken; choose another with --{name}-port") from None
            raise UserError(f"serve: cannot listen on {host}, port {port}: {error.strerror or error}") from None
