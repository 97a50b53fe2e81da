"""Describes training as a TrainJob of Kubeflow Trainer, on one machine or several. `train_job_submit` submits it.

Its inputs and its state are in object storage, where every machine reads and the main process writes, or on a volume
that all machines can write (ReadWriteMany).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from kubeflow.trainer import CustomTrainer
from kubeflow.trainer.backends.kubernetes.backend import KubernetesBackend
from kubeflow.trainer.constants import constants
from kubeflow.trainer.options import common, kubernetes
from kubeflow.trainer.types import types

from photo2cartoon.errors import UserError
from photo2cartoon.params import Train
from photo2cartoon.tracking.client import URI_VARIABLE
from photo2cartoon.tracking.lineage import KUBEFLOW_RUN
from photo2cartoon.urls import is_url

MOUNT = "/data"
TRACKED = (URI_VARIABLE, "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
PART_OF = {"app.kubernetes.io/part-of": "photo2cartoon"}
RUN_LABEL = "photo2cartoon/kubeflow-run"
# Kubernetes' Pod Security Standard `restricted`.
SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RUNTIME = constants.DEFAULT_TRAINING_RUNTIME


@dataclass(frozen=True)
class TrainJob:
    """Settings of a TrainJob.

    Args:
        image: the project's image, with torch for the nodes' hardware.
        params: text of a params.yaml.
        place: object storage URL, or path on the volume, with `faces/` and `weights/`; the run is kept there too.
        volume: PVC that is mounted at `/data` on all nodes; empty if the place is a URL.
        nodes: number of machines.
        gpus, cpus, memory: of each machine. One process runs per GPU; without GPUs the runtime decides how many run.
        name: name of the job.
        namespace: namespace of the job; None for that of the pod in which this code runs.
        env: environment variables of every process.
        secrets: secrets whose keys become environment variables: `{name, env: {KEY: VARIABLE}, optional}`.
        labels: labels of the job and its pods, as Kueue's `kueue.x-k8s.io/queue-name`.
        node_selector: labels that nodes must have.
        tolerations: node taints that the pods tolerate, as Kubernetes writes them.
        pull_secrets: names of secrets for the image's registry.
        shared_memory: size of /dev/shm, which NCCL uses between the GPUs of a node.
    """

    image: str
    params: str
    place: str
    volume: str = ""
    nodes: int = 1
    gpus: int = 1
    cpus: int | str = 8
    memory: str = "32Gi"
    name: str = "photo2cartoon-train"
    namespace: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    pull_secrets: tuple[str, ...] = ()
    shared_memory: str = "8Gi"

    def __post_init__(self) -> None:
        if is_url(self.place) == bool(self.volume):
            raise UserError(f"{self.place}: a place is an object storage URL, or a path on a volume that is named too")

    @property
    def base(self) -> str:
        """Where the nodes find the place."""
        return self.place.rstrip("/") if is_url(self.place) else f"{MOUNT}/{self.place}".rstrip("/")


def train_member(together=None, **each):
    """Train as one process of the job.

    The SDK copies this function's source into the job, so it imports everything it needs itself. Kubernetes passes the
    arguments by name, the SDK's local backend as one dictionary.
    """
    import base64

    from photo2cartoon.training.trainjob_node import train_node

    arguments = together or each
    params = base64.b64decode(arguments["params"]).decode()
    train_node(params, arguments["data"], arguments["weights"], arguments["run"])


def trainer(job: TrainJob) -> CustomTrainer:
    """Build the SDK's description of what each node runs."""
    # The SDK writes the arguments into a shell script; base64 contains nothing that a shell would interpret.
    params = base64.b64encode(job.params.encode()).decode()
    places = {"data": f"{job.base}/faces", "weights": f"{job.base}/weights"}
    places["run"] = job.base if is_url(job.base) else f"{job.base}/run"
    # Strings, because the SDK would turn numbers into decimals, which the schema of a quantity rejects.
    resources = {"cpu": str(job.cpus), "memory": job.memory} | ({"gpu": str(job.gpus)} if job.gpus else {})
    owner = os.environ.get(KUBEFLOW_RUN)
    return CustomTrainer(
        func=train_member,
        func_args={"params": params, **places},
        image=job.image,
        num_nodes=job.nodes,
        resources_per_node=resources,
        # MLflow's run names the Kubeflow run, so that the exit handler can close it.
        env={**job.env, **({KUBEFLOW_RUN: owner} if owner else {})} or None,
    )


