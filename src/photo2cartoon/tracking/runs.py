"""MLflow runs: a parent for the whole, from training to export, and a child for each stage.

A stage opens its run with `begin`, as a context manager or by hand. The id of the parent goes from stage to stage in
`run.json` and `selection.json`. A run whose process was lost is ended by the next stage on the same machine.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from photo2cartoon.tracking.client import EXPERIMENT, answering, experiment, open_client, unreachable
from photo2cartoon.tracking.lineage import lineage
from photo2cartoon.tracking.outbox import Outbox, apply, deliver
from photo2cartoon.tracking.process import PROCESS_TAG, identity, is_lost

PARENT_TAG, STAGE_TAG = "mlflow.parentRunId", "stage"
GIVEN_RUN, GIVEN_EXPERIMENT = "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"  # by Kubeflow's MLflow plugin


class Run:
    """A run to write to.

    Args:
        client: `mlflow.MlflowClient`.
        run_id: id of an existing run.
        outbox: sends metrics, images, tags and the end from a thread; None sends them at once.
    """

    def __init__(self, client: Any, run_id: str, outbox: Outbox | None = None) -> None:
        self.client, self.run_id, self.outbox = client, run_id, outbox
        self._monitor: Any = None

    def _send(self, kind: str, **values: Any) -> None:
        from mlflow.utils.time import get_current_time_millis

        record = {"kind": kind, "run": self.run_id, "time": get_current_time_millis(), **values}
        if self.outbox is not None:
            self.outbox.put(record)
        else:
            apply(self.client, record)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, flat: nested sections are joined with dots."""
        from mlflow.entities import Param

        flat = [Param(key, str(value)) for key, value in flatten(values).items()]
        for first in range(0, len(flat), 100):  # MLflow's limit for a call
            self.client.log_batch(self.run_id, params=flat[first : first + 100], synchronous=True)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics at a step."""
        self._send("metrics", values={key: float(value) for key, value in values.items()}, step=step)

    def image(self, png: bytes, key: str, step: int) -> None:
        """Log an image, an encoded PNG; images with the same key get a slider over steps."""
        self._send("image", png=base64.b64encode(png).decode(), key=key, step=step)

    def files(self, path: Path, folder: str) -> None:
        """Log a file, or everything in a folder, below `folder` in the run's artifacts."""
        self._send("files", path=str(path), folder=folder)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._send("tags", values=dict(values))

    def note(self, topic: str, text: str) -> None:
        """Set one line of the run's description, the one of this topic."""
        self._send("note", topic=topic, text=text)

    def inputs(self, datasets: Mapping[str, Any]) -> None:
        """Name the datasets that the run reads, keyed by what for: `training`, `evaluation`."""
        from mlflow.entities import DatasetInput, InputTag
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

        made = [DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, key)]) for key, dataset in datasets.items()]
        self.client.log_inputs(self.run_id, datasets=made)

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
        """Mark the run as running, by this process."""
        self.client.update_run(self.run_id, status="RUNNING")
        self.client.set_tag(self.run_id, PROCESS_TAG, identity())

    def finish(self, status: str = "FINISHED") -> None:
        """Mark the run as ended: FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        self._send("end", status=status)


class Stage:
    """The run of a stage, and the parent that it belongs to.

    Args:
        run: the stage's own run.
        whole: the parent.
        ends_whole: whether the parent ends with the stage; Kubeflow's plugin ends its own.
    """

    def __init__(self, run: Run, whole: Run, ends_whole: bool) -> None:
        self.run, self.whole, self._ends_whole = run, whole, ends_whole

    def finish(self, status: str = "FINISHED") -> None:
        """Mark both as ended, and send what an outbox still holds."""
        self.run.finish(status)
        if self._ends_whole:
            self.whole.finish(status)
        if self.run.outbox is not None:
            self.run.outbox.close()


def begin(name: str, whole: str | None, title: str, resume: str | None = None, outbox: bool = False) -> Stage:
    """Start the run of a stage, or resume it.

    Args:
        name: name of the stage.
        whole: id of the parent that an earlier stage started; a new one is started without it, or if it is gone, as
            after deleting the database.
        title: name for a new parent.
        resume: id of the stage's own run, to resume it.
        outbox: send from a thread, so that training never waits for a server.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        deliver(client)
        close_lost(client)
        given = given_run()
        if given:
            parent = client.get_run(given).data.tags.get(PARENT_TAG, given)
            run_id, ends_whole = given, False
        else:
            parent = whole if whole and exists(client, whole) else _create(client, title)
            run_id = resume if resume and exists(client, resume) else _create(client, name, parent)
            ends_whole = True
        sender = Outbox(client, run_id) if outbox else None
        stage = Stage(Run(client, run_id, sender), Run(client, parent, sender), ends_whole)
        if given:
            stage.run.tags(lineage())
        else:
            stage.run.resume()
            stage.whole.resume()
        return stage


