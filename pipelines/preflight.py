"""Looks in the cluster for what a cluster file names, before a run is sent whose pods would wait for it for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError
from pipelines.cluster import Cluster


def must_have(cluster: Cluster, file: Path, api: Any, namespace: str) -> None:
    """Check that secrets and claims exist, and Trainer's runtime where `train_job` needs it.

    What the credentials may not look at is skipped.

    Args:
        cluster: settings.
        file: the cluster file, for the message.
        api: kubernetes' client.
        namespace: that pipelines run in.

    Raises:
        UserError: something is missing; the message says how it is made.
    """
    for read, what, remedy in _needed(cluster, api, namespace):
        if _is_missing(read):
            raise UserError(f"{file}: {what} does not exist in namespace {namespace}: {remedy}")


def _needed(cluster: Cluster, api: Any, namespace: str) -> Iterator[tuple[Callable[[], Any], str, str]]:
    from kubernetes import client

    core, custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
    keys = {secret.name: " ".join(f"--from-literal={key}=…" for key in secret.env)
            for secret in cluster.secrets if not secret.optional}  # fmt: skip
    for name, values in keys.items():
        remedy = f"kubectl create secret generic {name} -n {namespace} {values}"
        yield lambda name=name: core.read_namespaced_secret(name, namespace), f"secret '{name}'", remedy
    for name in cluster.pull_secrets:
        remedy = f"kubectl create secret docker-registry {name} -n {namespace} --docker-server=…"
        yield lambda name=name: core.read_namespaced_secret(name, namespace), f"pull secret '{name}'", remedy
    for name in filter(None, (cluster.checkpoints_pvc, cluster.repository_pvc)):
        remedy = f"kubectl apply -n {namespace} -f kubernetes/components/claim/volumes.yaml"
        read = lambda name=name: core.read_namespaced_persistent_volume_claim(name, namespace)  # noqa: E731
        yield read, f"persistent volume claim '{name}'", remedy
    if cluster.train_job:
        place = ("trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes", "torch-distributed")
        remedy = "install Kubeflow Trainer 2 with its runtimes, or leave out train_job"
        yield lambda: custom.get_cluster_custom_object(*place), "Kubeflow Trainer's runtime 'torch-distributed'", remedy


def _is_missing(read: Callable[[], Any]) -> bool:
    from kubernetes.client import ApiException

    try:
        read()
    except ApiException as error:
        return error.status == 404
    return False
