"""Follows a TrainJob to its end: its log through restarts, its progress, and why it or a pod of it waits."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubeflow.trainer import TrainerClient
from kubeflow.trainer.constants import constants
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from photo2cartoon.errors import UserError, first_line
from photo2cartoon.progress import note

POLL_SECONDS = 5.0
PENDING_SECONDS = 60.0  # a pod that waits longer than this gets an explanation
DELETED_SECONDS = 120.0
PATIENCE = 24  # polls that may fail in a row, as while an API server restarts
COMPLETE, FAILED, SUSPENDED = constants.TRAINJOB_COMPLETE, constants.TRAINJOB_FAILED, "Suspended"
MAIN = {constants.JOBSET_RJOB_NAME_LABEL: constants.NODE, constants.JOB_INDEX_LABEL: "0"}


@dataclass
class Follower:
    """Follows a job and the pods of its main process, however often they are replaced.

    Args:
        client: the SDK's client.
        name: name of the job.
        poll: seconds between two looks.
    """

    client: TrainerClient
    name: str
    poll: float = POLL_SECONDS
    _shown: dict[str, str] = field(default_factory=dict)  # by container instance, the time of its last shown line
    _explained: set[tuple[str, str]] = field(default_factory=set)
    _last: str = ""
    _progress: str = ""

    def follow(self) -> None:
        """Print the log, progress and reasons of waiting until the job has ended.

        Raises:
            UserError: the job failed or was deleted, or the cluster cannot be asked; with the log's last line.
        """
        fails = 0
        while True:
            try:
                job = self.read()
                pods = self._pods() if job else []
                fails = 0
            except (ApiException, HTTPError) as error:
                fails += 1
                if fails > PATIENCE or getattr(error, "status", None) in (401, 403):
                    raise _refused(error) from None
                time.sleep(self.poll)
                continue
            if job is None:
                raise UserError(f"train-job: {self.name} was deleted before it ended")
            ended = condition_of(job)
            self._print_log(pods)
            if ended == COMPLETE:
                print(f"{self._address}: complete", flush=True)
                return
            if ended == FAILED:
                words = self._last or _message(job, FAILED)
                raise UserError(f"train-job: {self._address} failed: {words}")
            self._print_progress(job)
            self._explain(job, pods)
            time.sleep(self.poll)

    def read(self) -> dict[str, Any] | None:
        """Return the job as the cluster holds it, or None."""
        try:
            return self.client.backend.custom_api.get_namespaced_custom_object(*kind_of(self.client), self.name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def delete(self) -> None:
        """Delete the job, and wait until it is gone.

        Raises:
            UserError: it is still there after two minutes.
        """
        self.client.delete_job(self.name)
        deadline = time.monotonic() + DELETED_SECONDS
        while self.read() is not None:
            if time.monotonic() > deadline:
                raise UserError(f"train-job: the failed job {self._address} does not go away: delete it with kubectl")
            time.sleep(self.poll)

    @property
    def _address(self) -> str:
        return f"{self.client.backend.namespace}/{self.name}"

    def _pods(self) -> list[Any]:
        """Return the job's pods, oldest first."""
        selector = constants.POD_LABEL_SELECTOR.format(trainjob_name=self.name)
        found = self.client.backend.core_api.list_namespaced_pod(
            self.client.backend.namespace, label_selector=selector
        ).items
        return sorted(found, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))

    def _print_log(self, pods: list[Any]) -> None:
        """Print what is new in the log of the main process' newest container."""
        main = [pod for pod in pods if MAIN.items() <= (pod.metadata.labels or {}).items()]
        if not main:
            return
        pod = main[-1]
        status = next((each for each in pod.status.container_statuses or [] if each.name == constants.NODE), None)
        if status is None or (status.state.running is None and status.state.terminated is None):
            return
        instance = f"{pod.metadata.name} {status.restart_count}"
        if self._shown and instance not in self._shown:
            print(f"{self._address}: the main process was restarted, in {pod.metadata.name}", flush=True)
        since = self._shown.setdefault(instance, "")
        try:
            text = self.client.backend.core_api.read_namespaced_pod_log(
                pod.metadata.name, self.client.backend.namespace, container=constants.NODE, timestamps=True,
                **({"since_seconds": _seconds_since(since) + 2} if since else {}),
            )  # fmt: skip
        except (ApiException, HTTPError):
            return  # a pod that is being replaced, or a server that restarts; the next look asks for the same lines
        for line in text.splitlines():
            stamp, _, words = line.partition(" ")
            if _instant(stamp) > _instant(since):
                print(words, flush=True)
                self._last = words.strip() or self._last
                self._shown[instance] = stamp

    def _print_progress(self, job: dict[str, Any]) -> None:
        """Print Trainer's own progress when it has changed."""
        status = (job.get("status") or {}).get("trainerStatus") or {}
        if status.get("progressPercentage") is None:
            return
        left = status.get("estimatedRemainingSeconds")
        progress = f"{status['progressPercentage']} %"
        if progress != self._progress:
            self._progress = progress
            print(f"{self._address}: {progress}{f', {left / 60:.0f} min left' if left else ''}", flush=True)

    def _explain(self, job: dict[str, Any], pods: list[Any]) -> None:
        """Print once why the job or one of its pods has been waiting for long."""
        if _is_true(job, SUSPENDED):
            self._explain_once(self.name, f"is suspended: {_message(job, SUSPENDED)}")
        for pod in pods:
            waits = (datetime.now(UTC) - pod.metadata.creation_timestamp).total_seconds()
            if pod.status.phase == "Pending" and waits > PENDING_SECONDS:
                name = (pod.metadata.labels or {}).get(constants.JOB_INDEX_LABEL, "?")
                self._explain_once(f"node {name}", f"its pod has been waiting for a minute: {_why_pending(pod)}")

    def _explain_once(self, who: str, why: str) -> None:
        if (who, why) not in self._explained:
            self._explained.add((who, why))
            note(f"train-job: {who}: {why}")


