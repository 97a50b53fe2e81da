"""States of a run's steps, read from the Argo workflow behind it, which Kubeflow's own list of tasks does not name.

Argo's nodes of a step `train` are `train-driver` (prepares it, or finds it in the cache), `train`, and inside it a node
`executor` with one pod per attempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

State = Literal["waiting", "starting", "pending", "running", "done", "cached", "failed"]
ENDED = {"done", "cached", "failed"}
# Ends of a pod that say nothing about its program: deleted, evicted, its node gone, killed by SIGKILL or SIGTERM.
_LOST = re.compile(
    r"pod deleted|evict|preempt|node (lost|shut|not ready)|exit code (137|143)|\((137|143)\)|terminat", re.I
)
_OF_LAUNCHER = re.compile(r"^([IWEF]\d{4} |time=\S+ level=|\[KFP Executor|Error: exit status|\s*$)")


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Args:
        name: of the step, as in the pipeline.
        state: `starting` while Kubeflow prepares it, `pending` while its pod waits for a node or an image.
        pod: its latest pod; empty if there is none.
        execution: id of Kubeflow's page about the step; empty if there is none.
        attempts: pods so far.
        message: Argo's message about the pod or the step.
        started: when the state began that lasts; None before that.
        seconds: how long the step has taken so far.
    """

    name: str
    state: State = "waiting"
    pod: str = ""
    execution: str = ""
    attempts: int = 0
    message: str = ""
    started: datetime | None = None
    seconds: float = 0.0

    @property
    def is_lost(self) -> bool:
        """Whether the step failed because its pod was lost, not because its program failed."""
        return self.state == "failed" and bool(_LOST.search(self.message))

    def __str__(self) -> str:
        took = f" {duration(self.seconds)}" if self.seconds >= 1 and self.state != "cached" else ""
        again = f", attempt {self.attempts}" if self.attempts > 1 else ""
        return f"{self.name} {self.state}{took}{again}"


def read_steps(workflow: Mapping[str, Any], names: Sequence[str], now: datetime | None = None) -> list[Step]:
    """Read the states of the steps.

    Args:
        workflow: the Argo workflow, as JSON.
        names: names of the pipeline's steps.
        now: the current time.
    """
    now = now or datetime.now(UTC)
    nodes = list((workflow.get("status") or {}).get("nodes", {}).values())
    called: dict[str, list[dict]] = {}
    for node in nodes:
        called.setdefault(_last(node["name"]), []).append(node)
    return [_step(name, called, nodes, workflow["metadata"]["name"], now) for name in names]


def _step(name: str, called: Mapping[str, list[dict]], nodes: list[dict], workflow: str, now: datetime) -> Step:
    driver, itself = (_newest(called.get(each, [])) for each in (f"{name}-driver", name))
    if driver is None:
        return Step(name)
    state, message = _ending(driver)
    if state == "failed":
        message, pod = message or "its driver failed", _pod(driver, called, workflow)
        return Step(name, state, pod, attempts=1, message=message, started=_time(driver))
    if "Omitted" in (driver["phase"], (itself or {}).get("phase")):
        return Step(name)  # a step before it failed
    if itself is None:
        return Step(name, "starting", started=_time(driver), seconds=_seconds(driver, now))
    inside = [node for node in nodes if re.search(rf"\.{re.escape(name)}\(\d+\)\.executor(\(\d+\))?$", node["name"])]
    if any(node["type"] == "Skipped" for node in inside):
        return Step(name, "cached", started=_time(itself))
    pods = [node for node in inside if node["type"] == "Pod"]
    pod = _newest(pods)
    state, message = _ending(itself)
    if pod is None:
        state = state if state in ENDED else "pending"
        return Step(name, state, message=message, started=_time(itself), seconds=_seconds(itself, now))
    if state not in ENDED:
        state = "pending" if pod["phase"] == "Pending" else "running"
    message = pod.get("message") or message
    known = {
        "attempts": len(pods),
        "started": _time(pod),
        "seconds": _seconds(itself, now),
        "execution": _execution(pod),
    }
    return Step(name, state, _pod_name(pod, workflow), message=message, **known)


def _execution(pod: Mapping[str, Any]) -> str:
    """Return the execution's id, which the driver hands to the launcher in the pod's command."""
    given = (pod.get("inputs") or {}).get("parameters") or []
    found = re.search(r'"--execution_id","(\d+)"', "".join(str(each.get("value", "")) for each in given))
    return found.group(1) if found else ""


def _ending(node: Mapping[str, Any]) -> tuple[State, str]:
    states: dict[str, State] = {"Succeeded": "done", "Failed": "failed", "Error": "failed", "Skipped": "cached"}
    return states.get(node["phase"], "running"), node.get("message") or ""


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _newest(nodes: list[dict]) -> dict | None:
    return max(nodes, key=lambda node: (node.get("startedAt") or "", node["name"]), default=None)


def _pod(driver: Mapping[str, Any], called: Mapping[str, list[dict]], workflow: str) -> str:
    pods = [node for last, found in called.items() if last.startswith(f"{_last(driver['name'])}(") for node in found]
    return _pod_name(_newest(pods), workflow) if pods else ""


def _pod_name(node: Mapping[str, Any], workflow: str) -> str:
    """Return the name of a node's pod: WORKFLOW-TEMPLATE-NUMBER, where the node's id is WORKFLOW-NUMBER."""
    return f"{workflow}-{node['templateName']}-{node['id'].rsplit('-', 1)[-1]}"


def _time(node: Mapping[str, Any]) -> datetime | None:
    return datetime.fromisoformat(node["startedAt"].replace("Z", "+00:00")) if node.get("startedAt") else None


def _seconds(node: Mapping[str, Any], now: datetime) -> float:
    begun, ended = _time(node), node.get("finishedAt")
    if begun is None:
        return 0.0
    return ((datetime.fromisoformat(ended.replace("Z", "+00:00")) if ended else now) - begun).total_seconds()


def last_words(log: str, count: int = 1) -> str:
    """Return the last lines of a step's log that its own program wrote, joined by ` | `."""
    lines = [line.strip() for line in log.splitlines() if not _OF_LAUNCHER.match(line)]
    return " | ".join(lines[-count:])


def duration(seconds: float) -> str:
    """Format a duration: 42 s, 3 min 20 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
