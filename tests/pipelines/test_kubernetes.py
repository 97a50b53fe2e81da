"""The manifests match Kubernetes' own models of its schema, field by field."""

import json
from types import SimpleNamespace

import pytest
import yaml
from kubernetes import client

from pipelines.cluster import CHECKPOINTS, REPOSITORY, load_cluster
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
MANIFESTS = list(yaml.safe_load_all((ROOT / "pipelines/kubernetes.yaml").read_text()))


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


def test_the_server_is_nobody_special_and_has_limits():
    (pod,) = [each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] == "Deployment"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["resources"]["limits"]["memory"] and container["readinessProbe"]


def test_every_pod_passes_the_restricted_standard():
    """Kubernetes' Pod Security Standard `restricted`; Kubeflow adds the same to the pods of its steps."""
    pods = [each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] in ("Deployment", "Job")]
    assert len(pods) == 2
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
    lines = [line.removeprefix("# ") if "_pvc:" in line else line for line in text.splitlines()]
    (tmp_path / "cluster.yaml").write_text("\n".join(lines))
    cluster = load_cluster(tmp_path / "cluster.yaml")
    claims = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "PersistentVolumeClaim"}
    assert {cluster.checkpoints_pvc, cluster.repository_pvc} == claims
    assert (cluster.training_place, cluster.repository) == (CHECKPOINTS, REPOSITORY)
