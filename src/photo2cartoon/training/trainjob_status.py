"""Reports progress to Kubeflow Trainer, which shows it in the TrainJob's status (`trainerStatus`).

Trainer's feature gate TrainJobStatus gives a pod the address, a certificate and a token in its environment (KEP-2779).
Without them nothing is reported.
"""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from photo2cartoon.progress import note

URL, CERTIFICATE, TOKEN = (f"KUBEFLOW_TRAINER_SERVER_{name}" for name in ("URL", "CA_CERT", "TOKEN"))
INTERVAL_SECONDS = 15.0
TIMEOUT_SECONDS = 10.0


class TrainJobStatus:
    """Status of the TrainJob that this process belongs to, if it does; only the main process has one.

    Args:
        environment: variables that Trainer sets; by default the process's.
        clock: seconds that only ever increase.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic):
        values = os.environ if environment is None else environment
        self.url, self._certificate, self._token = (values.get(name, "") for name in (URL, CERTIFICATE, TOKEN))
        self._clock, self._reported, self._failed = clock, -INTERVAL_SECONDS, False
        self._thread = ThreadPoolExecutor(1, "status") if self.url else None

    def report(self, step: int, steps: int, seconds_left: float, losses: Mapping[str, float]) -> None:
        """Report in the background, at most every 15 s, and always at the last step.

        Args:
            step, steps: steps done, and of the whole run.
            seconds_left: estimate for the rest of the run.
            losses: metrics to show.
        """
        if not self._thread or (self._clock() - self._reported < INTERVAL_SECONDS and step < steps):
            return
        self._reported = self._clock()
        status = {
            "progressPercentage": 100 * step // steps,
            "estimatedRemainingSeconds": round(seconds_left),
            "lastUpdatedTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "metrics": [{"name": name, "value": f"{value:.6g}"} for name, value in losses.items()],
        }
        self._thread.submit(self._send, {"trainerStatus": status})

    def close(self) -> None:
        """Wait for the last report."""
        if self._thread:
            self._thread.shutdown()

    def _send(self, body: dict) -> None:
        try:
            # The token is renewed while the job runs, so it is read every time.
            headers = {"Authorization": f"Bearer {Path(self._token).read_text().strip()}"}
            headers["Content-Type"] = "application/json"
            secure = ssl.create_default_context(cafile=self._certificate) if self._certificate else None
            request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
            urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=secure).close()
        except (OSError, ValueError) as error:  # progress is a convenience; training does not depend on it
            if not self._failed:
                note(f"train: progress cannot be reported to {self.url}: {error}")
            self._failed = True
