"""Records on their way to MLflow, sent by a thread in order; they wait while the server does not answer.

Nobody who puts a record waits for the network. What is not sent is on disk (`spool`), and the next stage on this machine
sends it, also if the process was killed.
"""

from __future__ import annotations

import base64
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photo2cartoon.errors import first_line
from photo2cartoon.progress import note
from photo2cartoon.tracking import spool
from photo2cartoon.tracking.client import NOTE_TAG, tracking_uri
from photo2cartoon.tracking.spool import Record, Spool

WAIT_SECONDS = 60.0  # for the server, at the end
PAUSES = (1.0, 2.0, 5.0, 10.0)  # seconds between tries; the last one repeats


class Outbox:
    """The records of one process: {"kind": metrics | image | tags | note | files | end, "run": …, …}, JSON.

    Args:
        client: `mlflow.MlflowClient`.
        name: beginning of the name of the file that holds the records meanwhile.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._spool = client, Spool(name, tracking_uri())
        self._waiting: queue.Queue[Record | None] = queue.Queue()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="mlflow-outbox", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Send a record after those before it; returns at once."""
        self._spool.append(record)
        self._waiting.put(record)

    def close(self, wait: float = WAIT_SECONDS) -> None:
        """Send what is left, for at most `wait` seconds; the rest stays on disk."""
        self._deadline = time.monotonic() + wait
        self._waiting.put(None)
        self._thread.join(wait)  # a server that takes a call and never answers holds nobody up for longer
        left = self._spool.close()
        if left.kept:
            note(
                f"MLflow at {tracking_uri()} does not answer: {left.kept} records are kept in {self._spool.path}, the next"
                " stage sends them"
            )
        if left.lost:
            note(
                f"MLflow at {tracking_uri()} does not answer: {left.lost} records that the disk had no room for are lost"
            )

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            if not self._send(record):
                return
            self._spool.sent()

    def _send(self, record: Record) -> bool:
        """Try until the record is sent or refused, or the time is over."""
        tries = 0
        while True:
            try:
                apply(self._client, record)
                if tries:
                    note(f"MLflow at {tracking_uri()} answers again")
                return True
            except Exception as error:  # MLflow's clients raise their own errors, requests' and the database's
                if is_refusal(error):
                    note(f"MLflow at {tracking_uri()} refuses a record: {first_line(error)[:200]}")
                    return True
                if not tries and time.monotonic() < self._deadline:
                    note(f"MLflow at {tracking_uri()} does not answer: records wait ({first_line(error)[:200]})")
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                if time.monotonic() + pause > self._deadline:
                    return False
                time.sleep(pause)


def deliver(client: Any) -> None:
    """Send what earlier processes on this machine left behind for this server; without an answer it stays.

    Args:
        client: `mlflow.MlflowClient`.
    """
    for path, file in spool.left_behind(tracking_uri()):
        left = spool.records(file)
        sent = 0
        for record in left:
            try:
                apply(client, record)
            except Exception as error:
                if not is_refusal(error):
                    break
                note(f"MLflow refuses a record of {path.name}: {first_line(error)[:200]}")
            sent += 1
        spool.drop(path, sent)
        if sent:
            note(f"MLflow at {tracking_uri()}: {sent} records of {path.stem} were sent")


def apply(client: Any, record: Mapping[str, Any]) -> None:
    """Send one record to MLflow.

    Raises:
        MlflowException: and others of its clients; see `is_refusal`.
    """
    kind, run = record["kind"], record["run"]
    if kind == "metrics":
        from mlflow.entities import Metric

        made = [Metric(key, value, record["time"], record["step"]) for key, value in record["values"].items()]
        client.log_batch(run, metrics=made, synchronous=True)
    elif kind == "image":
        import cv2
        import numpy as np

        png = np.frombuffer(base64.b64decode(record["png"]), np.uint8)
        bgr = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert bgr is not None  # `pictures.encode_png` made it
        picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        client.log_image(run, picture, key=record["key"], step=record["step"], timestamp=record["time"])
    elif kind == "tags":
        for key, value in record["values"].items():
            client.set_tag(run, key, value)
    elif kind == "note":
        start = f"**{record['topic']}:** "
        lines = (client.get_run(run).data.tags.get(NOTE_TAG) or "").split("\n\n")
        kept = [line for line in lines if line and not line.startswith(start)]
        client.set_tag(run, NOTE_TAG, "\n\n".join([*kept, start + record["text"]]))
    elif kind == "files":
        path = Path(record["path"])
        log = client.log_artifacts if path.is_dir() else client.log_artifact
        log(run, str(path), record["folder"])
    elif kind == "end":
        client.set_terminated(run, record["status"], end_time=record["time"])


def is_refusal(error: Exception) -> bool:
    """Return whether sending the same again is pointless: the server answered, and does not take it.

    A proxy without a server behind it, or credentials that have expired, are mended without the records.
    """
    from mlflow import MlflowException

    if isinstance(error, MlflowException):
        if error.error_code in ("ENDPOINT_NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED"):
            return False
        return 400 <= error.get_http_status_code() < 500 and error.get_http_status_code() not in (401, 403, 408, 429)
    return isinstance(error, ValueError | TypeError | KeyError | FileNotFoundError)
