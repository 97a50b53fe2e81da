"""Prometheus metrics of the served model, which Triton shows beside its own, and a line of JSON in its log for each call.

Neither contains a picture, a part of one, or an address.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any, Final, Literal

COUNTER: Final = "COUNTER"
GAUGE: Final = "GAUGE"
HISTOGRAM: Final = "HISTOGRAM"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Family:
    """A metric with its labels.

    Args:
        kind: Prometheus' type.
        text: what it counts or measures.
        labels: names of its labels.
        buckets: upper edges, of a histogram.
    """

    kind: Literal["COUNTER", "GAUGE", "HISTOGRAM"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FAMILIES = {
    "p2c_calls_total": Family(COUNTER, "Calls: answered, busy (refused, come again), or invalid (refused).", ("result",)),
    "p2c_call_duration_seconds": Family(HISTOGRAM, "Time of an answered call in the server, queues included.", (), SECONDS),
    "p2c_step_duration_seconds": Family(
        HISTOGRAM,
        "Time of a step of a call: decode, portrait, picture, encode. Triton has the generator's.",
        ("step",),
        SECONDS,
    ),
    "p2c_photographs_total": Family(COUNTER, "Photographs by the code of their answer: ok, or why not drawn.", ("code",)),
    "p2c_cartoons_total": Family(COUNTER, "Cartoons by version of the generator and format.", ("version", "format")),
    "p2c_faces": Family(HISTOGRAM, "Faces found in a photograph that was drawn.", (), (1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 10.5, 15.5)),
    "p2c_portrait_width": Family(
        HISTOGRAM, "Width of a face in its photograph, pixels.", (), (64, 80, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)
    ),
    "p2c_portrait_brightness": Family(
        HISTOGRAM, "Lightness of a face, CIE L*.", (), (10, 20, 30, 40, 50, 60, 65, 70, 75, 80, 85, 90)
    ),
    "p2c_portrait_skin": Family(
        HISTOGRAM, "Typology angle of a face's skin, degrees.", (), (-60, -45, -30, -15, 0, 10, 20, 28, 35, 41, 48, 55, 70)
    ),
    "p2c_portrait_turn": Family(
        HISTOGRAM, "How far a face is turned: 0 from the front, 1 sideways.", (), (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
    ),
    "p2c_training": Family(
        GAUGE,
        "Quantiles of the same numbers in the photographs that the served version was trained on.",
        ("number", "quantile"),
    ),
    "p2c_training_refused": Family(GAUGE, "Share of the photographs that were refused when its training data were made."),
}  # fmt: skip


class Metrics:
    """The metrics of one process of the server. Processes that name the same metric share it.

    Args:
        backend: the module `triton_python_backend_utils`.
    """

    def __init__(self, backend: Any) -> None:
        self._families = {
            name: backend.MetricFamily(
                name=name, description=family.text, kind=getattr(backend.MetricFamily, family.kind)
            )
            for name, family in FAMILIES.items()
        }
        self._metrics: dict[tuple[str, ...], Any] = {}

    def count(self, name: str, *labels: object, number: float = 1) -> None:
        """Add to a counter.

        Args:
            name: one of `FAMILIES`.
            labels: their values, in order.
            number: to add.
        """
        self._metric(name, labels).increment(number)

    def set(self, name: str, *labels: object, number: float) -> None:
        """Set a gauge."""
        self._metric(name, labels).set(number)

    def observe(self, name: str, number: float, *labels: object) -> None:
        """Add a number to a histogram."""
        self._metric(name, labels).observe(number)

    def _metric(self, name: str, labels: tuple[object, ...]) -> Any:
        key = (name, *map(str, labels))
        if key not in self._metrics:
            family = FAMILIES[name]
            own = {"buckets": list(family.buckets)} if family.buckets else {}
            named = dict(zip(family.labels, key[1:], strict=True))
            self._metrics[key] = self._families[name].Metric(labels=named, **own)
        return self._metrics[key]


def log_line(**values: object) -> None:
    """Write a line of JSON to the server's log, with the time in seconds since 1970; not if the disk is full."""
    with contextlib.suppress(OSError):
        print(json.dumps({"time": round(time.time(), 3), **values}), flush=True)
