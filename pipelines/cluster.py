"""Cluster settings of each pipeline step: image, CPUs, memory, GPUs, volumes, secrets, node placement and retries.

A YAML file holds them; `pipelines/cluster.yaml` is an example that explains every setting.
`make submit ARGS="--cluster FILE"` compiles the pipeline for that cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from kfp import kubernetes
from kfp.dsl import PipelineTask
from pydantic import Field, ValidationError, model_validator

from components import IMAGE
from components.preprocess import SHARDS
from photo2cartoon.errors import UserError
from photo2cartoon.params import Section, Train
from photo2cartoon.progress import note
from photo2cartoon.tracking.lineage import KUBEFLOW_RUN

DEFAULT = Path(__file__).with_name("cluster.yaml")
CHECKPOINTS, REPOSITORY = "/checkpoints", "/repository"
StepName = Literal[
    "check", "assets", "preprocess", "collect", "train", "evaluate", "promote", "finish",
]  # fmt: skip
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|[kMGTPE]i?)?$")]


class Toleration(Section):
    """Node taint that a step tolerates."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None


class Step(Section):
    """Settings of one step."""

    cpu: Quantity | None = Field(None, description="CPU limit")
    memory: Quantity | None = Field(None, description="memory limit")
    cpu_request: Quantity | None = Field(None, description="CPUs reserved for the pod; by default its limit")
    memory_request: Quantity | None = Field(None, description="memory reserved for the pod; by default its limit")
    gpus: Annotated[int, Field(ge=0)] = 0
    gpu_resource: str = Field("nvidia.com/gpu", description="resource name of a GPU in the cluster")
    shared_memory: Quantity | None = Field(None, description="size of /dev/shm, which the processes of a pod share")
    node_selector: dict[str, str] = Field({}, description="labels that nodes must have")
    tolerations: tuple[Toleration, ...] = ()
    retries: Annotated[int, Field(ge=0)] = Field(0, description="number of retries")
    retry_wait: Annotated[str, Field(pattern=r"^\d+s$")] = Field(
        "10s", description="wait before the first retry; doubled each time. Argo waits before it gives up, too"
    )
    timeout: Annotated[int, Field(gt=0)] | None = Field(None, description="timeout in seconds")


class Secret(Section):
    """Secret whose keys become environment variables of every step, for MLflow's password or object storage."""

    name: str
    env: dict[str, str] = Field(description="environment variable for each key of the secret")
    optional: bool = False


class TrainJobSpec(Section):
    """Settings of training as a TrainJob."""

    nodes: Annotated[int, Field(ge=1)] = Field(1, description="number of machines")
    gpus: Annotated[int, Field(ge=0)] = Field(1, description="GPUs of each machine; one process per GPU")
    cpus: Annotated[int, Field(ge=1)] | Quantity = Field(8, description="CPUs of each machine: 8, or 500m")
    memory: Quantity = Field("32Gi", description="memory of each machine")
    shared_memory: Quantity = Field("8Gi", description="size of /dev/shm on each machine")
    node_selector: dict[str, str] = Field({}, description="labels that the machines must have")
    tolerations: tuple[Toleration, ...] = ()
    namespace: str | None = Field(
        None,
        description="namespace of the job; null for the pipeline's own. In another one, the pipeline's service account needs"
        " the Role of kubernetes/components/train-job, too",
    )


class Cluster(Section):
    """Contents of a cluster file."""

    image: str = Field(IMAGE, description="the project's image, where the cluster can pull it")
    pull_secrets: tuple[str, ...] = ()
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    shards: Annotated[int, Field(ge=1, le=SHARDS)] = Field(
        1, description="pods that make the portraits; more than one adds a step that merges their outputs"
    )
    checkpoints: Annotated[str, Field(pattern=r"^\w+://.+")] | None = Field(
        None, description="object storage URL where training keeps its state; a lost pod resumes from there on any node"
    )
    checkpoints_pvc: str | None = Field(None, description="PVC instead of `checkpoints`")
    train_job: TrainJobSpec | None = Field(
        None, description="train as a TrainJob, on one machine or several, which share `checkpoints`"
    )
    repository: Annotated[str, Field(pattern=r"^\w+://.+")] | None = Field(
        None, description="object storage URL of Triton's model repository"
    )
    repository_pvc: str | None = Field(None, description="PVC instead of `repository`")
    env: dict[str, str] = Field({}, description="environment variables of every step")
    labels: dict[str, str] = Field({}, description="labels of every pod, as Kueue's kueue.x-k8s.io/queue-name")
    webhook: Annotated[str, Field(pattern=r"^https?://.+")] | None = Field(
        None, description="address that gets a JSON message when a run has ended"
    )
    deadline: Annotated[int, Field(gt=0)] | None = Field(None, description="maximum duration of a run in seconds")
    keep_finished: Annotated[int, Field(ge=0)] | None = Field(
        None, description="seconds until a finished run's pods are removed; logs and artifacts stay"
    )
    secrets: tuple[Secret, ...] = ()
    every_step: Step = Step()
    steps: dict[StepName, dict[str, Any]] = Field({}, description="settings that differ from every_step")

    @model_validator(mode="after")
    def _one_place_each(self) -> Cluster:
        if self.train_job and not self.training_place:
            raise ValueError("train_job needs `checkpoints`, or a checkpoints_pvc that all machines can write")
        if self.checkpoints and self.checkpoints_pvc:
            raise ValueError("training keeps its state either at `checkpoints` or on the `checkpoints_pvc`")
        if self.repository and self.repository_pvc:
            raise ValueError("Triton reads its models either from `repository` or from the `repository_pvc`")
        return self

    def step(self, name: str) -> Step:
        """Return the settings of a step."""
        return Step.model_validate(self.every_step.model_dump() | self.steps.get(name, {}), strict=False)

    def check_batch(self, train: Train) -> None:
        """Refuse a batch that the training processes cannot share evenly, before any step runs.

        Raises:
            UserError: the pictures of a step are not divisible by the number of processes.
        """
        nodes, gpus = (self.train_job.nodes, self.train_job.gpus) if self.train_job else (1, self.step("train").gpus)
        processes = nodes * max(gpus, 1)
        if train.processes > 1 and not self.train_job:
            processes = train.processes
        train.check_processes(processes)

    @property
    def model_repository(self) -> str:
        """Triton's model repository as the steps see it, unless a run names another; empty if there is none."""
        return self.repository or (REPOSITORY if self.repository_pvc else "")

    def train_job_spec(self) -> dict[str, Any]:
        """Return the settings of the TrainJob, with what every pod gets: environment, secrets, labels, pull secrets."""
        spec = self.train_job.model_dump(mode="json", exclude_none=True)
        secrets = [secret.model_dump(mode="json") for secret in self.secrets]
        return spec | {
            "env": dict(self.env),
            "secrets": secrets,
            "labels": dict(self.labels),
            "pull_secrets": list(self.pull_secrets),
        }

    @property
    def training_place(self) -> str:
        """URL or folder where training keeps its state; empty if there is none that outlives the pod."""
        return self.checkpoints or (CHECKPOINTS if self.checkpoints_pvc else "")