def kind_of(client: TrainerClient) -> tuple[str, str, str, str]:
    """Return group, version, namespace and plural of TrainJobs, as kubernetes' client takes them."""
    return constants.GROUP, constants.VERSION, client.backend.namespace, constants.TRAINJOB_PLURAL


def _is_true(job: dict[str, Any], kind: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)


def condition_of(job: dict[str, Any]) -> str | None:
    """Return how a job has ended, COMPLETE or FAILED; None while it has not."""
    return next((kind for kind in (COMPLETE, FAILED) if _is_true(job, kind)), None)


def _message(job: dict[str, Any], kind: str) -> str:
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((each.get("message", "") for each in conditions if each["type"] == kind), "") or "no reason is given"


def _why_pending(pod: Any) -> str:
    """Return the scheduler's or the kubelet's reason."""
    for status in pod.status.container_statuses or []:
        waiting = status.state.waiting
        if waiting and waiting.reason not in (None, "ContainerCreating", "PodInitializing"):
            return f"{waiting.reason}: {waiting.message or ''}".strip(": ")
    for condition in pod.status.conditions or []:
        if condition.status == "False" and condition.message and condition.type == "PodScheduled":
            return condition.message
    return "Kubernetes gives no reason"


def _instant(stamp: str) -> tuple[int, int]:
    """Return a time as Kubernetes writes it, in seconds and nanoseconds; zeros for an empty text.

    It is in the node's time zone, and trailing zeros of the nanoseconds are left out, so texts cannot be compared.
    """
    if not stamp:
        return 0, 0
    fraction = re.search(r"\.(\d+)", stamp)
    seconds = datetime.fromisoformat(stamp.replace(fraction[0], "") if fraction else stamp)
    return int(seconds.timestamp()), int(fraction[1].ljust(9, "0")) if fraction else 0


def _seconds_since(stamp: str) -> int:
    """Return the whole seconds since a time as Kubernetes writes it, rounded up."""
    return max(1, int(time.time()) - _instant(stamp)[0] + 1)


@contextlib.contextmanager
def as_user_error() -> Iterator[None]:
    """Turn what the SDK and kubernetes raise into one line."""
    try:
        yield
    except (RuntimeError, TimeoutError, ApiException, HTTPError) as error:
        raise _refused(error) from None


def _refused(error: BaseException) -> UserError:
    cause = error if isinstance(error, ApiException) else error.__cause__
    if isinstance(cause, ApiException):
        try:
            said = json.loads(cause.body)["message"]
        except (TypeError, ValueError, KeyError):
            said = cause.reason
        hint = "; kubernetes/components/train-job has the role" if cause.status == 403 else ""
        return UserError(f"train-job: the cluster answered {cause.status}: {said}{hint}")
    reason = f": {first_line(cause)}" if cause else ""
    return UserError(f"train-job: {first_line(error)}{reason}")
