"""A run is submitted with its parameters and followed to its end; failures are reported in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.command_server import CommandServer
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
        if self.path.endswith("/names/photo2cartoon") or "/pipelines?" in self.path:
            listed = [{"pipeline_id": "p1", "display_name": "photo2cartoon"}] if api.versions else []
            return self.answer({"pipelines": listed})
        if "/pipelines/p1/versions/" in self.path:
            return self.answer({"pipeline_version_id": "v1", "pipeline_spec": api.packages[0]})
        if "/pipelines/p1/versions" in self.path:
            return self.answer({"pipeline_versions": [
                {"pipeline_id": "p1", "pipeline_version_id": f"v{number}", "display_name": name}
                for number, name in enumerate(api.versions, 1)
            ]})  # fmt: skip
        if "/k8s/pod/logs" in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(api.log.encode())
            return None
        if "/k8s/pod/events" in self.path:
            return self.answer({"items": [{"type": "Warning", "message": api.event}]})
        if "/v1beta1/runs/r1" in self.path:
            nodes = api.nodes[min(api.asked, len(api.nodes)) - 1] if api.nodes else {}
            status = {"nodes": nodes, "message": api.message}
            manifest = json.dumps({"metadata": {"name": "photo-x"}, "status": status})
            return self.answer({"pipeline_runtime": {"workflow_manifest": manifest}})
        kind, _, name = urlsplit(self.path).path.rpartition("/")
        if kind.endswith(("/secrets", "/persistentvolumeclaims", "/clustertrainingruntimes")):
            return self.answer({}, 404 if name == api.missing else 200)
        if "/experiments" in self.path:
            return self.answer({"experiments": [{"experiment_id": "e1", "display_name": "photo2cartoon"}]})
        if "/runs/r1" in self.path:
            state = api.states[min(api.asked, len(api.states) - 1)]
            api.asked += 1
            return self.answer({"run_id": "r1", "state": state})
        return self.answer({"message": "not here"}, 404)

    def do_POST(self):
        api = self.server
        if "/upload_version" in self.path:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            text = content.split("\r\n\r\n", 1)[1].rsplit("\r\n--", 1)[0]
            api.packages.append(dict(zip(("pipeline_spec", "platform_spec"), yaml.safe_load_all(text), strict=True)))
            api.versions.append(parse_qs(urlsplit(self.path).query)["name"][0])
            return self.answer({"pipeline_version_id": f"v{len(api.versions)}", "pipeline_id": "p1"})
        if self.path.endswith("/pipelines"):
            self.body()
            return self.answer({"pipeline_id": "p1", "display_name": "photo2cartoon"})
        if ":retry" in self.path or ":terminate" in self.path:
            api.actions.append(self.path.rsplit(":", 1)[1])
            return self.answer({})
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
        server.packages, server.versions, server.actions, server.log, server.event = [], [], [], "", ""
        server.message, server.missing, server.states, server.nodes = None, None, ["RUNNING", "SUCCEEDED"], []
        yield server


@pytest.fixture(scope="module")
def kubeflow_server(tmp_path_factory):
    """The process in which `pipelines.submit` starts fast."""
    server = CommandServer(["kfp", "kubernetes"], tmp_path_factory.mktemp("printed"))
    yield server
    server.close()


@pytest.fixture
def submit(kubeflow_server):
    """Function that submits as a user does, looks at the run every 0.05 s, and returns the finished process."""
    program = (
        "import pipelines.follow as f, pipelines.submit as s; f.Follower.__init__.__defaults__ = (2, 0.05);"
        "import os, kubernetes.config.kube_config as k; k.KUBE_CONFIG_DEFAULT_LOCATION = os.environ.get('KUBECONFIG');"
        "f.PENDING_SECONDS = 0; s.main()"
    )  # kubernetes read KUBECONFIG when it was imported

    def run(*arguments, code=0, **environment):
        done = kubeflow_server.run("-c", program, *arguments, cwd=ROOT, environment=os.environ | environment)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_it_is_made_for_the_cluster_it_goes_to(kubeflow, submit, tmp_path):
    (tmp_path / "cluster.yaml").write_text("{image: 'registry.example.org/photo2cartoon:7', repository: 's3://b/m'}")
    (tmp_path / "params.yaml").write_text("ingest: {photos: url, photos_at: 'dvc+https://example.org/faces#photos'}")
    given = ("--cluster", str(tmp_path / "cluster.yaml"), "--params", str(tmp_path / "params.yaml"))
    submit("--host", kubeflow.host, *given, "--revision", "v3", "--no-wait")
    ((_, run),) = kubeflow.posted
    executors = kubeflow.packages[0]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    assert {each["container"]["image"] for each in executors} == {"registry.example.org/photo2cartoon:7"}
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["photos"], parameters["revision"]) == ("dvc+https://example.org/faces#photos", "v3")
    (tmp_path / "cluster.yaml").write_text("steps: {train: {gpus: many}}\n")
    told = submit("--host", kubeflow.host, "--cluster", str(tmp_path / "cluster.yaml"), code=1).stderr
    assert "cluster.yaml: steps.train.gpus" in told and len(told.strip().splitlines()) == 1


def test_a_run_is_submitted_and_followed(kubeflow, submit):
    told = submit(
        "--host", kubeflow.host, "--profile", "full", "--name", "friday", "--mlflow-uri", "http://mlflow"
    ).stdout
    lines = told.splitlines()
    (version,) = kubeflow.versions
    assert lines[0] == f"{kubeflow.host}/#/runs/details/r1: submitted, version {version}"
    assert lines[-1].startswith("r1: succeeded in ") and len(lines) == 2
    ((kind, run),) = kubeflow.posted
    assert kind == "runs" and run["display_name"] == "friday" and run["experiment_id"] == "e1"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["steps"] == 200_000 and parameters["mlflow_uri"] == "http://mlflow"
    assert parameters["train"]["channels"] == 32 and "steps" not in parameters["train"]
    assert run["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    (package,) = kubeflow.packages
    assert package["pipeline_spec"]["pipelineInfo"]["name"] == "photo2cartoon"
    assert "exec-train" in package["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def node(name, kind, phase, message=None, number="1"):
    path = f"photo-x(0).root(0).exit-handler-1(0).{name}"
    patch = {"name": "pod-spec-patch", "value": '{"command":["launch","--execution_id","46"]}'}
    return {"name": path, "type": kind, "phase": phase, "message": message, "startedAt": "2026-11-24T22:00:00Z",
            "id": f"photo-x-{number}", "templateName": "impl",
            "inputs": {"parameters": [patch]}}  # fmt: skip


def train(phase, pod_phase, message=None):
    """Argo's nodes when the step `train` is in a phase."""
    nodes = [node("train-driver", "Retry", "Succeeded"), node("train", "Retry", phase),
             node("train(0).executor(0)", "Pod", pod_phase, message, "7")]  # fmt: skip
    return dict(enumerate(nodes))


