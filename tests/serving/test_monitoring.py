"""The alerts fire when they should, the dashboard is the script's, and both name metrics that there are."""

import json
import re
import runpy
import shutil
import subprocess

import pytest

from photo2cartoon.serving.metrics import FAMILIES
from tests.conftest import ROOT

FOLDER = ROOT / "monitoring"


def test_the_dashboard_is_up_to_date():
    made = runpy.run_path(str(FOLDER / "dashboard.py"))["dashboard"]()
    assert json.loads((FOLDER / "dashboard.json").read_text()) == made, "python monitoring/dashboard.py writes it"


def test_every_metric_is_one_of_ours_and_documented():
    known = {name + suffix for name in FAMILIES for suffix in ("", "_bucket", "_sum", "_count")}
    for name in ("dashboard.json", "alerts.yaml", "alerts_test.yaml"):
        used = set(re.findall(r"\bp2c_[a-z_]+", (FOLDER / name).read_text()))
        assert used and used <= known, used - known
    documented = (ROOT / "docs/how-to/monitoring.md").read_text()
    alerts = re.findall(r"alert: (\w+)", (FOLDER / "alerts.yaml").read_text())
    assert [name for name in (*FAMILIES, *alerts) if f"`{name}`" not in documented] == []


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool (Debian: prometheus)")
def test_promtool_takes_the_rules_and_they_fire():
    for command in ("check config prometheus.yaml", "check rules alerts.yaml", "test rules alerts_test.yaml"):
        done = subprocess.run(["promtool", *command.split()], cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
