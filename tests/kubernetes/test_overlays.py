"""Every overlay and every combination that the documents name builds, and follows the schemas field by field."""

import json
from functools import cache
from types import SimpleNamespace

import jsonschema
import pytest
import yaml
from kubernetes import client

from monitoring.rule import rule
from photo2cartoon.serving.server import STOP_SECONDS
from pipelines.cluster import CHECKPOINTS, DEFAULT, REPOSITORY, load_cluster
from tests.conftest import ROOT
from tests.kubernetes import tools

KUBERNETES = ROOT / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
STORAGE = "object-storage"
# Components in docs/how-to/cluster.md, on base and mlflow.
COMBINATIONS = [
    (),
    (STORAGE,),
    ("claim",),
    ("claim", "root-volumes"),
    (STORAGE, "gpu"),
    (STORAGE, "autoscaling"),
    (STORAGE, "keda"),
    (STORAGE, "gateway", "token"),
    (STORAGE, "network"),
    (STORAGE, "queue", "train-job"),
    (STORAGE, "mlflow-postgresql"),
    (STORAGE, "gpu", "keda", "gateway", "token", "network", "queue", "mlflow-postgresql"),
]
OWN = {
    "autoscaling/v2": "V2",
}


@cache
def overlay(name):
    return tools.build(KUBERNETES / "overlays" / name)


@cache
def combined(*components):
    """Build base and MLflow with components, as a user's kustomization beside the project would."""
    folder = KUBERNETES / "overlays" / ("test-" + "-".join(components or ("base",)))
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "kubeflow",
        "resources": ["../../base", "../../mlflow"],
        "components": [f"../../components/{name}" for name in components],
    }
    folder.mkdir()
    try:
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
        return tools.build(folder)
    finally:
        (folder / "kustomization.yaml").unlink()
        folder.rmdir()


def everything():
    for name in OVERLAYS:
        yield from overlay(name)
    for components in COMBINATIONS:
        yield from combined(*components)


def pods(manifests):
    for each in manifests:
        if each["kind"] in ("Deployment", "Job", "StatefulSet"):
            yield each["spec"]["template"]["spec"]
        elif each["kind"] == "CronJob":
            yield each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif each["kind"] == "ServingRuntime":
            yield each["spec"]


def named(manifests, kind, name):
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def container(manifests, name="photo2cartoon"):
    return named(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]


def settings(manifests, name="photo2cartoon"):
    (found,) = [
        each["data"]
        for each in manifests
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].rpartition("-")[0] == name
    ]
    return found


def as_kubernetes_reads_it(manifest):
    """Return the manifest after a round trip through the client's model, which drops unknown fields."""
    api = client.ApiClient()
    model = f"{OWN.get(manifest['apiVersion'], 'V1')}{manifest['kind']}"
    read = api.deserialize(SimpleNamespace(data=json.dumps(manifest)), model)
    return api.sanitize_for_serialization(read)


def differs(manifest, schemas):
    """Return what a manifest has that its schema does not allow."""
    name = manifest["apiVersion"], manifest["kind"]
    if name in schemas:
        return [error.message for error in jsonschema.Draft7Validator(schemas[name]).iter_errors(manifest)]
    read = as_kubernetes_reads_it(manifest)
    return [] if read == manifest else [f"{name}: reads as {read}"]


@pytest.fixture(scope="module")
def schemas():
    return tools.schemas()


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_follows_the_schemas(name, schemas):
    assert [error for manifest in overlay(name) for error in differs(manifest, schemas)] == []


@pytest.mark.parametrize("components", COMBINATIONS, ids=lambda names: "+".join(names) or "base")
def test_a_combination_follows_the_schemas(components, schemas):
    assert [error for manifest in combined(*components) for error in differs(manifest, schemas)] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_misspelt_field_is_found_anywhere(name, schemas):
    for manifest in overlay(name):
        inside = "spec" if "spec" in manifest else "metadata" if "rules" not in manifest else None
        if inside is None or (inside == "metadata" and (manifest["apiVersion"], manifest["kind"]) in schemas):
            continue
        wrong = {**manifest, inside: {**manifest[inside], "replica": 2}}
        assert differs(wrong, schemas) != [], manifest["kind"]


