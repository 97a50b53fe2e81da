"""Submits the pipeline to Kubeflow Pipelines: once, or on a schedule for new data.

    make submit KFP_HOST=https://kubeflow.example.org/pipeline
    make submit KFP_HOST=http://127.0.0.1:8080 ARGS="--profile full --cron '0 0 3 * * *'"
    make pipeline-upload KFP_HOST=http://127.0.0.1:8080

Credentials: a token in KFP_TOKEN or a cookie in KFP_COOKIE (authservice_session=…). None are needed through a port
that `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` opens. With `--context NAME` instead of an address,
requests go through the Kubernetes API server of that context with your kubectl credentials.

Every run is made of a version of the pipeline `photo2cartoon`, named after the git commit and the compiled pipeline.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from photo2cartoon.dataset.source_version import at_revision
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.params import load
from photo2cartoon.params.arguments import to_arguments
from photo2cartoon.scoring.names import check_names
from photo2cartoon.tracking.lineage import git_commit
from pipelines.cluster import DEFAULT, Cluster, load_cluster
from pipelines.follow import Follower, step_names
from pipelines.kubeflow import INSTALLED_IN, Kubeflow, connect, connect_through
from pipelines.photo2cartoon import COMPILED, DESCRIPTION, compile_to
from pipelines.preflight import must_have


def version_name(package: Path) -> str:
    """Return the name of a compiled pipeline's version: git commit, and a hash of the compiled YAML."""
    return f"{git_commit()[:12]}-{hashlib.sha256(package.read_bytes()).hexdigest()[:8]}"


def _arguments(given: argparse.Namespace, cluster: Cluster) -> dict[str, Any]:
    params = load(given.params, given.profile or None)
    check_names(params)
    cluster.check_batch(params.train)
    at_revision(params.ingest, given.revision)
    repository = given.repository or cluster.model_repository
    if not (repository or given.upload):
        raise UserError(
            f"{given.cluster}: names neither `repository` nor `repository_pvc`, so the model would go nowhere; --repository"
            " names one for a run"
        )
    return to_arguments(params, given.revision) | {
        "mlflow_uri": given.mlflow_uri,
        "repository": repository,
        "server": given.server,
    }


def _server(given: argparse.Namespace, cluster: Cluster) -> Kubeflow:
    if not (given.host or given.context):
        raise UserError('which Kubeflow? make submit KFP_HOST=https://… or ARGS="--context NAME", one of kubectl')
    if not given.context:
        return connect(given.host, given.namespace)
    kubeflow = connect_through(given.context, given.namespace)
    must_have(cluster, given.cluster, kubeflow.api, given.namespace or INSTALLED_IN)
    return kubeflow


def _submit(given: argparse.Namespace, folder: Path) -> None:
    cluster = load_cluster(given.cluster)
    arguments = _arguments(given, cluster)
    if given.version:
        kubeflow = _server(given, cluster)
        ids, version = kubeflow.find(given.version), given.version
        steps = step_names(kubeflow.package(*ids))
    else:
        package = folder / COMPILED.name
        compile_to(package, cluster)
        steps, version = (
            step_names(next(yaml.safe_load_all(package.read_text(encoding="utf-8")))),
            version_name(package),
        )
        kubeflow = _server(given, cluster)
        ids = kubeflow.upload(package, version, DESCRIPTION)
    if given.upload:
        print(f"{kubeflow.host.rstrip('/')}/#/pipelines/details/{'/version/'.join(ids)}: version {version}")
        return
    name = given.name or f"photo2cartoon {given.profile} {datetime.now():%Y-%m-%d %H:%M}".replace("  ", " ")
    if given.cron:
        schedule = kubeflow.schedule(arguments, name, *ids, given.cron)
        print(f"{kubeflow.host.rstrip('/')}/#/recurringrun/details/{schedule}: scheduled, {given.cron}")
        return
    run = kubeflow.submit(arguments, name, *ids)
    print(f"{kubeflow.page(run)}: submitted, version {version}", flush=True)
    if not given.no_wait:
        try:
            print(f"{run}: {Follower(kubeflow, run, steps, given.retries).follow()}")
        except KeyboardInterrupt:
            _interrupted(kubeflow, run, given.terminate)


def _interrupted(kubeflow: Kubeflow, run: str, terminate: bool) -> None:
    if not terminate and sys.stdin.isatty():
        try:
            terminate = input("\nEnd the run too? [y/N] ").strip().lower() in ("y", "yes")
        except (KeyboardInterrupt, EOFError):
            terminate = False
    if terminate:
        kubeflow.terminate(run)
    outcome = "is terminated" if terminate else "continues; --terminate would end it too"
    print(f"submit: the run {outcome}: {kubeflow.page(run)}", file=sys.stderr)
    sys.exit(130)


def main() -> None:
    """Parse the arguments, compile the pipeline and submit it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=os.environ.get("KFP_HOST"), help="of Kubeflow Pipelines; KFP_HOST")
    parser.add_argument("--context", help="of kubectl: through that cluster's API server, instead of an address")
    parser.add_argument("--namespace", help="of a Kubeflow with several users")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--profile", default="", help="of the params file")
    parser.add_argument("--cluster", type=Path, default=DEFAULT, help="what the cluster gives each step")
    parser.add_argument("--version", help="run this version, which was uploaded before, instead of the current code's")
    parser.add_argument("--upload", action="store_true", help="only upload the version; nothing runs")
    parser.add_argument("--revision", default="", help="git revision of the DVC repositories that pictures come from")
    parser.add_argument("--name", help="of the run; by default with the time")
    parser.add_argument("--mlflow-uri", default="", help="MLflow's tracking server as the cluster sees it")
    parser.add_argument(
        "--repository", help="Triton's model repository as the cluster sees it; by default that of the cluster file"
    )
    parser.add_argument("--server", default="", help="HOST:PORT of a running Triton, as the cluster sees it")
    parser.add_argument("--cron", help="start it again and again: six fields, seconds first")
    parser.add_argument("--no-wait", action="store_true", help="do not follow the run")
    parser.add_argument("--retries", type=int, default=2, help="retry a run this often when its pod is lost")
    parser.add_argument("--terminate", action="store_true", help="Ctrl-C ends the run too, without asking")
    given = parser.parse_args()
    try:
        with exit_on_user_error("submit"), tempfile.TemporaryDirectory() as folder:
            _submit(given, Path(folder))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
