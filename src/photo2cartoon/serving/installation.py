"""Where Triton's server is: NVIDIA's own, as in its container, or the one that its wheel carries."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from photo2cartoon.errors import UserError

CONTAINER = Path("/opt/tritonserver")  # where NVIDIA's images have it; TRITON_HOME says another place
ONNX_BACKEND = Path(__file__).with_name("onnxruntime_backend.py")


@dataclass(frozen=True)
class Triton:
    """A server that is installed.

    Args:
        root: holds `bin/tritonserver` and `caches`.
        libraries: folders that it needs libraries from.
        native: whether it has backends of its own; the wheel's has one for python only.
    """

    root: Path
    libraries: tuple[Path, ...]
    native: bool

    def backends(self, folder: Path) -> Path:
        """The folder of backends; where the server has not got them, they are put together in `folder`."""
        return self.root / "backends" if self.native else _install_backends(self.root, folder)

    def environment(self) -> Mapping[str, str]:
        """This process's, and what the server needs beside."""
        libraries = [*map(str, self.libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            # Stubs take their interpreter from PATH and their packages from its environment.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }


def find_triton() -> Triton:
    """The server of this machine.

    Raises:
        UserError: there is none, or something it needs is missing; the message says what to install.
    """
    root = Path(os.environ.get("TRITON_HOME", CONTAINER))
    if (root / "bin/tritonserver").exists() and (root / "backends/onnxruntime").is_dir():
        return Triton(root, (), native=True)
    check_machine()
    wheel = _wheel()
    libraries = wheel.parent / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    return Triton(wheel / "tritonserver", libraries, native=False)


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


def _install_backends(source: Path, folder: Path) -> Path:
    """The python backend, and an onnxruntime backend made of it, as Triton wants them: copies, not links."""
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


def _wheel() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None:
        raise UserError("Triton: the package nvidia-pytriton, which carries the server, is not installed; `make env`")
    return Path(spec.submodule_search_locations[0])
