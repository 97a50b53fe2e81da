"""Finds the Triton server: NVIDIA's own, as in its container, or the one in the nvidia-pytriton wheel."""

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
from photo2cartoon.serving.backend_choice import ONNXRUNTIME, OPENVINO

CONTAINER = Path("/opt/tritonserver")  # location in NVIDIA's images; TRITON_HOME overrides it


@dataclass(frozen=True)
class Triton:
    """An installed Triton server.

    Args:
        root: holds `bin/tritonserver` and `caches`.
        libraries: folders with shared libraries that the server needs.
        native: whether the server ships its own backends; the wheel's ships only the python backend.
    """

    root: Path
    libraries: tuple[Path, ...]
    native: bool

    def backends(self, folder: Path) -> Path:
        """Return the folder of backends; a server without its own gets them installed in `folder`."""
        return self.root / "backends" if self.native else _install_backends(self.root, folder)

    def environment(self) -> Mapping[str, str]:
        """Return this process's environment plus what the server needs."""
        libraries = [*map(str, self.libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            # The python backend's stubs find the interpreter on PATH and packages in its environment.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }


def find_triton() -> Triton:
    """Find the Triton server of this machine.

    Raises:
        UserError: there is none, or a dependency is missing; the message says what to install.
    """
    root = Path(os.environ.get("TRITON_HOME", CONTAINER))
    if (root / "bin/tritonserver").exists() and (root / "backends/onnxruntime").is_dir():
        return Triton(root, (), native=True)
    check_machine()
    wheel = _wheel()
    libraries = wheel.parent / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    return Triton(wheel / "tritonserver", libraries, native=False)


def check_machine() -> None:
    """Check that the wheel's server can run on this machine.

    Raises:
        UserError: a dependency is missing or unsuitable; the message says what to install.
    """
    import numpy

    _wheel()
    _libpython()
    if int(numpy.__version__.split(".")[0]) >= 2:
        raise UserError(
            f"Triton's python backend gives wrong numbers under numpy {numpy.__version__}; `make env` installs 1.26"
        )


def _libpython() -> None:
    """Check for libpython, which the python backend's stub links to and some systems package separately."""
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
    """Install the python backend, and those for graphs that are based on it, as Triton expects: copies, not links."""
    stub = source / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "python"
    python.mkdir(parents=True)
    backend = source / "backends/python"
    shutil.copy2(backend / "libtriton_python.so", python)
    shutil.copy2(backend / "triton_python_backend_utils.py", python)
    shutil.copy2(stub / "triton_python_backend_stub", python)
    for name in (ONNXRUNTIME, OPENVINO):
        (folder / name).mkdir()
        shutil.copy2(backend / "libtriton_python.so", folder / name)
        shutil.copy2(Path(__file__).with_name(f"{name}_backend.py"), folder / name / "model.py")
    return folder


def _wheel() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("Triton: the package nvidia-pytriton, which carries the server, is not installed; `make env`")
    return Path(spec.submodule_search_locations[0])
