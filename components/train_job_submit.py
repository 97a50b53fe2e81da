"""Submits a TrainJob and waits for its end, and removes the TrainJobs of a run.

    make train-job ARGS="--image REGISTRY/photo2cartoon:TAG --place s3://bucket/mine --nodes 2 --gpus 4"

The place holds `faces/` and `weights/` and keeps the run; --data and --weights upload them from here. With --print the
manifest is printed, for `kubectl create -f -`: nothing is submitted, and no cluster is needed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import yaml
from kubeflow.trainer import TrainerClient
from kubernetes.config import ConfigException

from components.train_job import (
    RUN_LABEL,
    RUNTIME,
    TrainJob,
    environment,
    manifest,
    train_section,
)
from components.train_job_follow import FAILED, Follower, as_user_error, condition_of, kind_of
from photo2cartoon.errors import UserError
from photo2cartoon.params import Train, load
from photo2cartoon.urls import is_url, upload_folder


def submit(job: TrainJob, client: TrainerClient) -> None:
    """Submit the job, print the log of its main process, and wait for the job to end.

    Raises:
        UserError: the cluster refuses the job, or the job failed.
    """
    with as_user_error():
        _create(job, client)
    Follower(client, job.name).follow()


def submit_or_resume(job: TrainJob) -> None:
    """Submit the job from a pod that may itself be lost and retried.

    If a job of that name is still running or complete, wait for it. If it failed, delete it and submit it again; the
    run resumes.

    Raises:
        UserError: as for `submit`, or the batch does not divide evenly among all processes.
    """
    Train.model_validate(yaml.safe_load(job.params)["train"]).check_processes(job.nodes * max(job.gpus, 1))
    client = make_client(job.namespace)
    follower = Follower(client, job.name)
    with as_user_error():
        found = follower.read()
        if found is not None and condition_of(found) == FAILED:
            follower.delete()
            found = None
        if found is None:
            _create(job, client)
    follower.follow()


def delete_jobs_of(run: str, namespace: str | None = None) -> None:
    """Delete the TrainJobs that steps of a Kubeflow run created.

    Args:
        run: id of the run.
        namespace: namespace of the jobs; None for that of the pod in which this code runs.

    Raises:
        UserError: the cluster cannot be asked, or refuses.
    """
    client = make_client(namespace)
    with as_user_error():
        found = client.backend.custom_api.list_namespaced_custom_object(
            *kind_of(client), label_selector=f"{RUN_LABEL}={run}"
        )
        for job in found["items"]:
            client.delete_job(job["metadata"]["name"])


def make_client(namespace: str | None) -> TrainerClient:
    """Connect to the cluster of the pod in which this code runs, or of kubectl's current context.

    Raises:
        UserError: there is neither.
    """
    from kubeflow.trainer import KubernetesBackendConfig

    logging.getLogger("kubeflow").setLevel(logging.ERROR)
    try:
        return TrainerClient(KubernetesBackendConfig(namespace=namespace))
    except ConfigException as error:
        raise UserError(f"no cluster is configured ({error}); --print shows the manifest without one") from None


def _create(job: TrainJob, client: TrainerClient) -> None:
    body = manifest(job, client.get_runtime(RUNTIME))
    client.backend.custom_api.create_namespaced_custom_object(*kind_of(client), body)
    print(f"{client.backend.namespace}/{job.name}: submitted", flush=True)


def main() -> None:
    """Parse the arguments, then submit the job or print its manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, help="the project's image, where the cluster can pull it")
    parser.add_argument(
        "--place", required=True, help="s3://… with faces/ and weights/, which keeps the run, or a folder on --volume"
    )
    parser.add_argument("--volume", default="", help="PVC instead of object storage, writable by all nodes")
    parser.add_argument("--data", type=Path, help="dataset to upload to the place first")
    parser.add_argument("--weights", type=Path, help="weights to upload to the place first")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="params file; only its train section is used"
    )
    parser.add_argument("--profile", help="profile of the params file")
    parser.add_argument("--nodes", type=int, default=TrainJob.nodes, help="number of machines")
    parser.add_argument("--gpus", type=int, default=TrainJob.gpus, help="GPUs of each machine; one process per GPU")
    parser.add_argument("--cpus", default=TrainJob.cpus, help="CPUs of each machine: 8, or 500m")
    parser.add_argument("--memory", default=TrainJob.memory, help="memory of each machine")
    parser.add_argument("--name", default=TrainJob.name)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--mlflow-uri", default="", help="MLflow tracking URI")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="environment of the processes")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="SECRET:KEY=NAME", help="variable from a secret's key"
    )
    parser.add_argument("--node-selector", action="append", default=[], metavar="LABEL=VALUE")
    parser.add_argument("--print", action="store_true", help="print the manifest and do not submit")
    given = vars(parser.parse_args())
    printed, file, profile = given.pop("print"), given.pop("params"), given.pop("profile")
    uploads = {"faces": given.pop("data"), "weights": given.pop("weights")}
    try:
        train = load(file, profile).train
        train.check_processes(given["nodes"] * max(given["gpus"], 1))
        given["node_selector"] = _pairs(given["node_selector"], "--node-selector")
        given["env"] = environment(_pairs(given["env"], "--env"), given.pop("mlflow_uri"))
        given["secrets"] = tuple(_secret(text) for text in given.pop("secret"))
        job = TrainJob(**given, params=train_section(train))
        if printed:
            print(yaml.safe_dump(manifest(job), sort_keys=False), end="")
            return
        client = make_client(job.namespace)
        for name, folder in uploads.items():
            if folder and not is_url(job.place):
                raise UserError(f"--place {job.place}: only object storage can be uploaded to from here")
            if folder:
                upload_folder(folder, f"{job.base}/{name}")
        submit(job, client)
    except UserError as error:
        print(f"train-job: {str(error).removeprefix('train-job: ')}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("train-job: interrupted; a job that was submitted continues (`kubectl get trainjob`)", file=sys.stderr)
        sys.exit(130)


def _pairs(texts: list[str], flag: str) -> dict[str, str]:
    wrong = next((text for text in texts if "=" not in text), None)
    if wrong is not None:
        raise UserError(f"{flag} {wrong}: is not NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)


def _secret(text: str) -> dict[str, Any]:
    name, _, pair = text.partition(":")
    key, _, variable = pair.partition("=")
    if not (name and key and variable):
        raise UserError(f"--secret {text}: is not SECRET:KEY=NAME")
    return {"name": name, "env": {key: variable}}


if __name__ == "__main__":
    main()
