"""Records on their way to MLflow, sent by a thread in order; they wait while the server does not answer.

Nobody who puts a record waits for the network. What could not be sent before the end stays in a file, and the next
stage on this machine sends it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photo2cartoon.files import local_folder
from photo2cartoon.progress import note
from photo2cartoon.tracking.client import NOTE_TAG, tracking_uri

FOLDER = "outbox"  # in `var/`
WAIT_SECONDS = 60.0  # for the server, at the end
PAUSES = (1.0, 2.0, 5.0, 10.0)  # seconds between tries; the last one repeats

Record = dict[str, Any]  # {"kind": metrics | image | tags | note | files | end, ...}, JSON


class Outbox:
    """The records of one process.

    Args:
        client: `mlflow.MlflowClient`.
        name: name of the file for records that are left at the end.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._file = client, local_folder() / FOLDER / f"{name}.jsonl"
        self._waiting: queue.Queue[Record | None] = queue.Queue()
        self._left: list[Record] = []
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="mlflow-outbox", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Send a record after those before it; returns at once."""
        self._waiting.put(record)

    def close(self, wait: float = WAIT_SECONDS) -> None:
        """Send what is left; after `wait` seconds without an answer, keep it in the file."""
        self._deadline = time.monotonic() + wait
        self._waiting.put(None)
        self._thread.join()
        if self._left:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in self._left)
            note(
                f"MLflow at {tracking_uri()} does not answer: {len(self._left)} records are kept in {self._file}, the next"
                " stage sends them"
            )

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            if self._left or not self._send(record):
                self._left.append(record)

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
                    note(f"MLflow at {tracking_uri()} refuses a record: {_first_line(error)}")
                    return True
                if not tries:
                    note(f"MLflow at {tracking_uri()} does not answer: records wait ({_first_line(error)})")
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                tries += 1
                if time.monotonic() + pause > self._deadline:
                    return False
                time.sleep(pause)


def deliver(client: Any) -> None:
    """Send what earlier processes on this machine had to keep; without an answer it stays.

    Args:
        client: `mlflow.MlflowClient`.
    """
    for file in sorted((local_folder() / FOLDER).glob("*.jsonl")):
        taken = file.with_suffix(".sending")
        with contextlib.suppress(OSError):
            file.rename(taken)  # of two processes one takes it
            _deliver_file(client, taken, file)


def _deliver_file(client: Any, taken: Path, file: Path) -> None:
    records = [json.loads(line) for line in taken.read_text(encoding="utf-8").splitlines()]
    for number, record in enumerate(records):
        try:
            apply(client, record)
        except Exception as error:
            if not is_refusal(error):
                rest = "".join(json.dumps(record) + "\n" for record in records[number:])
                taken.write_text(rest, encoding="utf-8")
                taken.rename(file)
                return
            note(f"MLflow refuses a record of {file.name}: {_first_line(error)}")
    taken.unlink()
    note(f"MLflow at {tracking_uri()}: {len(records)} records of {file.stem} were sent")


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
        picture = cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
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
    """Return whether sending the same again is pointless: the server answered, and does not take it."""
    from mlflow import MlflowException

    if isinstance(error, MlflowException):
        return 400 <= error.get_http_status_code() < 500 and error.get_http_status_code() != 429
    return isinstance(error, ValueError | TypeError | KeyError | FileNotFoundError)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
