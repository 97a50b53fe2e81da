"""MLflow tracking: one run from training to export, with its images.

By default everything is stored in `var/` of the project, in sqlite; MLFLOW_TRACKING_URI selects a server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.files import local_folder

EXPERIMENT = "photo2cartoon"
URI_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri() -> str:
    """Return the URI where runs are tracked."""
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{(local_folder() / 'mlflow.db').resolve()}"


def track_at(uri: str) -> None:
    """Set the tracking URI from now on; an empty one leaves it unchanged."""
    if uri:
        os.environ[URI_VARIABLE] = uri


def connect():
    """Return the mlflow module, configured and quiet. The import is late because it takes seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    # Transfer through the server: the address of its object storage is often unknown outside its network.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    warnings.filterwarnings("ignore", module="mlflow|alembic")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    return mlflow


def unreachable(error: Exception) -> UserError:
    """Make a one-line error that names the server and what MLflow could not do."""
    return UserError(f"MLflow at {tracking_uri()}: {error}")


class Run:
    """A run that stages write to, one after another.

    Args:
        client: `mlflow.MlflowClient`.
        run_id: id of an existing run.
    """

    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self._monitor: Any = None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested sections are flattened with dots."""
        for key, value in flatten(values).items():
            self.client.log_param(self.run_id, key, value)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics at a step."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        metrics = [Metric(key, float(value), now, step) for key, value in values.items()]
        self.client.log_batch(self.run_id, metrics=metrics, synchronous=True)

    def image(self, rgb: Any, key: str, step: int) -> None:
        """Log an image, uint8 RGB; images with the same key get a slider over steps."""
        self.client.log_image(self.run_id, rgb, key=key, step=step)

    def files(self, path: Path, folder: str) -> None:
        """Log a file, or everything in a folder, below `folder` in the run's artifacts."""
        log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        log(self.run_id, str(path), folder)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        for key, value in values.items():
            self.client.set_tag(self.run_id, key, value)

    def watch_machine(self) -> None:
        """Log CPU, memory, disk, network and GPU use every ten seconds until the run is finished.

        MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL changes the interval.
        MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false turns it off.
        """
        from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as WANTED
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if not WANTED.is_set() or WANTED.get():
            self._monitor = SystemMetricsMonitor(self.run_id, resume_logging=True)
            self._monitor.start()

    def resume(self) -> None:
        """Mark the run as running, whether its process was lost or ended."""
        self.client.update_run(self.run_id, status="RUNNING")

    def finish(self, status: str = "FINISHED") -> None:
        """Mark the run as ended: FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        self.client.set_terminated(self.run_id, status)


def start_run(name: str) -> Run:
    """Start a new run.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow = connect()
    client = mlflow.MlflowClient()
    try:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            experiment = found.experiment_id
        else:
            uri = tracking_uri()
            # A database does not say where artifacts go; the folder beside it is where a person would look.
            local = uri.startswith("sqlite:///")
            place = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri() if local else None
            experiment = client.create_experiment(EXPERIMENT, artifact_location=place)
        return Run(client, client.create_run(experiment, run_name=name).info.run_id)
    except (mlflow.MlflowException, OSError) as error:
        raise unreachable(error) from None


def find_run(run_id: str | None, name: str) -> Run:
    """Return the run that an earlier stage started, or a new one if it is gone, as after deleting the database."""
    mlflow = connect()
    client = mlflow.MlflowClient()
    if run_id:
        with contextlib.suppress(mlflow.MlflowException):
            return Run(client, client.get_run(run_id).info.run_id)
    return start_run(name)


def close_run(run_id: str, status: str) -> None:
    """End a run that is still marked as running, because its process was lost; do nothing for any other.

    Args:
        run_id: id of the run; MLflow may have forgotten it.
        status: FINISHED, FAILED or KILLED.
    """
    mlflow = connect()
    client = mlflow.MlflowClient()
    with contextlib.suppress(mlflow.MlflowException):
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, status)


def given_run() -> str | None:
    """Return the id of the run that Kubeflow's MLflow plugin made for this step, or None."""
    return os.environ.get("MLFLOW_RUN_ID") or None


def close_runs(kubeflow_run: str, status: str) -> list[str]:
    """End the runs of a Kubeflow run that are still marked as running, because their process was lost.

    Args:
        kubeflow_run: id of the Kubeflow run, by which they are tagged.
        status: FINISHED, FAILED or KILLED.

    Returns:
        Ids of the runs that were ended.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow = connect()
    client = mlflow.MlflowClient()
    try:
        found = client.get_experiment_by_name(EXPERIMENT)
        experiments = {found.experiment_id} if found else set()
        experiments |= {os.environ["MLFLOW_EXPERIMENT_ID"]} if os.environ.get("MLFLOW_EXPERIMENT_ID") else set()
        if not experiments:
            return []
        chosen = f"tags.kubeflow_run = '{kubeflow_run}' and attributes.status = 'RUNNING'"
        running = client.search_runs(sorted(experiments), chosen)
        for run in running:
            client.set_terminated(run.info.run_id, status)
        return [run.info.run_id for run in running]
    except mlflow.MlflowException as error:
        raise unreachable(error) from None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings into one, with keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


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
        "127.0.0.1",
        "--port",
        str(port),
    ]
    print(f"MLflow: http://127.0.0.1:{port}  (Ctrl-C stops)", flush=True)
    os.execve(sys.executable, command, environment)