def test_every_pod_passes_the_restricted_standard():
    """Pod Security Standard `restricted`, a read-only root, and no token but the KServe follower's."""
    for pod in pods(everything()):
        containers = pod.get("initContainers", []) + pod["containers"]
        if containers[0]["name"] == "chown":
            continue  # gives a volume away where its driver ignores fsGroup
        runtime = containers[0]["name"] == "kserve-container"
        secure = containers[0]["securityContext"] if runtime else pod["securityContext"]
        assert secure["runAsNonRoot"] and secure["seccompProfile"] == {"type": "RuntimeDefault"}
        assert runtime or pod.get("automountServiceAccountToken") is False or "--kserve" in containers[0]["command"]
        for each in containers:
            own = each["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}
            assert own["readOnlyRootFilesystem"] is True
            assert each["resources"]["limits"]["memory"]


def test_the_inference_service_mounts_no_token():
    predictor = named(overlay("kserve"), "InferenceService", "photo2cartoon")["spec"]["predictor"]
    assert predictor["automountServiceAccountToken"] is False


def test_a_server_that_ends_has_time_to_finish_its_calls():
    for manifests in map(overlay, ("small", "production", "claim")):
        pod = named(manifests, "Deployment", "photo2cartoon")["spec"]["template"]["spec"]
        seconds = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert seconds >= 5 and seconds + STOP_SECONDS <= pod["terminationGracePeriodSeconds"]


def test_every_server_says_when_it_is_ready():
    for manifests in map(overlay, OVERLAYS):
        servers = [each for pod in pods(manifests) for each in pod["containers"] if "ports" in each]
        assert len(servers) >= 2 and all("readinessProbe" in each for each in servers)


def test_images_are_set_in_one_place():
    """The names of an overlay's `images` are those of every container, so that a digest reaches all."""
    for name in OVERLAYS:
        text = yaml.safe_load((KUBERNETES / "overlays" / name / "kustomization.yaml").read_text())
        own = {each["name"] for each in text["images"]}
        used = {each["image"].partition(":")[0] for pod in pods(overlay(name)) for each in pod["containers"]}
        assert own == used - {"postgres"}


def test_the_claims_are_those_that_a_cluster_file_names(tmp_path):
    text = (ROOT / "pipelines/cluster.yaml").read_text()
    places = ("checkpoints:", "repository:")
    lines = [line.removeprefix("# ") if "_pvc:" in line else line for line in text.splitlines()]
    lines = [line for line in lines if not line.startswith(places)]
    (tmp_path / "cluster.yaml").write_text("\n".join(lines))
    cluster = load_cluster(tmp_path / "cluster.yaml")
    claims = {each["metadata"]["name"] for each in overlay("claim") if each["kind"] == "PersistentVolumeClaim"}
    assert {cluster.checkpoints_pvc, cluster.repository_pvc} == claims - {"mlflow"}
    assert (cluster.training_place, cluster.model_repository) == (CHECKPOINTS, REPOSITORY)
    mounted = {each["name"]: each["mountPath"] for each in container(overlay("claim"))["volumeMounts"]}
    assert mounted["models"] == settings(overlay("claim"))["REPOSITORY"]


def test_server_and_steps_use_the_same_storage_and_mlflow():
    """The default cluster file and the overlay `small` fit each other, with nothing to set but the images."""
    cluster, manifests = load_cluster(DEFAULT), overlay("small")
    own = settings(manifests)
    assert own["REPOSITORY"] == cluster.repository
    assert own["AWS_ENDPOINT_URL"] == cluster.env["AWS_ENDPOINT_URL"]
    for name in ("photo2cartoon", "photo2cartoon-follow"):
        only = container(manifests, name)
        assert "$(REPOSITORY)" in only["command"]
        given = {each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"] for each in only["env"]}
        for secret in cluster.secrets:
            for key, variable in secret.env.items():
                assert given[variable] == {"name": secret.name, "key": key}
    (port,) = container(manifests, "mlflow")["ports"]
    assert cluster.env["MLFLOW_TRACKING_URI"] == f"http://mlflow.kubeflow:{port['containerPort']}"


def test_the_autoscaler_owns_the_number_of_servers():
    manifests = overlay("production")
    assert "replicas" not in named(manifests, "Deployment", "photo2cartoon")["spec"]
    (metric,) = named(manifests, "HorizontalPodAutoscaler", "photo2cartoon")["spec"]["metrics"]
    (found,) = yaml.safe_load((KUBERNETES / "components/autoscaling/adapter-rules.yaml").read_text())["rules"]
    assert metric["pods"]["metric"]["name"] == found["name"]["as"]


def test_the_gateway_routes_no_model_control():
    route = named(overlay("production"), "GRPCRoute", "photo2cartoon")
    methods = {match["method"]["method"] for rule in route["spec"]["rules"] for match in rule["matches"]}
    assert methods == {
        "ModelInfer", "ModelReady", "ModelMetadata", "ModelStatistics", "ServerLive", "ServerReady",
    }  # fmt: skip


def test_the_cluster_has_the_alerts_of_the_file():
    """`python monitoring/rule.py` renews them."""
    assert (ROOT / "monitoring/rule.yaml").read_text() == rule((ROOT / "monitoring/alerts.yaml").read_text())
    alerts = yaml.safe_load((ROOT / "monitoring/alerts.yaml").read_text())
    assert named(overlay("production"), "PrometheusRule", "photo2cartoon")["spec"] == alerts


def selects(selector, labels):
    """Whether a label selector of Kubernetes selects an object with these labels."""
    by = {
        "Exists": lambda key, _: key in labels,
        "In": lambda key, values: labels.get(key) in values,
    }
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        by[each["operator"]](each["key"], each.get("values")) for each in selector.get("matchExpressions", [])
    )


def may_connect(manifests, client, namespace, server, port):
    """Whether network policies let pods with the labels `client` connect to those with `server`, as a plugin decides it."""
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    closing = [each for each in policies if "Ingress" in each["policyTypes"] and selects(each["podSelector"], server)]
    rules = [rule for each in closing for rule in each.get("ingress", [])]
    spaces = {"kubernetes.io/metadata.name": namespace}
    return not closing or any(
        selects(peer.get("podSelector", {}), client)
        and (selects(peer["namespaceSelector"], spaces) if "namespaceSelector" in peer else namespace == "kubeflow")
        for rule in rules
        if any(each["port"] == port for each in rule["ports"])
        for peer in rule["from"]
    )


def labels_of(manifests, kind, name):
    spec = named(manifests, kind, name)["spec"]
    return (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]["metadata"]["labels"]


def test_a_closed_network_lets_through_who_has_work_there():
    manifests = overlay("production")
    step, trainer = {"workflows.argoproj.io/workflow": "run"}, {"jobset.sigs.k8s.io/jobset-name": "run"}
    server, follower, mlflow = (
        labels_of(manifests, "Deployment", name) for name in ("photo2cartoon", "photo2cartoon-follow", "mlflow")
    )
    database = labels_of(manifests, "StatefulSet", "mlflow-postgresql")
    stranger = {"app": "stranger"}
    migration, backup = (("Job", "mlflow-migration"), ("CronJob", "mlflow-backup"))
    of_database = [mlflow, *(labels_of(manifests, *each) for each in (migration, backup))]
    expected = [
        (server, 8001, [(follower, "kubeflow"), (step, "kubeflow"), (stranger, "gateway")]),
        (server, 8002, [(stranger, "monitoring")]),
        (mlflow, 5000, [(follower, "kubeflow"), (step, "kubeflow"), (trainer, "kubeflow"), (stranger, "gateway")]),
        (database, 5432, [(labels, "kubeflow") for labels in of_database]),
    ]
    everybody = [client for *_, clients in expected for client in clients] + [(stranger, "kubeflow")]
    for labels, port, clients in expected:
        for who in everybody:
            assert may_connect(manifests, *who, labels, port) == (who in clients), (who, labels, port)
