"""The settings of a cluster file reach the pods as Kubeflow and Kubernetes expect them; wrong settings are named."""

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from photo2cartoon.errors import UserError
from photo2cartoon.params import Train
from pipelines.cluster import Cluster, load_cluster
from pipelines.photo2cartoon import COMPILED, compile_to
from tests.conftest import ROOT

EVERYTHING = """
image: registry.example.org/photo2cartoon:1.2
pull_secrets: [registry]
pull_policy: Always
shards: 3
checkpoints_pvc: checkpoints
repository_pvc: models
env: {MLFLOW_TRACKING_URI: "http://mlflow:5000"}
secrets:
  - {name: object-storage, env: {key: AWS_ACCESS_KEY_ID, secret: AWS_SECRET_ACCESS_KEY}}
labels: {kueue.x-k8s.io/queue-name: training}
webhook: https://chat.example.org/hooks/1
deadline: 7200
keep_finished: 60
every_step: {cpu: 500m, cpu_request: 100m, memory: 2Gi, memory_request: 1Gi, retries: 1}
steps:
  train:
    gpus: 4
    memory: 64Gi
    shared_memory: 8Gi
    retries: 5
    timeout: 86400
    node_selector: {pool: gpu}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Pipeline document and platform document, compiled for a cluster that uses every setting."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "cluster.yaml").write_text(EVERYTHING)
    compile_to(folder / "pipeline.yaml", load_cluster(folder / "cluster.yaml"))
    return list(yaml.safe_load_all((folder / "pipeline.yaml").read_text()))


def test_both_documents_follow_their_schemas(compiled):
    for documents in (compiled, list(yaml.safe_load_all(COMPILED.read_text()))):
        spec, platform = documents
        json_format.ParseDict(spec, PipelineSpec())
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        assert executors.keys() == spec["deploymentSpec"]["executors"].keys()
        for settings in executors.values():
            json_format.ParseDict(settings, KubernetesExecutorConfig())
        wrong = {**settings, "tolerationss": []}
        with pytest.raises(json_format.ParseError):
            json_format.ParseDict(wrong, KubernetesExecutorConfig())


def test_training_gets_what_the_file_says(compiled):
    spec, platform = compiled
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["image"] == "registry.example.org/photo2cartoon:1.2"
    assert container["resources"]["accelerator"] == {
        "count": "4",
        "resourceCount": "4",
        "resourceType": "nvidia.com/gpu",
        "type": "nvidia.com/gpu",
    }
    assert container["resources"]["resourceMemoryLimit"] == "64Gi"
    assert container["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"}]
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert pod["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert pod["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    assert [mount["mountPath"] for mount in pod["pvcMount"]] == ["/checkpoints"]
    assert pod["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
    assert pod["activeDeadlineSeconds"] == "86400" and pod["securityContext"]["runAsNonRoot"]
    assert pod["imagePullSecret"][0]["secretName"] == "registry" and pod["imagePullPolicy"] == "Always"
    task = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["train"]
    assert task["retryPolicy"]["maxRetryCount"] == 5
    assert task["inputs"]["parameters"]["place"]["runtimeValue"]["constant"] == "/checkpoints"


def test_the_end_of_a_run_is_as_the_file_says(compiled):
    spec, platform = compiled
    config = platform["platforms"]["kubernetes"]["pipelineConfig"]
    kept = {f"resourceTtlOn{end}": 60 for end in ("Completion", "Success", "Failure")}
    assert config == {"activeDeadlineSeconds": 7200, **kept}
    given = spec["root"]["dag"]["tasks"]["finish"]["inputs"]["parameters"]
    assert given["webhook"]["runtimeValue"]["constant"] == "https://chat.example.org/hooks/1"
    assert given["status"]["taskFinalStatus"]["producerTask"] == "exit-handler-1"


def test_every_step_reserves_less_than_its_limit_and_is_queued(compiled):
    spec, platform = compiled
    for name, executor in spec["deploymentSpec"]["executors"].items():
        resources = executor["container"]["resources"]
        assert (resources["resourceCpuRequest"], resources["resourceMemoryRequest"]) == ("100m", "1Gi"), name
    for pod in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        assert pod["podMetadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "training"}


def test_the_default_fits_a_small_node():
    """Reservations of the largest step leave room for Kubeflow on a node of 2 CPUs and 8 GiB."""
    cluster = load_cluster()
    steps = [cluster.step(name) for name in ("check", "preprocess", "train", "evaluate", "promote")]
    assert {step.cpu for step in steps} == {"2"}
    assert {step.cpu_request for step in steps} == {"100m"}  # and Argo's 100m a pod; 0.6 CPUs are left
    assert {step.memory_request for step in steps} <= {"512Mi", "1Gi", "2Gi"}
    load_cluster(ROOT / "pipelines/cluster-gpu.yaml")


def test_every_step_has_the_secrets_and_is_nobody_special(compiled):
    for name, pod in compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        assert {item["envVar"] for item in pod["secretAsEnv"][0]["keyToEnv"]} == {
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        }, name
        assert pod["securityContext"] == {"runAsGroup": "1000", "runAsNonRoot": True, "runAsUser": "1000"}
        assert pod["fieldPathAsEnv"] == [{"fieldPath": "metadata.labels['pipeline/runid']", "name": "KFP_RUN_ID"}]


def test_a_step_has_what_every_step_has_but_for_its_own():
    cluster = Cluster.model_validate({"every_step": {"cpu": "2", "retries": 3}, "steps": {"promote": {"cpu": "1"}}})
    assert (cluster.step("promote").cpu, cluster.step("promote").retries) == ("1", 3)
    assert (cluster.step("train").cpu, cluster.step("train").retries) == ("2", 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps: {training: {gpus: 1}}", "steps.training"),
        ("steps: {train: {gpu: 1}}", r"steps\.train\.gpu"),
        ("every_step: {memory: much}", "every_step.memory"),
        ("shards: none", "shards"),
        ("image: [", "is no YAML"),
        ("checkpoints: bucket/training", "checkpoints"),
        ("{checkpoints: 's3://b/t', checkpoints_pvc: c}", "either at `checkpoints` or on the `checkpoints_pvc`"),
        ("{repository: 's3://b/t', repository_pvc: c}", "either from `repository` or from the `repository_pvc`"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, told):
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"cluster\.yaml: .*{told}"):
        load_cluster(tmp_path / "cluster.yaml")
    with pytest.raises(UserError, match=r"no-such\.yaml: No such file"):
        load_cluster(tmp_path / "no-such.yaml")


def test_training_across_machines_is_a_step_of_its_own(tmp_path):
    """The step receives the number of machines and the PVC, and mounts the shared volume."""
    (tmp_path / "cluster.yaml").write_text(EVERYTHING + "train_job: {nodes: 3, gpus: 8}\n")
    compile_to(tmp_path / "pipeline.yaml", load_cluster(tmp_path / "cluster.yaml"))
    spec, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    json_format.ParseDict(spec, PipelineSpec())
    given = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["train"]["inputs"]["parameters"]
    told = {name: value["runtimeValue"]["constant"] for name, value in given.items() if "runtimeValue" in value}
    assert (told["pvc"], told["place"]) == ("checkpoints", "/checkpoints")
    assert (told["spec"]["nodes"], told["spec"]["gpus"]) == (3, 8)
    assert told["spec"]["env"] and told["spec"]["secrets"][0]["env"] and told["spec"]["labels"]
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-train"]["pvcMount"][0]["mountPath"] == "/checkpoints"


def test_machines_need_a_place_that_they_share(tmp_path):
    (tmp_path / "cluster.yaml").write_text("train_job: {nodes: 2}\n")
    with pytest.raises(UserError, match="needs `checkpoints`, or a checkpoints_pvc"):
        load_cluster(tmp_path / "cluster.yaml")
    (tmp_path / "cluster.yaml").write_text("{train_job: {nodes: 2}, checkpoints: 's3://bucket/training'}\n")
    assert load_cluster(tmp_path / "cluster.yaml").training_place == "s3://bucket/training"


def test_a_pod_with_several_gpus_trains_with_one_process_each(tmp_path):
    (tmp_path / "cluster.yaml").write_text("steps: {train: {gpus: 8}}\n")
    cluster = load_cluster(tmp_path / "cluster.yaml")
    compile_to(tmp_path / "pipeline.yaml", cluster)
    spec = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    given = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["train"]["inputs"]["parameters"]
    assert given["gpus"]["runtimeValue"]["constant"] == 8
    cluster.check_batch(Train(batch=16))
    with pytest.raises(UserError, match=r"train\.batch: 4 pictures cannot be divided among 8 processes"):
        cluster.check_batch(Train(batch=4))
    cluster.check_batch(Train(batch=4, processes=2))  # params.yaml takes precedence


def test_settings_of_the_previous_release_are_read_with_a_note(tmp_path, capsys):
    old = "parts: 5\ncheckpoints_claim: a\nrepository_claim: b\nsteps: {version: {cpu: '1'}, split: {cpu: '1'}}\n"
    (tmp_path / "cluster.yaml").write_text(old)
    cluster = load_cluster(tmp_path / "cluster.yaml")
    assert (cluster.shards, cluster.checkpoints_pvc, cluster.repository_pvc) == (5, "a", "b")
    assert cluster.step("check").cpu == "1"
    told = capsys.readouterr().err
    assert "'parts' is called 'shards' now" in told and "'split' has no effect any more" in told
