"""Runs a Triton server with explicit model control, on loopback by default."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.layout import ENSEMBLE
from photo2cartoon.ports import LOOPBACK, free_ports
from photo2cartoon.serving.installation import find_triton
from photo2cartoon.serving.storage import storage_at

START_SECONDS, STOP_SECONDS = 120, 30


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
        params: resolved params file for the portrait model; None selects the defaults.
        host: address to listen on; use 0.0.0.0 (all interfaces) only behind a firewall or an authenticating proxy.

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
        host: str = LOOPBACK,
    ) -> None:
        self.repository, self.run_folder, self.ports = repository, run_folder.resolve(), ports
        self.weights, self.params = weights.resolve(), params.resolve() if params else None
        self.host = host
        self.log = self.run_folder / "triton.log"
        self.process: subprocess.Popen | None = None

    @property
    def grpc(self) -> str:
        """HOST:PORT of the gRPC endpoint, as seen from this machine."""
        return f"{LOOPBACK if self.host == '0.0.0.0' else self.host}:{self.ports.grpc}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until the ensemble is ready."""
        triton = find_triton()
        models = storage_at(self.repository)
        if not models.versions():
            raise UserError(f"{models}/generator: holds no version yet; `p2c promote` puts one there")
        for name, port in vars(self.ports).items():
            _check_free(self.host, name, port)
        self.run_folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(triton.root / "bin/tritonserver"),
            f"--model-repository={models.for_triton()}",
            f"--backend-directory={triton.backends(self.run_folder / 'backends')}",
            f"--cache-directory={triton.root / 'caches'}",
            "--model-control-mode=explicit",
            f"--load-model={ENSEMBLE}",
            f"--backend-config=python,shm-region-prefix-name=p2c-{os.getpid()}-",
            "--exit-timeout-secs=20",
            *(f"--{kind}-address={self.host}" for kind in ("grpc", "http", "metrics")),
            f"--grpc-port={self.ports.grpc}",
            f"--http-port={self.ports.http}",
            f"--metrics-port={self.ports.metrics}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**triton.environment(), "P2C_WEIGHTS": str(self.weights), "P2C_PARAMS": str(self.params or "")},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

        deadline = time.monotonic() + START_SECONDS
        client = InferenceServerClient(self.grpc)
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise UserError(f"Triton ended while starting: {self._last_error()} (log: {self.log})")
            try:
                if client.is_model_ready(ENSEMBLE):
                    return
            except InferenceServerException:
                pass
            time.sleep(0.2)
        raise UserError(f"Triton was not ready after {START_SECONDS} s (log: {self.log})")

    def _last_error(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("E") or line.startswith("error")]
        return (errors or lines or ["no output"])[-1].split("] ", 1)[-1].strip('"')

    def stop(self) -> None:
        """Let requests in progress finish, then end the server and every process that it started."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for leftover in Path("/dev/shm").glob(f"p2c-{os.getpid()}-*"):
            leftover.unlink(missing_ok=True)
        self.process = None


def _end_with_parent() -> None:
    """Run in the child: request SIGTERM when the parent dies, even by SIGKILL, to leave no orphaned server."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _check_free(host: str, name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise UserError(f"port {port} on {host} is taken; choose another with --{name}-port") from None