@contextlib.contextmanager
def stage(name: str, whole: str | None, title: str) -> Iterator[Stage]:
    """Begin a stage's run and end it with the block: FINISHED, KILLED by Ctrl-C, FAILED by anything else.

    Raises:
        UserError: MLflow cannot be reached, before or within the block.
    """
    from mlflow import MlflowException
    from requests import RequestException  # of files that are logged, as when a proxy refuses their size

    begun = begin(name, whole, title)
    try:
        yield begun
        begun.finish()
    except BaseException as error:
        with contextlib.suppress(MlflowException, RequestException):
            begun.finish("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
        if isinstance(error, MlflowException | RequestException):
            raise unreachable(error) from None
        raise


def _create(client: Any, name: str, parent: str | None = None) -> str:
    """Start a run with the tags that MLflow's page shows; return its id."""
    import getpass

    made = lineage()
    tags = {PROCESS_TAG: identity(), "mlflow.source.type": "LOCAL", "mlflow.source.name": "photo2cartoon", **made}
    with contextlib.suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    if re.match(r"[0-9a-f]{40}", made["git_commit"]):
        tags["mlflow.source.git.commit"] = made["git_commit"]
    if os.environ.get("DVC_EXP_NAME"):
        tags["dvc_experiment"] = os.environ["DVC_EXP_NAME"]
    if parent:
        tags |= {PARENT_TAG: parent, STAGE_TAG: name, "mlflow.source.name": f"p2c {name}"}
        number = client.get_run(parent).info.experiment_id
    else:
        number = experiment(client)
    return client.create_run(number, run_name=name, tags=tags).info.run_id


def exists(client: Any, run_id: str) -> bool:
    """Return whether MLflow has a run that is not deleted."""
    from mlflow import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def given_run() -> str | None:
    """Return the id of the run that Kubeflow's MLflow plugin made for this step, or None."""
    return os.environ.get(GIVEN_RUN) or None


def close_lost(client: Any) -> list[str]:
    """End the runs that are marked as running by a process of this machine that is gone; return their ids."""
    lost = [run for run in _running(client) if (by := run.data.tags.get(PROCESS_TAG)) and is_lost(by)]
    for run in lost:
        client.set_terminated(run.info.run_id, "KILLED")
    return [run.info.run_id for run in lost]


def close_runs(kubeflow: str, status: str) -> list[str]:
    """End the runs of a Kubeflow run that are still marked as running, because their process was lost.

    Args:
        kubeflow: id of the Kubeflow run, by which they are tagged.
        status: FINISHED, FAILED or KILLED.

    Returns:
        Ids of the runs that were ended.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        running = _running(client, f" and tags.kubeflow_run = '{kubeflow}'")
        for run in running:
            client.set_terminated(run.info.run_id, status)
        return [run.info.run_id for run in running]


def _running(client: Any, also: str = "") -> list[Any]:
    found = client.get_experiment_by_name(EXPERIMENT)
    experiments = {found.experiment_id} if found else set()
    experiments |= {os.environ[GIVEN_EXPERIMENT]} if os.environ.get(GIVEN_EXPERIMENT) else set()
    return client.search_runs(sorted(experiments), f"attributes.status = 'RUNNING'{also}") if experiments else []


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings into one, with keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
