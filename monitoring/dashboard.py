"""Writes dashboard.json, which Grafana imports: `python monitoring/dashboard.py`."""

from __future__ import annotations

import json
from pathlib import Path

JOB = 'job="photo2cartoon"'
ALL = JOB + ', instance=~"$instance"'
OK, GENERATOR = 'code="ok"', 'model="generator"'
RATE = "[$__rate_interval]"
WIDTH, HEIGHT = 8, 8  # of a panel; a row has 24
# Number, metric, unit, and what it means.
NUMBERS = (
    ("width", "p2c_portrait_width", "px", "Width of the face in its photograph"),
    ("brightness", "p2c_portrait_brightness", "none", "Lightness of the face, CIE L*"),
    ("skin", "p2c_portrait_skin", "degree", "Typology angle of the skin; lighter skin has a larger one"),
    ("turn", "p2c_portrait_turn", "none", "How far the face is turned: 0 from the front, 1 sideways"),
    ("faces", "p2c_faces", "none", "Faces found in a photograph"),
)


def rate(metric: str, *labels: str, where: str = "") -> str:
    """Return a query for the sum of a counter's rate over all servers, by labels, of the series that match `where`."""
    by = f"by ({', '.join(labels)}) " if labels else ""
    return f"sum {by}(rate({metric}{{{where and where + ', '}{ALL}}}{RATE}))"


def quantile(share: float, metric: str) -> str:
    """Return a query for a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(metric + '_bucket', 'le')})"


def panel(title: str, queries: dict[str, str], unit: str, text: str = "", stack: bool = False) -> dict:
    """Return a graph over time.

    Args:
        title, text: shown above it, and when the pointer is on it.
        queries: PromQL by the legend of its lines.
        unit: Grafana's name of it.
        stack: lines are on top of each other.
    """
    custom = {"fillOpacity": 20 if stack else 0, "stacking": {"mode": "normal" if stack else "none"}, "lineWidth": 2}
    return {
        "type": "timeseries",
        "title": title,
        "description": text,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0 if unit != "degree" else None, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend}
            for number, (legend, expression) in enumerate(queries.items())
        ],
    }  # fmt: skip


def drift(number: str, metric: str, unit: str, text: str) -> dict:
    """Return a graph of the middle 90 percent of what comes in, with that of the training."""
    own = {f"{int(100 * share)} %": quantile(share, metric) for share in (0.05, 0.5, 0.95)}
    training = {"training, {{quantile}}": f'max by (quantile) (p2c_training{{{JOB}, number="{number}"}})'}
    return panel(number, own | training, unit, text)


SERVICE = [
    panel("Calls a second", {"{{result}}": rate("p2c_calls_total", "result")}, "reqps", stack=True),
    panel("Time of a call", {f"p{int(100 * s)}": quantile(s, "p2c_call_duration_seconds") for s in (0.5, 0.95, 0.99)}, "s"),
    panel(
        "Time of each step, on average",
        {
            "{{step}}": f"{rate('p2c_step_duration_seconds_sum', 'step')} / {rate('p2c_step_duration_seconds_count', 'step')}",
            "generator": f"{rate('nv_inference_compute_infer_duration_us', where=GENERATOR)} / 1e6"
            f" / {rate('nv_inference_request_success', where=GENERATOR)}",
        },
        "s",
        "The generator's by Triton, the other steps' by their own clocks. Waiting is in none of them.",
        stack=True,
    ),
    panel("Cartoons a second, by version", {"version {{version}}": rate("p2c_cartoons_total", "version")}, "short", stack=True),
    panel(
        "Photographs a second, by answer",
        {"{{code}}": rate("p2c_photographs_total", "code")},
        "short",
        "ok: drawn. Everything else is a photograph that was refused, with the reason.",
        stack=True,
    ),
    panel(
        "Requests that wait, by step",
        {"{{model}}": f'sum by (model) (nv_inference_pending_request_count{{{ALL}}})'},
        "short",
    ),
    panel(
        "Failures a second, by step",
        {"{{model}}": rate("nv_inference_request_failure", "model")},
        "short",
        "gate and photo2cartoon: also calls that were refused as busy or invalid.",
    ),
    panel("Processor", {"{{instance}}": f'nv_cpu_utilization{{{ALL}}}'}, "percentunit"),
    panel("Memory", {"{{instance}}": f'nv_cpu_memory_used_bytes{{{ALL}}}'}, "bytes"),
]  # fmt: skip
PHOTOGRAPHS = [
    *(drift(*number) for number in NUMBERS),
    panel(
        "refused",
        {
            "now": f"1 - {rate('p2c_photographs_total', where=OK)} / {rate('p2c_photographs_total')}",
            "training": f"max(p2c_training_refused{{{JOB}}})",
        },
        "percentunit",
        "Share of the photographs that were not drawn",
    ),
]  # fmt: skip


def dashboard() -> dict:
    """Return the dashboard, as Grafana exports one."""
    panels, y = [], 0
    for title, row in (("Service", SERVICE), ("Photographs, compared with the training's", PHOTOGRAPHS)):
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        for number, each in enumerate(row):
            place = {"x": WIDTH * (number % 3), "y": y + HEIGHT * (number // 3), "w": WIDTH, "h": HEIGHT}
            panels.append({**each, "gridPos": place})
        y += HEIGHT * -(-len(row) // 3)
    for number, each in enumerate(panels, 1):
        each["id"] = number
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    instance = {
        "name": "instance", "label": "Server", "type": "query", "query": f"label_values(up{{{JOB}}}, instance)", "refresh": 2,
        "datasource": {"type": "prometheus", "uid": "${datasource}"}, "includeAll": True, "allValue": ".*", "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip
    return {
        "title": "photo2cartoon",
        "uid": "photo2cartoon",
        "tags": ["photo2cartoon", "triton"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, instance]},
        "panels": panels,
    }


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(json.dumps(dashboard(), indent=1) + "\n")