def test_a_version_is_uploaded_once_and_can_be_run_again(kubeflow, submit):
    for _ in range(2):
        told = submit("--host", kubeflow.host, "--upload").stdout
    (version,) = kubeflow.versions
    assert told == f"{kubeflow.host}/#/pipelines/details/p1/version/v1: version {version}\n" and not kubeflow.posted
    submit("--host", kubeflow.host, "--version", version)
    ((_, run),) = kubeflow.posted
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "v1"
    told = submit("--host", kubeflow.host, "--version", "old", code=1).stderr
    assert told == f"submit: --version old: {kubeflow.host} has none; `make pipeline-upload` uploads one\n"


def test_a_step_that_fails_ends_it_with_its_own_last_words(kubeflow, submit):
    kubeflow.states = ["RUNNING", "FAILED"]
    kubeflow.nodes = [train("Running", "Running"), train("Failed", "Failed", "main: Error (exit code 1)")]
    kubeflow.log = (
        "I1124 22:03:08.39 16 client.go:847] started\ntrain: no GPU here\nI1124 22:03:08.39 16 a.go:1] ended\n"
    )
    done = submit("--host", kubeflow.host, code=1)
    page = f"{kubeflow.host}/#/executions/46"
    assert done.stderr.splitlines()[-1] == f"submit: run r1 FAILED in train (train: no GPU here): {page}"
    changes = [line.split(" ", 1)[1] for line in done.stdout.splitlines()[1:]]
    assert [line.split(" ")[:2] for line in changes] == [["train", "running"], ["train", "failed"]]
    assert any("podname=photo-x-impl-7" in path for path in kubeflow.paths)


