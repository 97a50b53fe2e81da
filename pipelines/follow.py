"""Follows a run to its end: states of its steps, why a pod waits, why a step failed, and a retry for a lost pod."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

from photo2cartoon.errors import UserError
from photo2cartoon.progress import bar, note
from pipelines.kubeflow import Kubeflow, refused
from pipelines.steps import ENDED, Step, duration, last_words, read_steps

RUN_ENDED = {"SUCCEEDED": True, "SKIPPED": True, "FAILED": False, "CANCELED": False}
BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}{postfix}"  # steps take too different times for an estimate
POLL_SECONDS = 5.0
PENDING_SECONDS = 60.0  # a pod that waits longer than this gets an explanation
PATIENCE = 10  # polls that may fail in a row, as while an API server restarts


@dataclass
class Follower:
    """Follows one run.

    Args:
        kubeflow: the server.
        run: id of the run.
        names: names of the pipeline's steps, in order.
        retries: how often a run whose pod was lost is retried.
        poll: seconds between two looks.
    """

    kubeflow: Kubeflow
    run: str
    names: Sequence[str]
    retries: int = 2
    poll: float = POLL_SECONDS

    def follow(self) -> str:
        """Show the steps until the run has ended; return how it ended, in words.

        Raises:
            UserError: the run failed or was stopped; the message has the step's own last words and its page.
        """
        begun, retried = time.monotonic(), 0
        while True:
            state, steps, message = self._watch()
            failed = [step for step in steps if step.state == "failed"]
            if RUN_ENDED[state]:
                for step in failed:  # the exit handler, whose failure does not change the run's state
                    note(f"{self._reason([step]).removeprefix(' in ')}: the run {state.lower()} all the same")
                cached = sum(step.state == "cached" for step in steps)
                return f"{state.lower()} in {duration(time.monotonic() - begun)}, {cached} of {len(steps)} steps cached"
            lost = next((step for step in failed if step.is_lost), None)
            if state == "FAILED" and lost and retried < self.retries:
                retried += 1
                note(f"{lost.name}: its pod was lost ({lost.message}); the run is retried, {retried} of {self.retries}")
                self.kubeflow.retry(self.run)
                continue
            page = self.kubeflow.page(self.run, failed[0].execution if failed else "")
            reason = self._reason(failed) or (message and f" ({message})")
            raise UserError(f"run {self.run} {state}{reason}: {page}")

    def _watch(self) -> tuple[str, list[Step], str]:
        steps = [Step(name) for name in self.names]
        explained: set[tuple[str, str]] = set()
        fails = 0
        terminal = sys.stderr.isatty()
        with bar(desc="steps", total=len(steps), disable=not terminal, bar_format=BAR) as shown:
            while True:
                try:
                    state, workflow = self.kubeflow.state(self.run)
                    fails = 0
                except (ApiException, HTTPError, requests.RequestException, UserError) as error:
                    fails += 1
                    if fails > PATIENCE:
                        raise error if isinstance(error, UserError) else refused(self.kubeflow.host, error) from None
                    time.sleep(self.poll)
                    continue
                now = read_steps(workflow, self.names) if workflow else steps
                if not terminal:
                    _print_changes(steps, now)
                steps = now
                shown.n = sum(step.state in ENDED for step in steps)
                active = ", ".join(str(step) for step in steps if step.state not in (*ENDED, "waiting"))
                shown.set_postfix_str(active or "Kubeflow is working")
                if state in RUN_ENDED:
                    return state, steps, (workflow.get("status") or {}).get("message") or ""
                for step in steps:
                    self._explain(step, explained)
                time.sleep(self.poll)

    def _explain(self, step: Step, explained: set[tuple[str, str]]) -> None:
        """Print once why a pod has been waiting for long."""
        waits = (datetime.now(UTC) - step.started).total_seconds() if step.started else 0.0
        if step.state != "pending" or waits < PENDING_SECONDS:
            return
        reason = self.kubeflow.warning(step.pod) or step.message or "Kubernetes gives no reason"
        if (step.name, reason) not in explained:
            explained.add((step.name, reason))
            note(f"{step.name}: its pod has been waiting for {duration(waits)}: {reason}")

    def _reason(self, failed: list[Step]) -> str:
        if not failed:
            return ""
        step = failed[0]
        words = last_words(self.kubeflow.log(self.run, step.pod)) if step.pod else ""
        return f" in {step.name} ({words or step.message or 'it left no words'})"


def _print_changes(before: Sequence[Step], now: Sequence[Step]) -> None:
    for old, new in zip(before, now, strict=True):
        if (old.state, old.attempts) != (new.state, new.attempts):
            print(f"{datetime.now():%H:%M:%S} {new}", flush=True)


def step_names(package: Any) -> list[str]:
    """Return the names of a compiled pipeline's steps, an exit handler's last.

    Args:
        package: the pipeline's document.
    """
    graph = package["root"]["dag"]["tasks"]
    inside = [
        name
        for task in graph
        for name in _ordered((package["components"].get(f"comp-{task}") or {}).get("dag", {}).get("tasks", {}))
    ]
    return [*inside, *(name for name in graph if "dag" not in package["components"][f"comp-{name}"])]


def _ordered(tasks: dict[str, Any]) -> list[str]:
    """Sort tasks so that each comes after those that it depends on."""

    def depth(name: str) -> int:
        return 1 + max(map(depth, tasks[name].get("dependentTasks", [])), default=0)

    return sorted(tasks, key=lambda name: (depth(name), name))
