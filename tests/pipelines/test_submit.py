"""A run is submitted with its parameters and followed to its end; failures are reported in one line."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from tests.conftest import ROOT
from tests.pipelines.servers import JsonAnswers, kubeconfig, served


class Kubeflow(JsonAnswers, BaseHTTPRequestHandler):
    """The part of Kubeflow Pipelines' API that a run needs; each poll of the run returns its next states."""

    def do_GET(self):
        api = self.server
        api.paths.append(self.path)
        if api.token and self.headers.get("authorization") != f"Bearer {api.token}":
            return self.answer({"message": "who are you?"}, 401)
        if self.path.endswith("/healthz"):
            return self.answer({"multi_user": False})
        if "/experiments" in self.path:
            return self.answer({"experiments": [{"experiment_id": "e1", "display_name": "photo2cartoon"}]})
        if "/runs/r1" in self.path:
            states = api.states[min(api.asked, len(api.states) - 1)]
            api.asked += 1
            tasks = [{"display_name": name, "state": state} for name, state in states.items() if name != "run"]
            details = {"task_details": [{"display_name": "root", "state": "RUNNING"}, *tasks]}
            return self.answer({"run_id": "r1", "state": states["run"], "run_details": details})
        return self.answer({"message": "not here"}, 404)

    def do_POST(self):
        body = self.body()
        self.server.posted.append((self.path.rsplit("/", 1)[-1].split("?")[0], body))
        if self.server.refuses:
            return self.answer({"message": "parameter steps is no number"}, 400)
        ids = {"run_id": "r1", "recurring_run_id": "c1", "experiment_id": "e1"}
        return self.answer({**ids, "display_name": body.get("display_name", "")})


@pytest.fixture
def kubeflow():
    with served(Kubeflow) as server:
        server.token, server.refuses, server.asked, server.posted, server.paths = None, False, 0, [], []
        server.states = [
            {"run": "RUNNING", "ingest": "RUNNING"},
            {"run": "SUCCEEDED", "ingest": "SUCCEEDED", "train": "SUCCEEDED"},
        ]
        yield server


def submit(*arguments, code=0, **environment):
    program = "import pipelines.submit as s; s.follow.__defaults__ = (0.05,); s.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done


def test_it_is_made_for_the_cluster_it_goes_to(kubeflow, tmp_path):
    (tmp_path / "cluster.yaml").write_text("image: registry.example.org/photo2cartoon:7\n")
    (tmp_path / "params.yaml").write_text("ingest: {photos: url, photos_at: 'dvc+https://example.org/faces#photos'}")
    given = ("--cluster", str(tmp_path / "cluster.yaml"), "--params", str(tmp_path / "params.yaml"))
    submit("--host", kubeflow.host, *given, "--revision", "v3", "--no-wait")
    ((_, run),) = kubeflow.posted
    executors = run["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    assert {each["container"]["image"] for each in executors} == {"registry.example.org/photo2cartoon:7"}
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["photos"], parameters["revision"]) == ("dvc+https://example.org/faces#photos", "v3")
    (tmp_path / "cluster.yaml").write_text("steps: {train: {gpus: many}}\n")
    told = submit("--host", kubeflow.host, "--cluster", str(tmp_path / "cluster.yaml"), code=1).stderr
    assert "cluster.yaml: steps.train.gpus" in told and len(told.strip().splitlines()) == 1


