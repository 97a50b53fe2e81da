"""The TrainJob manifest matches Kubeflow's schema, a cluster receives it, and its program trains."""

import json
import os
import re
import site
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kubeflow.trainer import LocalProcessBackendConfig, TrainerClient
from kubeflow_trainer_api import models
from kubernetes.config import kube_config

from components import train_job
from components.train_distributed import train as train_distributed
from components.train_job_follow import _instant, _seconds_since
from components.train_job_submit import delete_jobs_of
from photo2cartoon.errors import UserError
from photo2cartoon.ports import free_ports
from tests.conftest import ROOT
from tests.pipelines.servers import JsonAnswers, kubeconfig, served

JOB = train_job.TrainJob(
    image="registry.example/photo2cartoon:1", place="s3://bucket/mine", params="train: {batch: 8}", nodes=2, gpus=4,
    node_selector={"gpu": "h100"}, env={"MLFLOW_TRACKING_URI": "http://mlflow:5000"}, pull_secrets=("registry",),
    namespace="default",
    secrets=({"name": "keys", "env": {"key": "AWS_ACCESS_KEY_ID"}},), labels={"kueue.x-k8s.io/queue-name": "gpus"},
    tolerations=({"key": "gpu", "operator": "Exists"},),
)  # fmt: skip


