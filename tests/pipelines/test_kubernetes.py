"""The manifests match Kubernetes' own models of its schema, field by field."""

import json
from types import SimpleNamespace

import pytest
import yaml
from kubernetes import client

from pipelines.cluster import CHECKPOINTS, DEFAULT, REPOSITORY, load_cluster
from tests.conftest import ROOT

KINDS = (
    "Job",
    "PersistentVolumeClaim",
    "Deployment",
    "Service",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
)
MODELS = {kind: f"V1{kind}" for kind in KINDS}
FILES = ("kubernetes.yaml", "kubernetes-volumes.yaml", "kubernetes-root-volumes.yaml")
MANIFESTS = [each for name in FILES for each in yaml.safe_load_all((ROOT / "pipelines" / name).read_text())]
PODS = [each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] in ("Deployment", "Job")]


def as_kubernetes_reads_it(manifest):
    """Return the manifest after a round trip through the client's model, which drops unknown fields."""
    api = client.ApiClient()
    read = api.deserialize(SimpleNamespace(data=json.dumps(manifest)), MODELS[manifest["kind"]])
    return api.sanitize_for_serialization(read)


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_a_manifest_follows_the_schema(manifest):
    assert as_kubernetes_reads_it(manifest) == manifest
    inside = "spec" if "spec" in manifest else "metadata"
    misspelt = {**manifest, inside: {**manifest[inside], "replica": 2}}
    assert as_kubernetes_reads_it(misspelt) != misspelt


def test_every_server_has_limits_and_says_when_it_is_ready():
    containers = [container for pod in PODS for container in pod["containers"] if "readinessProbe" in container]
    assert [container["name"] for container in containers] == ["triton", "mlflow", "triton"]
    assert all(container["resources"]["limits"]["memory"] for container in containers)


def test_every_pod_passes_the_restricted_standard():
    """Kubernetes' Pod Security Standard `restricted`; Kubeflow adds the same to the pods of its steps."""
    *pods, root = PODS
    assert len(pods) == 6
    assert root["securityContext"]["runAsUser"] == 0  # gives a volume away where its driver ignores fsGroup
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_claims_are_those_that_a_cluster_file_names(tmp_path):
    text = (ROOT / "pipelines/cluster.yaml").read_text()
    places = ("checkpoints:", "repository:")
    lines = [line.removeprefix("# ") if "_pvc:" in line else line for line in text.splitlines()]
    lines = [line for line in lines if not line.startswith(places)]
    (tmp_path / "cluster.yaml").write_text("\n".join(lines))
    cluster = load_cluster(tmp_path / "cluster.yaml")
    claims = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "PersistentVolumeClaim"}
    assert {cluster.checkpoints_pvc, cluster.repository_pvc} == claims - {"mlflow"}
    assert (cluster.training_place, cluster.model_repository) == (CHECKPOINTS, REPOSITORY)


def test_server_and_steps_use_the_same_storage_and_mlflow():
    """The default cluster file and the manifests fit each other, with nothing to set but the images."""
    cluster = load_cluster(DEFAULT)
    triton, mlflow = PODS[0]["containers"][0], PODS[1]["containers"][0]
    assert cluster.repository in triton["command"]
    given = {each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"] for each in triton["env"]}
    assert given["AWS_ENDPOINT_URL"] == cluster.env["AWS_ENDPOINT_URL"]
    for secret in cluster.secrets:
        for key, variable in secret.env.items():
            assert given[variable] == {"name": secret.name, "key": key}
    (follow,) = (pod["containers"][0] for pod in PODS[:3] if pod["containers"][0]["name"] == "follow")
    assert cluster.repository in follow["command"] and follow["env"][1:] == triton["env"]
    (port,) = mlflow["ports"]
    assert cluster.env["MLFLOW_TRACKING_URI"] == f"http://mlflow.kubeflow:{port['containerPort']}"
