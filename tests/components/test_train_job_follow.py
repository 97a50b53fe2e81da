"""A TrainJob is followed through restarts: log, progress, reasons of waiting, and its last words when it fails."""

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest
from kubernetes import client as api

from components.train_job_follow import Follower
from photo2cartoon.errors import UserError
from tests.pipelines.servers import JsonAnswers, served

LABELS = {"jobset.sigs.k8s.io/replicatedjob-name": "node"}
START = datetime.now(UTC) - timedelta(minutes=5)


def pod(name, phase, index="0", restarts=0, **status):
    state = {"running": {}} if phase == "Running" else status.pop("state", {})
    containers = (
        [] if phase == "Pending" and not state else [{"name": "node", "restartCount": restarts, "state": state}]
    )
    for each in containers:
        each |= {"image": "i", "imageID": "i", "ready": True}
    labels = LABELS | {"batch.kubernetes.io/job-completion-index": index}
    created = (START + timedelta(seconds=int(name.rsplit("-", 1)[-1]))).isoformat()
    return {"metadata": {"name": name, "labels": labels, "creationTimestamp": created},
            "status": {"phase": phase, "containerStatuses": containers, **status}}  # fmt: skip


def job(condition=None, message="", **status):
    conditions = [{"type": condition, "status": "True", "message": message}] if condition else []
    return {"metadata": {"name": "j"}, "status": {"conditions": conditions, **status}}


def line(second, words):
    return f"{(START + timedelta(seconds=second)).strftime('%Y-%m-%dT%H:%M:%S')}.000000001Z {words}"


class Cluster(JsonAnswers, BaseHTTPRequestHandler):
    """Answers with one scene after another: the job, its pods, and the log of each pod."""

    def do_GET(self):
        path = self.path.split("?")[0]
        scenes = self.server.scenes
        if path.endswith("/trainjobs/j"):
            self.server.now += 1
        scene = scenes[min(self.server.now, len(scenes) - 1)]
        if path.endswith("/trainjobs/j"):
            body, status = scene[0], 200 if scene[0] else 404
            self.answer(body or {}, 503 if scene[0] == "away" else status)
        elif path.endswith("/pods"):
            self.answer({"kind": "PodList", "apiVersion": "v1", "items": scene[1]})
        else:
            text = scene[2][path.split("/")[-2]]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write("\n".join(text).encode())


@pytest.fixture
def follow(capfd):
    """Function that follows scenes to the end and returns what was printed."""

    def run(*scenes):
        with served(Cluster) as server:
            server.scenes, server.now = scenes, -1
            connection = api.ApiClient(api.Configuration(host=server.host))
            backend = SimpleNamespace(
                custom_api=api.CustomObjectsApi(connection), core_api=api.CoreV1Api(connection), namespace="kubeflow"
            )
            follower = Follower(SimpleNamespace(backend=backend), "j", poll=0.01)
            try:
                follower.follow()
            finally:
                run.out, run.err = capfd.readouterr()
        return run.out.splitlines(), run.err.splitlines()

    return run


def test_a_replaced_pod_is_followed_on(follow):
    first, second = pod("j-node-0-1", "Running"), pod("j-node-0-2", "Running")
    begun = [line(1, "step 1"), line(2, "step 2")]
    out, _ = follow(
        (job(), [], {}),
        (job(), [first], {"j-node-0-1": begun[:1]}),
        (job(), [first], {"j-node-0-1": begun}),
        ("away", [], {}),
        (job(), [first, second], {"j-node-0-2": [line(9, "holds step-2")]}),
        (job("Complete"), [second], {"j-node-0-2": [line(9, "holds step-2"), line(10, "step 3")]}),
    )
    assert out == [
        "step 1", "step 2", "kubeflow/j: the main process was restarted, in j-node-0-2", "holds step-2", "step 3",
        "kubeflow/j: complete",
    ]  # fmt: skip


def test_a_container_that_is_restarted_in_its_pod_is_followed_on(follow):
    again = pod("j-node-0-1", "Running", restarts=1)
    out, _ = follow(
        (job(), [pod("j-node-0-1", "Running")], {"j-node-0-1": [line(5, "late")]}),
        (job("Complete"), [again], {"j-node-0-1": [line(6, "again")]}),
    )
    assert [words for words in out if "restarted" not in words][:2] == ["late", "again"]


def test_only_the_main_process_is_shown(follow):
    nodes = [pod("j-node-0-1", "Running"), pod("j-node-1-2", "Running", index="1")]
    out, _ = follow((job("Complete"), nodes, {"j-node-0-1": [line(1, "main")], "j-node-1-2": [line(1, "other")]}))
    assert out == ["main", "kubeflow/j: complete"]


def test_trainers_own_progress_is_shown_once(follow):
    half = {"trainerStatus": {"progressPercentage": 50, "estimatedRemainingSeconds": 600}}
    out, _ = follow((job(**half), [], {}), (job(**half), [], {}), (job("Complete"), [], {}))
    assert out == ["kubeflow/j: 50 %, 10 min left", "kubeflow/j: complete"]


def test_a_pod_that_waits_is_explained(follow):
    unplaced = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    nodes = [pod("j-node-0-1", "Pending", conditions=[unplaced]), pod("j-node-1-2", "Pending", index="1", state=pull)]
    _, err = follow((job("Suspended", "queued"), nodes, {}), (job(), nodes, {}), (job("Complete"), [], {}))
    assert err == [
        "train-job: j: is suspended: queued",
        "train-job: node 0: its pod has been waiting for a minute: 0/1 nodes are available: 1 Insufficient cpu.",
        "train-job: node 1: its pod has been waiting for a minute: ImagePullBackOff: no such image",
    ]


def test_a_failed_job_says_its_last_words(follow):
    ended = pod("j-node-0-1", "Failed", state={"terminated": {"exitCode": 1}})
    log = {"j-node-0-1": [line(1, "Traceback"), line(2, "train: train.device: 'cuda', but torch sees no GPU here")]}
    with pytest.raises(UserError, match=r"train-job: kubeflow/j failed: train: train.device: 'cuda'"):
        follow((job("Failed", "a node failed"), [ended], log))
    with pytest.raises(UserError, match="kubeflow/j failed: a node failed"):
        follow((job("Failed", "a node failed"), [], {}))
    with pytest.raises(UserError, match="j was deleted before it ended"):
        follow((None, [], {}))
