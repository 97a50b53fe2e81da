"""Trains across machines: builds a TrainJob of Kubeflow Trainer and submits it with the Kubeflow SDK.

A volume that all nodes can write (ReadWriteMany) holds `faces/` and `weights/` and receives the run:

    make train-job ARGS="--image REGISTRY/photo2cartoon:TAG --volume CLAIM --nodes 2 --gpus 4"

With --print the manifest is printed, for `kubectl create -f -`. Nothing is submitted, and no cluster is needed.
"""

from __future__ import annotations

import argparse
import base64
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubeflow.trainer import CustomTrainer, TrainerClient
from kubeflow.trainer.backends.kubernetes.backend import KubernetesBackend
from kubeflow.trainer.constants import constants
from kubeflow.trainer.options import common, kubernetes
from kubeflow.trainer.types import types
from kubernetes.client import ApiException
from kubernetes.config import ConfigException

from photo2cartoon.errors import UserError
from photo2cartoon.params import Train, load
from photo2cartoon.tracking.lineage import KUBEFLOW_RUN

MOUNT = "/data"
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
        volume: PVC that is mounted at `/data` on all nodes.
        params: text of a params.yaml.
        nodes: number of machines.
        gpus, cpus, memory: of each machine. One process runs per GPU; without GPUs the runtime decides how many run.
        folder: folder on the volume that holds everything; empty for the volume itself.
        run: the run's folder inside `folder`; an existing run is resumed.
        name: name of the job.
        namespace: namespace of the job; None for that of the pod in which this code runs.
        mlflow_uri: MLflow tracking URI; empty for the image's own environment.
        node_selector: labels that nodes must have.
        shared_memory: size of /dev/shm, which NCCL uses between the GPUs of a node.
    """

    image: str
    volume: str
    params: str
    nodes: int = 1
    gpus: int = 1
    cpus: int = 8
    memory: str = "32Gi"
    folder: str = ""
    run: str = "run"
    name: str = "photo2cartoon-train"
    namespace: str | None = "default"
    mlflow_uri: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    shared_memory: str = "8Gi"


def train_member(together=None, **each):
    """Run p2c train in each process of the job.

    The SDK copies this function's source into the job, so it imports everything it needs itself. Kubernetes passes the
    arguments by name, the SDK's local backend as one dictionary.
    """
    import base64
    import sys
    import tempfile
    from pathlib import Path

    from photo2cartoon.cli import main

    arguments = together or each
    with tempfile.TemporaryDirectory() as folder:
        params = Path(folder) / "params.yaml"
        params.write_bytes(base64.b64decode(arguments["params"]))
        places = ["--data", arguments["data"], "--weights", arguments["weights"], "--out", arguments["out"]]
        sys.argv = ["p2c", "train", "--params", str(params), *places, "--resume"]
        main()


def trainer(job: TrainJob, root: str = MOUNT) -> CustomTrainer:
    """Build the SDK's description of what each node runs.

    Args:
        job: settings of the job.
        root: where the nodes mount the volume.
    """
    # The SDK writes the arguments into a shell script; base64 contains nothing that a shell would interpret.
    params = base64.b64encode(job.params.encode()).decode()
    base = f"{root}/{job.folder}".rstrip("/")
    places = {"data": f"{base}/faces", "weights": f"{base}/weights", "out": f"{base}/{job.run}"}
    # Strings, because the SDK would turn numbers into decimals, which the schema of a quantity rejects.
    resources = {"cpu": str(job.cpus), "memory": job.memory} | ({"gpu": str(job.gpus)} if job.gpus else {})
    return CustomTrainer(
        func=train_member,
        func_args={"params": params, **places},
        image=job.image,
        num_nodes=job.nodes,
        resources_per_node=resources,
        env={"MLFLOW_TRACKING_URI": job.mlflow_uri} if job.mlflow_uri else None,
    )


def options(job: TrainJob) -> list[Any]:
    """Build the job's options: name, label, volumes, security context and node selector."""
    owner = os.environ.get(KUBEFLOW_RUN)
    mounts = [{"name": "data", "mountPath": MOUNT}, {"name": "shm", "mountPath": "/dev/shm"}]
    pods = kubernetes.PodSpecPatch(
        volumes=[
            {"name": "data", "persistentVolumeClaim": {"claimName": job.volume}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": job.shared_memory}},
        ],
        containers=[kubernetes.ContainerPatch(name=constants.NODE, volume_mounts=mounts, security_context=RESTRICTED)],
        security_context={"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000} | SECCOMP,
        node_selector=job.node_selector or None,
    )
    template = kubernetes.JobTemplatePatch(
        spec=kubernetes.JobSpecPatch(template=kubernetes.PodTemplatePatch(spec=pods))
    )
    jobs = [kubernetes.ReplicatedJobPatch(name=constants.NODE, template=template)]
    patch = kubernetes.TrainingRuntimeSpecPatch(
        template=kubernetes.JobSetTemplatePatch(spec=kubernetes.JobSetSpecPatch(replicated_jobs=jobs))
    )
    return [
        common.Name(job.name),
        kubernetes.Labels({"app.kubernetes.io/part-of": "photo2cartoon"} | ({RUN_LABEL: owner} if owner else {})),
        kubernetes.RuntimePatch(patch),
    ]


class _OnPaper(KubernetesBackend):
    """The SDK's own backend, except that it records the request instead of sending it to a cluster."""

    def __init__(self, namespace: str) -> None:
        self.namespace, self.custom_api, self.sent = namespace, self, {}

    def create_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, body: dict
    ) -> None:
        """Record the request."""
        self.sent = body | {"metadata": body["metadata"] | {"namespace": namespace}}


def manifest(job: TrainJob) -> dict[str, Any]:
    """Return the TrainJob manifest as Kubernetes receives it, with Kubeflow's own runtime for torch."""
    framework = types.RuntimeTrainer(types.TrainerType.CUSTOM_TRAINER, "torch", job.image)
    framework.set_command(constants.TORCH_COMMAND)
    runtime = types.Runtime(RUNTIME, framework, types.RuntimeKind.CLUSTER_TRAINING_RUNTIME)
    backend = _OnPaper(job.namespace)
    backend.train(runtime, trainer=trainer(job), options=options(job))
    return backend.sent


def train_section(train: Train) -> str:
    """Return the text of a params.yaml that holds only this section."""
    return yaml.safe_dump({"train": train.model_dump(mode="json")})


def check_division(train: Train, nodes: int, gpus: int) -> None:
    """Check that the batch divides evenly among all processes.

    Raises:
        UserError: it does not.
    """
    if train.batch % (nodes * max(gpus, 1)):
        raise UserError(f"train.batch: {train.batch} pictures cannot be divided among all processes")


def submit(job: TrainJob, client: TrainerClient) -> None:
    """Submit the job, print the log of its first process, and wait for the job to end.

    Raises:
        UserError: the cluster refuses the job, or the job failed.
    """
    _follow(job, client, lambda: _start(job, client))


def submit_or_resume(job: TrainJob) -> None:
    """Submit the job from a pod that may itself be lost and retried.

    If a job of that name is still running or complete, wait for it. If it failed, delete it and submit it again; the
    run resumes.

    Raises:
        UserError: as for `submit`, or the batch does not divide evenly among all processes.
    """
    check_division(Train.model_validate(yaml.safe_load(job.params)["train"]), job.nodes, job.gpus)
    client = _client(job.namespace)

    def begin() -> str:
        try:
            found = client.get_job(job.name)
        except RuntimeError as error:
            if getattr(error.__cause__, "status", None) != 404:
                raise
        else:
            if found.status != constants.TRAINJOB_FAILED:
                return job.name
            client.delete_job(job.name)
        return _start(job, client)

    _follow(job, client, begin)


def delete_jobs_of(run: str, namespace: str | None = None) -> None:
    """Delete the TrainJobs that steps of a Kubeflow run created.

    Args:
        run: id of the run.
        namespace: namespace of the jobs; None for that of the pod in which this code runs.

    Raises:
        UserError: the cluster cannot be asked, or refuses.
    """
    client = _client(namespace)
    place = ("trainer.kubeflow.org", "v1alpha1", client.backend.namespace, "trainjobs")
    try:
        found = client.backend.custom_api.list_namespaced_custom_object(*place, label_selector=f"{RUN_LABEL}={run}")
        for job in found["items"]:
            client.delete_job(job["metadata"]["name"])
    except (RuntimeError, TimeoutError, ApiException) as error:
        raise UserError(f"train-job: {str(error).splitlines()[0]}") from None


def _start(job: TrainJob, client: TrainerClient) -> str:
    name = client.train(runtime=RUNTIME, trainer=trainer(job), options=options(job))
    print(f"{job.namespace or 'here'}/{name}: submitted", flush=True)
    return name


def _follow(job: TrainJob, client: TrainerClient, begin: Callable[[], str]) -> None:
    try:
        name = begin()
        client.wait_for_job_status(name, {"Running", "Complete"}, timeout=3600)
        for line in client.get_job_logs(name, follow=True):
            print(line, flush=True)
        client.wait_for_job_status(name, {"Complete"}, timeout=600)
    except (RuntimeError, TimeoutError, ApiException) as error:
        reason = f": {str(error.__cause__).strip().splitlines()[0]}" if error.__cause__ else ""
        raise UserError(f"train-job: {error}{reason}") from None
    place = "/".join(filter(None, (job.folder, job.run)))
    print(f"{job.namespace or 'here'}/{name}: complete; the run is in {place}/ on {job.volume}")


def main() -> None:
    """Parse the arguments, then submit the job or print its manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, help="the project's image, where the cluster can pull it")
    parser.add_argument("--volume", required=True, help="PVC with faces/ and weights/, writable by all nodes")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="params file; only its train section is used"
    )
    parser.add_argument("--profile", help="profile of the params file")
    parser.add_argument("--nodes", type=int, default=TrainJob.nodes, help="number of machines")
    parser.add_argument("--gpus", type=int, default=TrainJob.gpus, help="GPUs of each machine; one process per GPU")
    parser.add_argument("--cpus", type=int, default=TrainJob.cpus, help="CPUs of each machine")
    parser.add_argument("--memory", default=TrainJob.memory, help="memory of each machine")
    parser.add_argument("--run", default=TrainJob.run, help="folder on the volume; an existing run is resumed")
    parser.add_argument("--name", default=TrainJob.name)
    parser.add_argument("--namespace", default=TrainJob.namespace)
    parser.add_argument("--mlflow-uri", default="", help="MLflow tracking URI")
    parser.add_argument("--node-selector", action="append", default=[], metavar="LABEL=VALUE")
    parser.add_argument("--print", action="store_true", help="print the manifest and do not submit")
    given = vars(parser.parse_args())
    printed, file, profile = given.pop("print"), given.pop("params"), given.pop("profile")
    try:
        train = load(file, profile).train
        given["node_selector"] = dict(label.split("=", 1) for label in given["node_selector"])
        check_division(train, given["nodes"], given["gpus"])
        job = TrainJob(**given, params=train_section(train))
        if printed:
            print(yaml.safe_dump(manifest(job), sort_keys=False), end="")
            return
        submit(job, _client(job.namespace))
    except UserError as error:
        print(f"train-job: {str(error).removeprefix('train-job: ')}", file=sys.stderr)
        sys.exit(error.exit_code)


def _client(namespace: str | None) -> TrainerClient:
    from kubeflow.trainer import KubernetesBackendConfig

    logging.getLogger("kubeflow").setLevel(logging.ERROR)
    try:
        return TrainerClient(KubernetesBackendConfig(namespace=namespace))
    except ConfigException as error:
        raise UserError(f"no cluster is configured ({error}); --print shows the manifest without one") from None


if __name__ == "__main__":
    main()
