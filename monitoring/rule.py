"""Writes rule.yaml, the alerts for Prometheus' operator: `python monitoring/rule.py`."""

from __future__ import annotations

from pathlib import Path

HEAD = """\
# Made of alerts.yaml by rule.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: photo2cartoon}
spec:
"""


def rule(alerts: str) -> str:
    """Return the text of a PrometheusRule with the groups of a file of alert rules."""
    lines = [line for line in alerts.splitlines() if not line.startswith("#")]
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    here = Path(__file__).parent
    (here / "rule.yaml").write_text(rule((here / "alerts.yaml").read_text()))
