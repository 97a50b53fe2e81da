"""MLflow's own web page for the runs of this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.ports import LOOPBACK
from photo2cartoon.tracking.client import VIEW, experiment, open_client, tracking_uri


def run_page(port: int) -> None:
    """Replace this process with MLflow's web page for the local runs, on loopback.

    Raises:
        UserError: nothing was tracked yet, or runs are tracked on another server.
    """
    uri = tracking_uri()
    if not uri.startswith("sqlite:///"):
        raise UserError(f"runs are tracked at {uri}: open that page")
    if not Path(uri.removeprefix("sqlite:///")).exists():
        raise UserError("nothing was tracked here yet: `make demo` or `dvc repro` does")
    page = f"http://{LOOPBACK}:{port}/#/experiments/{experiment(open_client())}/models?{VIEW}"
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # MLflow's job runner needs 240 MB and serves features that are not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--host",
        LOOPBACK,
        "--port",
        str(port),
    ]
    print(f"MLflow: {page}  (Ctrl-C stops)", flush=True)
    os.execve(sys.executable, command, environment)
