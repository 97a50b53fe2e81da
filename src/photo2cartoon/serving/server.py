"""NVIDIA's Triton server out of its wheel, on loopback, with explicit model control."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.serving.repository import ENSEMBLE, list_versions

HOST = "127.0.0.1"
ONNX_BACKEND = Path(__file__).with_name("onnxruntime_backend.py")
START_SECONDS, STOP_SECONDS = 120, 30


@dataclass(frozen=True)
class Ports:
    """Where the server listens, on loopback."""

    grpc: int = 8001
    http: int = 8000
    metrics: int = 8002


def free_ports() -> Ports:
    """Three ports that nothing listens on just now."""
    sockets = [socket.socket() for _ in range(3)]
    try:
        for item in sockets:
            item.bind((HOST, 0))
        return Ports(*(item.getsockname()[1] for item in sockets))
    finally:
        for item in sockets:
            item.close()


class Server:
    """A running server; use it in a `with` block.

    Args:
        repository: the model repository, with at least one version of the generator.
        run_folder: for backends and the log; made when it is missing.
        ports: where to listen.
        weights: folder that the `assets` stage filled.
        params: resolved params file for the portrait model; the defaults when None.

    Raises:
        UserError: a port is taken, a version is missing, or the server does not come up.
    """

    def __init__(self, repository: Path, run_folder: Path, ports: Ports, weights: Path, params: Path | None) -> None:
        self.repository, self.run_folder, self.ports = repository.resolve(), run_folder.resolve(), ports
        self.weights, self.params = weights.resolve(), params.resolve() if params else None
        self.log = self.run_folder / "triton.log"
        self.process: subprocess.Popen | None = None

    @property
    def grpc(self) -> str:
        """HOST:PORT for gRPC."""
        return f"{HOST}:{self.ports.grpc}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until the ensemble answers."""
        check_machine()
        if not list_versions(self.repository):
            raise UserError(f"{self.repository}/generator: holds no version yet; `p2c promote` puts one there")
        for name, port in vars(self.ports).items():
            _check_free(name, port)
        wheel = _wheel()
        backends = install_backends(wheel, self.run_folder / "backends")
        command = [
            str(wheel / "tritonserver/bin/tritonserver"),
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            f"--cache-directory={wheel / 'tritonserver/caches'}",
            "--model-control-mode=explicit",
            f"--load-model={ENSEMBLE}",
            f"--backend-config=python,shm-region-prefix-name=p2c-{os.getpid()}-",
            "--exit-timeout-secs=20",
            *(f"--{kind}-address={HOST}" for kind in ("grpc", "http", "metrics")),
            f"--grpc-port={self.ports.grpc}",
            f"--http-port={self.ports.http}",
            f"--metrics-port={self.ports.metrics}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(wheel),
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
        """Let it finish what it is answering, then end it and everything it started."""
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

    def _environment(self, wheel: Path) -> Mapping[str, str]:
        libraries = [str(wheel.parent / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
            # Stubs take their interpreter from PATH and their packages from its environment.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "P2C_WEIGHTS": str(self.weights),
            "P2C_PARAMS": str(self.params or ""),
        }


def install_backends(wheel: Path, folder: Path) -> Path:
    """The python backend, and an onnxruntime backend made of it, as Triton wants them: copies, not links."""
    source = wheel / "tritonserver"
    stub = source / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.rmtree(folder, ignore_errors=True)
    python, onnx = folder / "python", folder / "onnxruntime"
    python.mkdir(parents=True)
    onnx.mkdir()
    backend = source / "backends/python"
    shutil.copy2(backend / "libtriton_python.so", python)
    shutil.copy2(backend / "triton_python_backend_utils.py", python)
    shutil.copy2(stub / "triton_python_backend_stub", python)
    shutil.copy2(backend / "libtriton_python.so", onnx)
    shutil.copy2(ONNX_BACKEND, onnx / "model.py")
    return folder


def _end_with_parent() -> None:
    """In the child: be told to stop when whoever started us is gone, even by SIGKILL, so that no server is left over."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _wheel() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None:
        raise UserError("Triton: the package nvidia-pytriton, which carries the server, is not installed; `make env`")
    return Path(spec.submodule_search_locations[0])


def check_machine() -> None:
    """Can a server run here?

    Raises:
        UserError: something it needs is missing; the message says what to install.
    """
    import numpy

    _wheel()
    _libpython()
    if int(numpy.__version__.split(".")[0]) >= 2:
        raise UserError(
            f"Triton's python backend gives wrong numbers under numpy {numpy.__version__}; `make env` installs 1.26"
        )


def _libpython() -> None:
    """The stub that runs python models is linked to libpython, which some systems package apart from python."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    for place in (Path(sysconfig.get_config_var("LIBDIR") or "") / name, name):
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(place))
            return
    package = name.split(".so", maxsplit=1)[0]
    raise UserError(
        f"Triton's python backend needs {name}, which the Python at {sys.base_prefix} comes without: `apt-get install"
        f" {package}` (Debian, Ubuntu), or `make env PYTHON=…` with a Python that has it"
    )


def _check_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UserError(f"port {port} on {HOST} is taken; choose another with --{name}-port") from None
