"""Reports that need no server: one HTML file with everything inside, and a few lines of Markdown."""

from __future__ import annotations

import base64
import csv
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_write
from photo2cartoon.evaluation.description import cell
from photo2cartoon.evaluation.result import Result, read_result
from photo2cartoon.evaluation.rule import CHAMPION, PHOTOGRAPHS, STEP
from photo2cartoon.files import read_json
from photo2cartoon.layout import CURVES, RUN, SCORED_GRID, SELECTION
from photo2cartoon.scoring.metrics import METRICS, WORST, direction
from photo2cartoon.tracking.client import link

STYLE = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;font-size:13px}
td,th{padding:3px 10px;text-align:right;border-bottom:1px solid #e4e4e4;white-space:nowrap}
td:first-child,th:first-child,th:last-child,td.words{text-align:left}td.words{white-space:normal}tr.chosen{background:#eaf4ea}
.wide{overflow-x:auto}img,svg{max-width:100%;height:auto}p.note{color:#666;font-size:13px}
"""
JPEG_QUALITY, PICTURE_WIDTH = 85, 2200
CHARTS_WIDTH, CHART_HEIGHT = 480, 180


def write_report(scores: Path, out: Path, train: Path | None = None, selected: Mapping[str, Any] | None = None) -> None:
    """Write the report of a run as one HTML file without links to anything: choice, scores, groups, curves, pictures.

    Args:
        scores: output folder of the `evaluate` stage.
        out: the HTML file.
        train: output folder of the `train` stage, for its curves; None leaves them out.
        selected: contents of `selection.json`; None leaves the choice out.
    """
    result = read_result(scores)
    info = read_json(train / RUN) if train and (train / RUN).is_file() else {}
    title = info.get("title", "Scores of the checkpoints")
    checkpoints = [name for name in result["scores"] if name.startswith(STEP)]
    shown = selected["checkpoint"] if selected else checkpoints[-1]
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if selected:
        parts += _choice(result, selected)
    parts += ["<h2>What each checkpoint draws</h2>", _picture(scores / SCORED_GRID)]
    parts += ["<h2>Scores</h2>", _scores(result, shown), *_groups(result, shown)]
    parts += _charts(scores / CURVES, "Scores by step; the band is the 95 % interval", _first(result, selected))
    if train and (train / CURVES).is_file():
        parts += _charts(train / CURVES, "Training", None)
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    page = f'<!doctype html><html lang="en">{head}{body}</html>\n'
    with atomic_write(out) as partial:
        partial.write_text(page, encoding="utf-8")


def write_summary(selected: Mapping[str, Any], out: Path, outcome: str) -> None:
    """Summarise a selection in a few lines of Markdown, with links if MLflow is a server.

    Args:
        selected: contents of `selection.json`.
        out: the Markdown file.
        outcome: of the promotion, in words.
    """
    version = f"{selected['model']} version {selected['version']}"
    if page := link(f"models/{selected['model']}/versions/{selected['version']}"):
        version = f"[{version}]({page})"
    score, baseline = selected["score"], selected["photographs_score"]
    lines = [
        f"# {selected['checkpoint']}",
        f"- {selected['metric']}: {score:.4g} (the photographs themselves: {baseline:.4g})",
        f"- Compared with the champion: {selected['compared']}",
        f"- MLflow: {version}, run {selected['mlflow_run']}",
        f"- {'It is' if selected['champion'] else 'It is not'} the champion: {outcome}.",
        *(f"- {name}: {reason}" for name, reason in sorted(selected["reasons"].items())),
    ]
    with atomic_write(out) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(scores: Path, train: Path, selected: Path, out: Path) -> None:
    """Run the `report` stage.

    Args:
        scores, train, selected: output folders of `evaluate`, `train` and `select`.
        out: the HTML file.
    """
    write_report(scores, out, train, read_json(selected / SELECTION, "`p2c select` writes it"))


def _choice(result: Result, selected: Mapping[str, Any]) -> list[str]:
    state = "is the champion" if selected["champion"] else "is a candidate: a person may make it champion in MLflow"
    metric = selected["metric"]
    rows = [
        (
            [name, cell(result["scores"][name], metric, result), reason],
            "chosen" if name == selected["checkpoint"] else "",
        )
        for name, reason in sorted(selected["reasons"].items())
    ]
    return [
        f"<p><b>{html.escape(selected['checkpoint'])}</b> was chosen. It is version {selected['version']} of"
        f" {html.escape(selected['model'])} and {state}. Compared with the champion of that time:"
        f" <b>{html.escape(selected['compared'])}</b>.</p>",
        "<h2>Why this checkpoint</h2>",
        _table(["checkpoint", metric, "why"], rows),
    ]


def _scores(result: Result, shown: str) -> str:
    models = [name for name in (shown, CHAMPION, PHOTOGRAPHS) if name in result["scores"]]
    heads = [f"champion (version {result['champion']})" if name == CHAMPION else name for name in models]
    rows = []
    for metric in result["scores"][shown]:
        if metric.removeprefix(WORST) in METRICS:
            what = ("worst group of people: " if metric.startswith(WORST) else "") + METRICS[
                metric.removeprefix(WORST)
            ].what
            cells = [cell(result["scores"][name], metric, result) for name in models]
            rows.append(([metric, *cells, "lower" if direction(metric) > 0 else "higher", what], ""))
    note = (
        f'<p class="note">{result["photographs"]} photographs ({"+".join(result["splits"])}), {result["cartoons"]} cartoons; ±'
        " half of the 95 % interval. In brackets: 0 % cannot be told from the style's own cartoons, 100 % scores like the"
        " unchanged photographs.</p>"
    )
    trained = result.get("trained_on", ())
    if trained:
        names = html.escape(", ".join(trained))
        note += f'<p class="note">Training itself minimised {names}; identity_sface is the independent judge.</p>'
    return _table(["score", *heads, "better", "what"], rows) + note


def _groups(result: Result, shown: str) -> list[str]:
    by_group = result.get("by_group", {}).get(shown) or {}
    metrics = [m for m in METRICS if any(m in scores for scores in by_group.values())]
    if not metrics:
        return []
    rows = [
        ([f"{group} ({result['groups'][group]})", *(cell(scores, metric) for metric in metrics)], "")
        for group, scores in by_group.items()
    ]
    return [f"<h2>By group: {html.escape(shown)}</h2>", _table(["group (photographs)", *metrics], rows)]


def _first(result: Result, selected: Mapping[str, Any] | None) -> list[str]:
    """Return the metrics whose curves are shown."""
    wanted = [selected["metric"] if selected else "", "kernel_efficientnet", "identity_sface", "skin_colour"]
    known = {metric for scores in result["scores"].values() for metric in scores}
    return [metric for metric in dict.fromkeys(wanted) if metric in known]


def _charts(curves: Path, title: str, only: Sequence[str] | None) -> list[str]:
    """Draw curves that `tracking.curves` wrote as SVG, two in a row."""
    import vl_convert

    with curves.open(encoding="utf-8") as file:
        points = [row for row in csv.DictReader(file) if only is None or row["curve"] in only]
    numbers = [
        {key: row[key] if key == "curve" else float(row[key]) for key in ("step", "curve", "value", "low", "high")}
        for row in points
    ]
    if not numbers:
        return []
    x = {"field": "step", "type": "quantitative"}

    def y(name: str) -> dict[str, Any]:
        return {"field": name, "type": "quantitative", "scale": {"zero": False}, "title": None}

    layers = [
        {"mark": {"type": "area", "opacity": 0.2}, "encoding": {"x": x, "y": y("low"), "y2": {"field": "high"}}},
        {"mark": {"type": "line", "point": len(numbers) < 200}, "encoding": {"x": x, "y": y("value")}},
    ]
    spec = {
        "data": {"values": numbers},
        "facet": {"field": "curve", "type": "nominal", "title": None, "sort": only},
        "columns": 2,
        "spec": {"width": CHARTS_WIDTH, "height": CHART_HEIGHT, "layer": layers},
        "resolve": {"scale": {"y": "independent"}},
        "config": {"view": {"stroke": "#ddd"}, "font": "sans-serif"},
    }
    return [f"<h2>{html.escape(title)}</h2>", vl_convert.vegalite_to_svg(json.dumps(spec))]


def _picture(png: Path) -> str:
    """Embed a picture as JPEG, not wider than a screen."""
    import cv2

    picture = cv2.imread(str(png))
    assert picture is not None  # `evaluate` wrote it
    if picture.shape[1] > PICTURE_WIDTH:
        scale = PICTURE_WIDTH / picture.shape[1]
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    source = f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
    return f'<img alt="photographs, and what each checkpoint draws of them" src="{source}">'


def _table(heads: Sequence[str], rows: Iterable[tuple[Sequence[str], str]]) -> str:
    """Format a table; each row has cells and a class."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    for cells, kind in rows:
        words = (
            f'<td class="words">{html.escape(c)}</td>' if len(c) > 40 else f"<td>{html.escape(c)}</td>" for c in cells
        )
        lines.append(f'<tr class="{kind}">' + "".join(words) + "</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'