def test_a_run_is_submitted_and_followed(kubeflow):
    told = submit(
        "--host", kubeflow.host, "--profile", "full", "--name", "friday", "--mlflow-uri", "http://mlflow"
    ).stdout
    lines = told.splitlines()  # includes kfp's own lines, which also print the links
    assert f"{kubeflow.host}/#/runs/details/r1: submitted" in lines and lines[-1] == "r1: SUCCEEDED"
    ((kind, run),) = kubeflow.posted
    assert kind == "runs" and run["display_name"] == "friday" and run["experiment_id"] == "e1"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["steps"] == 200_000 and parameters["mlflow_uri"] == "http://mlflow"
    assert parameters["train"]["channels"] == 32 and "steps" not in parameters["train"]
    assert run["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "photo2cartoon"
    assert (
        "exec-train" in run["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    )


def test_a_step_that_fails_ends_it_by_name(kubeflow):
    kubeflow.states = [{"run": "RUNNING"}, {"run": "FAILED", "ingest": "SUCCEEDED", "train": "FAILED"}]
    done = submit("--host", kubeflow.host, code=1)
    assert done.stderr.splitlines()[-1] == f"submit: run r1 FAILED in train: {kubeflow.host}/#/runs/details/r1"


def test_it_runs_again_and_again(kubeflow):
    told = submit("--host", kubeflow.host, "--cron", "0 0 3 * * *").stdout
    assert told.endswith(f"{kubeflow.host}/#/recurringrun/details/c1: scheduled, 0 0 3 * * *\n")
    kind, schedule = kubeflow.posted[-1]
    assert kind == "recurringruns" and schedule["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert int(schedule["max_concurrency"]) == 1 and schedule["no_catchup"]


def test_it_goes_through_the_cluster_that_kubectl_uses(kubeflow, tmp_path):
    kubeflow.token = "kubectl's"
    (tmp_path / "config").write_text(kubeconfig(kubeflow.host, token=kubeflow.token))
    known = {"KUBECONFIG": str(tmp_path / "config"), "KFP_HOST": ""}
    told = submit("--context", "here", **known).stdout.splitlines()
    services = f"{kubeflow.host}/api/v1/namespaces/kubeflow/services"
    assert f"{services}/ml-pipeline-ui:http/proxy/#/runs/details/r1: submitted" in told and told[-1] == "r1: SUCCEEDED"
    assert kubeflow.paths[-1].startswith(
        "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1/runs"
    )
    told = submit("--context", "elsewhere", code=1, **known).stderr
    assert "--context elsewhere: " in told and len(told.splitlines()) == 1
    kubeflow.token = "another"
    told = submit("--context", "here", code=1, **known).stderr
    assert told.startswith(f"submit: {kubeflow.host}: answered 401") and len(told.splitlines()) == 1
    (tmp_path / "config").write_text(kubeconfig("http://127.0.0.1:9"))
    told = submit("--context", "here", code=1, **known).stderr
    assert "http://127.0.0.1:9: no Kubeflow Pipelines answers there" in told and len(told.splitlines()) == 1


def test_what_can_go_wrong_is_a_sentence(kubeflow, tmp_path):
    kubeflow.token = "right"
    told = submit("--host", kubeflow.host, code=1, KFP_TOKEN="wrong").stderr
    assert told == f"submit: {kubeflow.host}: refused (401): KFP_TOKEN or KFP_COOKIE is missing, wrong or too old\n"
    assert submit("--host", kubeflow.host, "--no-wait", KFP_TOKEN="right").stdout.endswith("submitted\n")
    kubeflow.refuses = True
    told = submit("--host", kubeflow.host, code=1, KFP_TOKEN="right").stderr
    assert "answered 400" in told and "parameter steps is no number" in told
    assert "no Kubeflow Pipelines answers there (" in submit("--host", "http://127.0.0.1:9", code=1).stderr
    assert submit(code=1, KFP_HOST="").stderr.startswith("submit: which Kubeflow? make submit KFP_HOST=https://…")
    (tmp_path / "params.yaml").write_text("train: {steps: many}")
    told = submit("--host", kubeflow.host, "--params", str(tmp_path / "params.yaml"), code=1).stderr
    assert "'train.steps'" in told
    (tmp_path / "params.yaml").write_text("train: {batch: 4}")
    (tmp_path / "cluster.yaml").write_text("steps: {train: {gpus: 8}}")
    given = ("--params", str(tmp_path / "params.yaml"), "--cluster", str(tmp_path / "cluster.yaml"))
    told = submit("--host", kubeflow.host, *given, code=1).stderr
    assert told == "submit: train.batch: 4 pictures cannot be divided among 8 processes\n"
    assert len(kubeflow.posted) == 2