def test_a_run_that_fails_without_a_step_says_what_kubernetes_says(kubeflow, submit):
    kubeflow.states, kubeflow.message = ["FAILED"], "retry exceeded workflow deadline"
    told = submit("--host", kubeflow.host, code=1).stderr
    page = f"{kubeflow.host}/#/runs/details/r1"
    assert told == f"submit: run r1 FAILED (retry exceeded workflow deadline): {page}\n"


def test_a_lost_pod_is_retried(kubeflow, submit):
    kubeflow.states = ["FAILED", "RUNNING", "FAILED", "FAILED"]
    kubeflow.nodes = [train("Failed", "Failed", "pod deleted")]
    done = submit("--host", kubeflow.host, "--retries", "1", code=1)
    assert kubeflow.actions == ["retry"]
    assert "train: its pod was lost (pod deleted); the run is retried, 1 of 1" in done.stderr
    assert "FAILED in train (pod deleted)" in done.stderr.splitlines()[-1]


def test_ctrl_c_ends_the_run_only_if_told_to(kubeflow):
    kubeflow.states = ["RUNNING"]
    for flags, actions in (([], []), (["--terminate"], ["terminate"])):
        command = [sys.executable, "-m", "pipelines.submit", "--host", kubeflow.host, *flags]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # A test runner in the background ignores SIGINT, and its children would too.
        listen = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        running = subprocess.Popen(command, cwd=ROOT, text=True, **pipes, **listen)
        assert "submitted" in running.stdout.readline()
        asked = kubeflow.asked
        while kubeflow.asked == asked:  # it follows the run now
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
        assert running.returncode == 130 and kubeflow.actions == actions, told
        assert "submit: the run is terminated" in told if flags else "submit: the run continues" in told


def test_a_pod_that_waits_is_explained(kubeflow, submit):
    kubeflow.nodes = [train("Running", "Pending")]
    kubeflow.event = "0/1 nodes are available: 1 Insufficient cpu."
    told = submit("--host", kubeflow.host).stderr
    assert told.count("train: its pod has been waiting for ") == 1 and "1 Insufficient cpu." in told