# Setting names of the previous release, accepted for one more release; None: there is no such setting any more.
_RENAMED = {
    "parts": "shards",
    "checkpoints_claim": "checkpoints_pvc",
    "repository_claim": "repository_pvc",
    "at_once": None,
}
_RENAMED_STEPS = {
    "version": "check",
    "ingest": None,
    "select": "promote",
    "resolve": None,
    "split": None,
    "shard": None,
    "candidates": None,
    "export": None,
    "gate": None,
}


def _renamed(values: Any, path: Path) -> Any:
    """Rename or drop settings of the previous release, with a note for each."""
    if not isinstance(values, dict):
        return values
    places = [(values, _RENAMED)] + (
        [(values["steps"], _RENAMED_STEPS)] if isinstance(values.get("steps"), dict) else []
    )
    for place, names in places:
        for old, new in names.items():
            if old in place and new is None:
                del place[old]
                note(f"{path}: '{old}' has no effect any more; remove it")
            elif old in place and new not in place:
                place[new] = place.pop(old)
                note(f"{path}: '{old}' is called '{new}' now; the old name is read for one more release")
    return values


def load_cluster(path: Path = DEFAULT) -> Cluster:
    """Read a cluster file.

    Raises:
        UserError: the file is missing or is not YAML, or a setting is wrong; the message names it.
    """
    place: tuple[str, ...] = ()
    try:
        values = _renamed(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, path)
        cluster = Cluster.model_validate(values, strict=False)
        for name in cluster.steps:
            place = ("steps", name)
            cluster.step(name)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, (*place, *first['loc'])))}: {first['msg']}") from None
    return cluster


def apply_resources(task: PipelineTask, name: StepName, cluster: Cluster) -> PipelineTask:
    """Apply the cluster's settings for a step to its task."""
    step = cluster.step(name)
    task.set_container_image(cluster.image)
    if step.cpu:
        task.set_cpu_limit(step.cpu)
    if step.memory:
        task.set_memory_limit(step.memory)
    if step.cpu_request:
        task.set_cpu_request(step.cpu_request)
    if step.memory_request:
        task.set_memory_request(step.memory_request)
    if step.gpus:
        task.set_accelerator_type(step.gpu_resource).set_accelerator_limit(step.gpus)
    if step.retries:
        task.set_retry(step.retries, backoff_duration=step.retry_wait, backoff_factor=2.0)
    if step.timeout:
        kubernetes.set_timeout(task, step.timeout)
    if step.shared_memory:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=step.shared_memory)
    for key, value in step.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in step.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump(exclude_none=True))
    for key, value in cluster.labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in cluster.env.items():
        task.set_env_variable(key, value)
    for secret in cluster.secrets:
        kubernetes.use_secret_as_env(task, secret.name, dict(secret.env), optional=secret.optional)
    if cluster.pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.pull_secrets))
    if cluster.pull_policy:
        kubernetes.set_image_pull_policy(task, cluster.pull_policy)
    if name == "train" and cluster.checkpoints_pvc:
        kubernetes.mount_pvc(task, cluster.checkpoints_pvc, CHECKPOINTS)
    if name == "promote" and cluster.repository_pvc:
        kubernetes.mount_pvc(task, cluster.repository_pvc, REPOSITORY)
    kubernetes.set_security_context(task, run_as_user=1000, run_as_group=1000, run_as_non_root=True)
    # Lets MLflow record which Kubeflow run a model comes from.
    kubernetes.use_field_path_as_env(task, KUBEFLOW_RUN, "metadata.labels['pipeline/runid']")
    return task