def test_the_manifest_keeps_to_the_schema():
    """A round trip through Kubeflow's models, made from the CRD, would drop unknown fields; the manifest has none."""
    sent = train_job.manifest(JOB)
    parsed = models.TrainerV1alpha1TrainJob.from_dict(json.loads(json.dumps(sent)))
    assert parsed.to_dict() == sent
    trainer = sent["spec"]["trainer"]
    assert (sent["kind"], trainer["image"], trainer["numNodes"]) == ("TrainJob", JOB.image, 2)
    for amounts in trainer["resourcesPerNode"].values():
        assert amounts == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"}  # a decimal would be refused
    jobs = sent["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = jobs[0]["template"]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["shm"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["nodeSelector"] == {"gpu": "h100"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}] and pod["imagePullSecrets"] == [
        {"name": "registry"}
    ]
    key = {"secretKeyRef": {"name": "keys", "key": "key", "optional": False}}
    assert trainer["env"] == [
        {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"}, {"name": "AWS_ACCESS_KEY_ID", "valueFrom": key},
    ]  # fmt: skip
    # Kueue reads the queue of the job itself.
    assert sent["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"


def test_a_volume_can_hold_the_run():
    job = train_job.TrainJob(image="i", params="", place="mine", volume="portraits")
    jobs = train_job.manifest(job)["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]
    pod = jobs["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert pod["volumes"][1] == {"name": "data", "persistentVolumeClaim": {"claimName": "portraits"}}
    assert job.base == "/data/mine"
    assert "namespace" not in train_job.manifest(job)["metadata"]  # that of the pod which submits it
    with pytest.raises(UserError, match="object storage URL, or a path on a volume"):
        train_job.TrainJob(image="i", params="", place="mine")


def test_the_job_logs_where_its_step_would():
    """Into the run of Kubeflow's MLflow plugin too; the environment of a laptop is its own."""
    step = {"MLFLOW_TRACKING_URI": "http://plugin", "MLFLOW_RUN_ID": "run", "PATH": "/bin"}
    assert train_job.environment({"A": "1"}, "", step) == {
        "A": "1", "MLFLOW_TRACKING_URI": "http://plugin", "MLFLOW_RUN_ID": "run"
    }  # fmt: skip
    assert (
        train_job.environment({"MLFLOW_TRACKING_URI": "http://file"}, "", step)["MLFLOW_TRACKING_URI"] == "http://file"
    )
    assert train_job.environment({}, "http://given", step)["MLFLOW_TRACKING_URI"] == "http://given"
    assert train_job.environment({}, "") == {}


def test_the_program_survives_the_shell(tmp_path):
    """The params pass through the shell script in the manifest unchanged, dollar signs and quotes included."""
    params = "train: {start_from: \"a $HOME `pwd` 'b' \\\\ c\"}"
    job = train_job.TrainJob(image="i", place="s3://b/x", params=params)
    script = train_job.manifest(job)["spec"]["trainer"]["command"][2]
    script = script.replace("torchrun ", f"{sys.executable} ")
    (tmp_path / "photo2cartoon/training").mkdir(parents=True)
    for package in ("photo2cartoon", "photo2cartoon/training"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "photo2cartoon/training/trainjob_node.py").write_text(
        "def train_node(*each): print(*each, sep='\\n')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    told = done.stdout.splitlines()
    assert told == [params, "s3://b/x/faces", "s3://b/x/weights", "s3://b/x"], done.stderr


class Cluster(JsonAnswers, BaseHTTPRequestHandler):
    """The part of the Kubernetes API that submitting needs: the runtime exists, and a job is accepted or refused."""

    made = None
    refuses = False
    asked: set = set()  # noqa: RUF012  # shared by all requests on purpose

    def parse_request(self):
        done = super().parse_request()
        self.asked.add((self.command, self.path.split("?")[0]))
        return done

    def do_GET(self):
        if self.path.endswith("/clustertrainingruntimes/torch-distributed"):
            pod = {"containers": [{"name": "node", "image": "torch"}]}
            labels = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
            job = {"name": "node", "template": {"metadata": {"labels": labels}, "spec": {"template": {"spec": pod}}}}
            self.answer({
                "apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "ClusterTrainingRuntime",
                "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
                "spec": {"mlPolicy": {"numNodes": 1, "torch": {"numProcPerNode": "auto"}},
                         "template": {"spec": {"replicatedJobs": [job]}}},
            })  # fmt: skip
        else:
            self.answer({"kind": "Status", "message": "not here"}, 404)

    def do_POST(self):
        body = self.body()
        type(self).made = body
        self.answer(
            {"kind": "Status", "message": "quota exceeded"} if self.refuses else body, 403 if self.refuses else 201
        )


@pytest.fixture
def cluster(tmp_path):
    with served(Cluster) as server:
        (tmp_path / "kubeconfig").write_text(kubeconfig(server.host))
        yield tmp_path / "kubeconfig"


def command(tmp_path, *more, **environment):
    (tmp_path / "params.yaml").write_text("train: {batch: 8}")
    arguments = ["--image", "i", "--place", "s3://b/x", "--params", str(tmp_path / "params.yaml"), *more]
    return subprocess.run(
        [sys.executable, "-m", "components.train_job_submit", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=100, env={**os.environ, "KUBECONFIG": "nowhere", **environment},
    )  # fmt: skip


def test_a_cluster_is_given_that_manifest(cluster, tmp_path):
    Cluster.refuses = True
    done = command(tmp_path, "--nodes", "2", "--gpus", "4", KUBECONFIG=str(cluster))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    told = "train-job: the cluster answered 403: quota exceeded; kubernetes/components/train-job has the role\n"
    assert done.stderr == told
    printed = yaml.safe_load(command(tmp_path, "--nodes", "2", "--gpus", "4", "--print").stdout)
    assert Cluster.made == printed


def test_bad_input_is_named(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 1 and re.fullmatch(r"train-job: no cluster is configured .*\n", done.stderr)
    done = command(tmp_path, "--nodes", "3", "--print")
    assert done.stderr == "train-job: train.batch: 8 pictures cannot be divided among 3 processes\n"
    done = command(tmp_path, "--secret", "keys", "--print")
    assert done.stderr == "train-job: --secret keys: is not SECRET:KEY=NAME\n"
    done = command(tmp_path, "--params", "nowhere.yaml", "--print")
    assert done.returncode == 1 and done.stderr == "train-job: nowhere.yaml: no such params file\n"


def packages_of_this_environment(folder):
    """Wheel that points to this environment's packages, which the bare environment would otherwise have to install."""
    wheel = folder / "beside-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("beside.pth", f"{site.getsitepackages()[0]}\n{ROOT / 'src'}\n")
        archive.writestr("beside-0.dist-info/METADATA", "Metadata-Version: 2.1\nName: beside\nVersion: 0\n")
        archive.writestr("beside-0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("beside-0.dist-info/RECORD", "")
    return f"beside @ {wheel.as_uri()}"


@pytest.mark.long
def test_the_sdks_local_backend_trains(faces, weights, tmp_path, monkeypatch):
    """The SDK runs the same function locally, in the bare environment that it creates."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    params = json.dumps({"train": {"size": 128, "channels": 4, "steps": 2, "batch": 1, "checkpoint_every": 1}})
    (tmp_path / "faces").symlink_to(faces)
    (tmp_path / "weights").symlink_to(weights)
    monkeypatch.setattr(train_job, "MOUNT", str(tmp_path))
    trainer = train_job.trainer(train_job.TrainJob(image="i", place="", volume="v", params=params))
    trainer.packages_to_install = ["torch==2.13.0", packages_of_this_environment(tmp_path)]
    if "PIP_INDEX_URL" in os.environ:  # pip's own setting, which the SDK would override
        trainer.pip_index_urls = [os.environ["PIP_INDEX_URL"]]
    client = TrainerClient(LocalProcessBackendConfig())
    name = client.train(runtime=train_job.RUNTIME, trainer=trainer)
    told = "\n".join(client.get_job_logs(name, step="train", follow=True))
    assert (tmp_path / "run/checkpoints/step-000002/checkpoint.json").exists(), told
    assert client.get_job(name).status == "Complete", told


class Trainer(Cluster):
    """Cluster that runs the job's own script on this machine, with torchrun: a process, with a disk, for each node."""

    folder = None
    jobs: dict = {}  # noqa: RUF012  # shared by all requests on purpose
    ran: list = []  # noqa: RUF012

    def do_GET(self):
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if name == "pods":
            self.answer({"apiVersion": "v1", "kind": "PodList", "items": []})
        elif name == "trainjobs":
            self.answer({"items": list(self.jobs.values())})
        elif "/trainjobs/" not in self.path:
            super().do_GET()
        elif name in self.jobs:
            self.answer(self.jobs[name])
        else:
            self.answer({"kind": "Status", "code": 404}, 404)

    def do_DELETE(self):
        self.jobs.pop(self.path.split("?")[0].rsplit("/", 1)[-1])
        self.answer({"kind": "Status"})

    def do_POST(self):
        body = self.body()
        described = body["spec"]["trainer"]
        variables = {each["name"]: each["value"] for each in described["env"]}
        port = str(free_ports(1)[0])
        nodes = []
        for rank in range(described["numNodes"]):
            disk = self.folder / f"{len(self.ran)}-{rank}"
            disk.mkdir(parents=True)
            torchrun = {"PET_NNODES": str(described["numNodes"]), "PET_NPROC_PER_NODE": "1", "PET_NODE_RANK": str(rank)}
            torchrun |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": port, "TMPDIR": str(disk)}
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            command = ["bash", "-c", described["command"][2]]
            environment = {**os.environ, **variables, **torchrun, "PATH": path}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            nodes.append(subprocess.Popen(command, cwd=disk, env=environment, **pipes))
        told = [node.communicate(timeout=300) for node in nodes]
        self.ran.append(told[0][1])
        condition = {"type": "Failed" if any(node.returncode for node in nodes) else "Complete", "status": "True",
                     "reason": "r", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
        namespace = self.path.split("/namespaces/", 1)[1].split("/", 1)[0]
        body["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "namespace": namespace}
        self.jobs[body["metadata"]["name"]] = body | {"status": {"conditions": [condition]}}
        self.answer(body, 201)


def allowed(method, path):
    """Whether a role of kubernetes/components/train-job allows a request to the Kubernetes API."""
    documents = list(yaml.safe_load_all((ROOT / "kubernetes/components/train-job/roles.yaml").read_text()))
    rules = [rule for each in documents if each["kind"] in ("Role", "ClusterRole") for rule in each["rules"]]
    parts = path.strip("/").split("/")
    group, rest = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
    rest = rest[2:] if rest[0] == "namespaces" else rest
    resource = "/".join(rest[::2])
    verb = {"POST": "create", "DELETE": "delete", "GET": "get" if len(rest) > 1 else "list"}[method]
    return any(group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"] for rule in rules)


@pytest.mark.long
def test_a_step_of_the_pipeline_trains_on_machines_of_its_own(faces, weights, storage, tmp_path, monkeypatch):
    """Two machines share nothing but object storage; a failed job is created again, a complete one is found."""
    section = {"size": 128, "channels": 4, "checkpoint_every": 1, "device": "cuda"}
    Trainer.folder = tmp_path / "nodes"
    monkeypatch.setenv("KFP_RUN_ID", "run-1")

    def step(name):
        run, log = (SimpleNamespace(path=str(tmp_path / name / part), metadata={}) for part in ("averages", "log"))
        places = {"faces": SimpleNamespace(path=str(faces)), "weights": SimpleNamespace(path=str(weights))}
        spec = {"nodes": 2, "gpus": 0}
        told = {"place": f"s3://{storage.bucket}/jobs", "pvc": "", "spec": spec, "image": "i", "mlflow_uri": ""}
        train_distributed.python_func(section, 2, 2, 1e-4, **places, **told, averages=run, log=log)
        return run

    with served(Trainer) as server:
        (tmp_path / "kubeconfig").write_text(kubeconfig(server.host))
        # The client reads KUBECONFIG only at import.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        for tries in (1, 2):  # there is no GPU; the second try replaces the failed job
            with pytest.raises(SystemExit):
                step("failed")
            assert len(Trainer.ran) == tries and "no GPU" in Trainer.ran[-1]
        assert not (tmp_path / "failed").exists()
        section["device"] = "cpu"
        run = step("run")
        assert run.metadata["last_checkpoint"] == "step-000002" and run.metadata["mlflow_run"], Trainer.ran[-1]
        assert (tmp_path / "run/averages/checkpoints/step-000002/checkpoint.json").exists()
        assert (tmp_path / "run/log/stats.jsonl").exists()
        step("again")
        assert len(Trainer.ran) == 3  # the job existed and was complete
        delete_jobs_of("run-1", "kubeflow")
        assert Trainer.jobs == {}
        refused = {each for each in Trainer.asked if not allowed(*each)}
        # The SDK looks for Trainer's version, and goes on without it.
        assert {path.rsplit("/", 1)[-1] for _, path in refused} <= {"kubeflow-trainer-public"}


def test_times_of_a_log_are_compared_as_times():
    """Kubernetes writes them in the node's time zone, without trailing zeros."""
    stamps = [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5Z",
        "2026-01-01T00:00:00.51Z",
        "2026-01-01T02:00:01.1+02:00",
    ]
    assert sorted(stamps, key=_instant) == stamps and _instant("") < _instant(stamps[0])
    for zone in (UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5))):
        stamp = (datetime.now(zone) - timedelta(seconds=6)).isoformat()
        assert 6 <= _seconds_since(stamp) <= 9, stamp