def test_it_runs_again_and_again(kubeflow, submit):
    told = submit("--host", kubeflow.host, "--cron", "0 0 3 * * *").stdout
    assert told.endswith(f"{kubeflow.host}/#/recurringrun/details/c1: scheduled, 0 0 3 * * *\n")
    kind, schedule = kubeflow.posted[-1]
    assert kind == "recurringruns" and schedule["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert int(schedule["max_concurrency"]) == 1 and schedule["no_catchup"]


def test_it_goes_through_the_cluster_that_kubectl_uses(kubeflow, submit, tmp_path):
    kubeflow.token = "kubectl's"
    (tmp_path / "config").write_text(kubeconfig(kubeflow.host, token=kubeflow.token))
    known = {"KUBECONFIG": str(tmp_path / "config"), "KFP_HOST": ""}
    told = submit("--context", "here", **known).stdout.splitlines()
    services = f"{kubeflow.host}/api/v1/namespaces/kubeflow/services"
    page = f"{services}/ml-pipeline-ui:http/proxy/#/runs/details/r1"
    assert told[0].startswith(f"{page}: submitted") and told[-1].startswith("r1: succeeded")
    assert any("/services/ml-pipeline:http/proxy/apis/v2beta1/runs" in path for path in kubeflow.paths)
    told = submit("--context", "elsewhere", code=1, **known).stderr
    assert "--context elsewhere: " in told and len(told.splitlines()) == 1
    kubeflow.token = "another"
    told = submit("--context", "here", code=1, **known).stderr
    assert told.startswith(f"submit: {kubeflow.host}: answered 401") and len(told.splitlines()) == 1
    (tmp_path / "config").write_text(kubeconfig("http://127.0.0.1:9"))
    told = submit("--context", "here", code=1, **known).stderr
    assert "http://127.0.0.1:9: no Kubeflow Pipelines answers there" in told and len(told.splitlines()) == 1


def test_what_is_missing_in_the_cluster_is_named_before_anything_is_sent(kubeflow, submit, tmp_path):
    """A pod that names a missing secret or claim would wait for it for ever."""
    (tmp_path / "config").write_text(kubeconfig(kubeflow.host))
    file = tmp_path / "cluster.yaml"
    volumes = "{checkpoints_pvc: training, repository_pvc: models, train_job: {nodes: 1}, pull_secrets: [registry],"
    file.write_text(volumes + "secrets: [{name: keys, env: {key: AWS_ACCESS_KEY_ID}}]}")
    runtime = "Kubeflow Trainer's runtime 'torch-distributed'"
    for name, what, remedy in (
        ("keys", "secret 'keys'", "kubectl create secret generic keys -n kubeflow --from-literal=key=…"),
        ("registry", "pull secret 'registry'", "kubectl create secret docker-registry registry -n kubeflow"),
        (
            "training",
            "persistent volume claim 'training'",
            "kubectl apply -n kubeflow -f kubernetes/components/claim/volumes",
        ),
        ("torch-distributed", runtime, "install Kubeflow Trainer"),
    ):
        kubeflow.missing = name
        told = submit("--context", "here", "--cluster", str(file), code=1, KUBECONFIG=str(tmp_path / "config")).stderr
        assert told.startswith(f"submit: {file}: {what} does not exist in namespace kubeflow: {remedy}"), told
    assert not kubeflow.posted and not kubeflow.versions


def test_what_can_go_wrong_is_a_sentence(kubeflow, submit, tmp_path):
    kubeflow.token = "right"
    told = submit("--host", kubeflow.host, code=1, KFP_TOKEN="wrong").stderr
    assert told == f"submit: {kubeflow.host}: refused (401): KFP_TOKEN or KFP_COOKIE is missing, wrong or too old\n"
    assert submit("--host", kubeflow.host, "--no-wait", KFP_TOKEN="right").stdout.startswith(kubeflow.host)
    kubeflow.refuses = True
    told = submit("--host", kubeflow.host, code=1, KFP_TOKEN="right").stderr
    assert "answered 400" in told and "parameter steps is no number" in told
    assert "no Kubeflow Pipelines answers there (" in submit("--host", "http://127.0.0.1:9", code=1).stderr
    assert submit(code=1, KFP_HOST="").stderr.startswith("submit: which Kubeflow? make submit KFP_HOST=https://…")
    (tmp_path / "params.yaml").write_text("train: {steps: many}")
    told = submit("--host", kubeflow.host, "--params", str(tmp_path / "params.yaml"), code=1).stderr
    assert "'train.steps'" in told
    (tmp_path / "params.yaml").write_text("train: {batch: 4}")
    (tmp_path / "nowhere.yaml").write_text("shards: 1")
    told = submit("--host", kubeflow.host, "--cluster", str(tmp_path / "nowhere.yaml"), code=1).stderr
    assert "nowhere.yaml: names neither `repository` nor `repository_pvc`, so the model would go nowhere" in told
    (tmp_path / "cluster.yaml").write_text("steps: {train: {gpus: 8}}")
    given = ("--params", str(tmp_path / "params.yaml"), "--cluster", str(tmp_path / "cluster.yaml"))
    told = submit("--host", kubeflow.host, *given, code=1).stderr
    assert told == "submit: train.batch: 4 pictures cannot be divided among 8 processes\n"
    assert len(kubeflow.posted) == 2