def options(job: TrainJob) -> list[Any]:
    """Build the job's options: name, labels, volumes, security context and placement."""
    owner = os.environ.get(KUBEFLOW_RUN)
    mounts, volumes = [{"name": "shm", "mountPath": "/dev/shm"}], []
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": job.shared_memory}})
    if job.volume:
        mounts.append({"name": "data", "mountPath": MOUNT})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": job.volume}})
    pods = kubernetes.PodSpecPatch(
        volumes=volumes,
        containers=[kubernetes.ContainerPatch(name=constants.NODE, volume_mounts=mounts, security_context=RESTRICTED)],
        security_context={"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000} | SECCOMP,
        node_selector=dict(job.node_selector) or None,
        tolerations=[dict(each) for each in job.tolerations] or None,
        image_pull_secrets=[{"name": name} for name in job.pull_secrets] or None,
    )
    template = kubernetes.PodTemplatePatch(metadata={"labels": dict(job.labels)} if job.labels else None, spec=pods)
    jobs = [
        kubernetes.ReplicatedJobPatch(
            name=constants.NODE, template=kubernetes.JobTemplatePatch(spec=kubernetes.JobSpecPatch(template=template))
        )
    ]
    patch = kubernetes.TrainingRuntimeSpecPatch(
        template=kubernetes.JobSetTemplatePatch(spec=kubernetes.JobSetSpecPatch(replicated_jobs=jobs))
    )
    labels = PART_OF | dict(job.labels) | ({RUN_LABEL: owner} if owner else {})
    return [common.Name(job.name), kubernetes.Labels(labels), kubernetes.RuntimePatch(patch)]


class _OnPaper(KubernetesBackend):
    """The SDK's own backend, except that it records the request instead of sending it to a cluster."""

    def __init__(self, namespace: str | None) -> None:
        self.namespace, self.custom_api, self.sent = namespace, self, {}

    def create_namespaced_custom_object(
        self, group: str, version: str, namespace: str | None, plural: str, body: dict
    ) -> None:
        """Record the request."""
        self.sent = body | {"metadata": body["metadata"] | ({"namespace": namespace} if namespace else {})}


def default_runtime(image: str) -> types.Runtime:
    """Return Kubeflow's own runtime for torch, as a cluster that has it unchanged would describe it."""
    framework = types.RuntimeTrainer(types.TrainerType.CUSTOM_TRAINER, "torch", image)
    framework.set_command(constants.TORCH_COMMAND)
    return types.Runtime(RUNTIME, framework, types.RuntimeKind.CLUSTER_TRAINING_RUNTIME)


def manifest(job: TrainJob, runtime: types.Runtime | None = None) -> dict[str, Any]:
    """Return the TrainJob manifest as Kubernetes receives it.

    Args:
        job: settings of the job.
        runtime: the cluster's runtime for torch; None for Kubeflow's own.
    """
    backend = _OnPaper(job.namespace)
    backend.train(runtime or default_runtime(job.image), trainer=trainer(job), options=options(job))
    # The SDK knows plain variables only, and Trainer refuses variables in a patch of its own container.
    variables = backend.sent["spec"]["trainer"].setdefault("env", [])
    for secret in job.secrets:
        for key, variable in secret["env"].items():
            source = {"name": secret["name"], "key": key, "optional": bool(secret.get("optional"))}
            variables.append({"name": variable, "valueFrom": {"secretKeyRef": source}})
    return backend.sent


def train_section(train: Train) -> str:
    """Return the text of a params.yaml that holds only this section."""
    return yaml.safe_dump({"train": train.model_dump(mode="json")})


def environment(env: Mapping[str, str], mlflow_uri: str, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a job's processes.

    Args:
        env: variables.
        mlflow_uri: MLflow tracking URI; if empty, that in `env`.
        inherited: environment of the step that creates the job, which tells where to track if nothing else does, and into
            which run of Kubeflow's MLflow plugin.
    """
    tracked = {name: (inherited or {})[name] for name in TRACKED if name in (inherited or {})}
    return {**tracked, **env, **({URI_VARIABLE: mlflow_uri} if mlflow_uri else {})}
