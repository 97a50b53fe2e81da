"""Numbers of a version's servers, read from Prometheus."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from photo2cartoon.errors import UserError

TIMEOUT_SECONDS = 10.0
MEDIANS = ("width", "brightness", "skin", "turn", "faces")  # of incoming portraits; docs/how-to/monitoring.md
STEPS = "portrait|generator|picture"


@dataclass(frozen=True)
class Numbers:
    """Measurements of one version's servers during a window.

    Args:
        calls: calls that were answered or failed.
        failures: calls that ended with an error which is not the caller's.
        p95: 95 percent of the calls took at most this, seconds; NaN without calls.
        photographs: photographs in those calls.
        refused: share of the photographs that were not drawn; NaN without any.
        medians: of the incoming portraits, by name: width, brightness, skin, turn, faces; NaN without any.
        training: 5 and 95 percent of the same numbers in the photographs of the version's training.
    """

    calls: float
    failures: float
    p95: float
    photographs: float
    refused: float
    medians: dict[str, float] = field(default_factory=dict)
    training: dict[str, tuple[float, float]] = field(default_factory=dict)


class Prometheus:
    """Queries of a Prometheus server.

    Args:
        address: such as http://127.0.0.1:9090.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def check(self) -> None:
        """Check that it answers queries.

        Raises:
            UserError: it does not.
        """
        self._query("vector(1)")

    def numbers(self, namespace: str, pods: str, seconds: float) -> Numbers:
        """Return the numbers of some servers during the last seconds.

        Args:
            namespace: of the pods.
            pods: regular expression of their names.
            seconds: length of the window; at least two scrapes.

        Raises:
            UserError: Prometheus does not answer.
        """
        of = f'namespace="{namespace}", pod=~"{pods}"'
        window = f"[{max(1, round(seconds))}s]"

        def counted(metric: str, *where: str) -> float:
            return self._number(f"sum(increase({metric}{{{', '.join((of, *where))}}}{window}))")

        def quantile(share: float, metric: str) -> float:
            query = f"histogram_quantile({share}, sum by (le) (increase({metric}_bucket{{{of}}}{window})))"
            return self._number(query, math.nan)

        failures = counted("nv_inference_request_failure", f'model=~"{STEPS}"', 'reason!="CANCELED"')
        photographs = counted("p2c_photographs_total")
        drawn = counted("p2c_photographs_total", 'code="ok"')
        ranges: dict[str, dict[str, float]] = {}
        for labels, value in self._query(f"max by (number, quantile) (p2c_training{{{of}}})"):
            ranges.setdefault(labels["number"], {})[labels["quantile"]] = value
        return Numbers(
            calls=counted("p2c_calls_total", 'result="answered"') + failures,
            failures=failures,
            p95=quantile(0.95, "p2c_call_duration_seconds"),
            photographs=photographs,
            refused=1 - drawn / photographs if photographs else math.nan,
            medians={
                name: quantile(0.5, "p2c_faces" if name == "faces" else f"p2c_portrait_{name}") for name in MEDIANS
            },
            training={
                name: (found["0.05"], found["0.95"])
                for name, found in ranges.items()
                if {"0.05", "0.95"} <= found.keys() and not math.isnan(found["0.05"])
            },
        )

    def _number(self, query: str, nothing: float = 0.0) -> float:
        """Return the only value of a query, or what it is without any series."""
        found = self._query(query)
        return found[0][1] if found else nothing

    def _query(self, query: str) -> list[tuple[dict[str, str], float]]:
        import requests

        try:
            answer = requests.post(
                f"{self.address}/api/v1/query", data={"query": query}, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
            body: dict[str, Any] = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise UserError(f"Prometheus at {self.address}: does not answer queries ({type(error).__name__})") from None
        if body.get("status") != "success":
            raise UserError(f"Prometheus at {self.address}: {body.get('error', f'status {answer.status_code}')}")
        return [(item["metric"], float(item["value"][1])) for item in body["data"]["result"]]
