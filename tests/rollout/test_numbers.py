"""The numbers of a canary as a real Prometheus has them, from servers that count calls in Triton's words."""

import contextlib
import math
import shutil
import subprocess
import time
from http.server import BaseHTTPRequestHandler

import pytest
import yaml

from photo2cartoon.errors import UserError
from photo2cartoon.params import Rollout
from photo2cartoon.ports import free_ports
from photo2cartoon.rollout.numbers import Prometheus
from photo2cartoon.rollout.verdict import decide
from photo2cartoon.serving.metrics import FAMILIES
from tests.pipelines.servers import JsonAnswers, served

PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="needs Debian's package prometheus")


class Exporter(JsonAnswers, BaseHTTPRequestHandler):
    """Metrics of a server that answers 40 calls a second; `/slow` takes five times as long, `/broken` fails one in ten."""

    def do_GET(self):
        kind = self.path.rpartition("/")[2]
        calls = int(40 * (time.monotonic() - self.server.since))
        seconds = 0.8 if kind == "slow" else 0.15
        failed = calls // 10 if kind == "broken" else 0
        lines = [
            f'p2c_calls_total{{result="answered"}} {calls - failed}',
            f'p2c_photographs_total{{code="ok"}} {calls - failed - calls // 20}',
            f'p2c_photographs_total{{code="no_face"}} {calls // 20}',
            f'nv_inference_request_failure{{model="generator"}} {failed}',
            'p2c_training{number="brightness",quantile="0.05"} 40',
            'p2c_training{number="brightness",quantile="0.95"} 80',
            'p2c_training{number="skin",quantile="0.05"} NaN',
            'p2c_training{number="skin",quantile="0.95"} NaN',
        ]
        for name, value in (("p2c_call_duration_seconds", seconds), ("p2c_portrait_brightness", 62)):
            edges = [*FAMILIES[name].buckets, math.inf]
            lines += [
                f'{name}_bucket{{le="{"+Inf" if edge == math.inf else edge}"}} {calls if value <= edge else 0}'
                for edge in edges
            ]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(("\n".join(lines) + "\n").encode())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    folder, (port,) = tmp_path_factory.mktemp("prometheus"), free_ports(1)
    with served(Exporter) as server:
        server.since = time.monotonic()
        jobs = [
            {
                "job_name": kind,
                "metrics_path": f"/{kind}",
                "static_configs": [
                    {
                        "targets": [server.host.removeprefix("http://")],
                        "labels": {"namespace": "here", "pod": f"cartoons-{kind}-predictor-5b9-x2"},
                    }
                ],
            }
            for kind in ("v1", "v2", "slow", "broken")
        ]
        settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        command = [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        found = Prometheus(f"http://127.0.0.1:{port}")
        try:
            _wait_for_calls(found)
            yield found
        finally:
            process.kill()
            process.wait()


def _wait_for_calls(prometheus):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(UserError):
            if prometheus.numbers("here", "cartoons-v1-.*", 6).calls > 200:
                return
        time.sleep(0.5)
    pytest.fail("Prometheus has read nothing")


@needs_prometheus
def test_the_numbers_are_those_of_the_named_pods(prometheus):
    found = prometheus.numbers("here", "cartoons-v1-predictor-[^-]+-[^-]+", 6)
    assert found.calls == pytest.approx(240, rel=0.2) and found.failures == 0
    assert 0.1 < found.p95 <= 0.25 and found.refused == pytest.approx(0.05, abs=0.02)
    assert found.medians["brightness"] == pytest.approx(62, abs=3) and math.isnan(found.medians["turn"])
    assert found.training == {"brightness": (40.0, 80.0)}
    nothing = prometheus.numbers("elsewhere", "cartoons-v1-.*", 6)
    assert nothing.calls == 0 and math.isnan(nothing.p95) and math.isnan(nothing.refused)


@needs_prometheus
@pytest.mark.parametrize(
    ("kind", "said"), [("v2", None), ("slow", "95 percent of the calls take up to"), ("broken", "calls failed (")]
)
def test_the_decision_by_real_numbers(prometheus, kind, said):
    canary, stable = (prometheus.numbers("here", f"cartoons-{name}-.*", 6) for name in (kind, "v1"))
    verdict = decide(canary, stable, Rollout())
    assert verdict.holds is (said is None) and (said or "0 failed") in verdict.words


def test_a_prometheus_that_is_away_is_named():
    with pytest.raises(UserError, match=r"Prometheus at http://127.0.0.1:9: does not answer queries"):
        Prometheus("http://127.0.0.1:9").check()
