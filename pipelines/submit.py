"""Submits the pipeline to Kubeflow Pipelines: once, or on a schedule for new data.

    make submit KFP_HOST=https://kubeflow.example.org/pipeline
    make submit KFP_HOST=http://127.0.0.1:8080 ARGS="--profile full --cron '0 0 3 * * *'"

Credentials: a token in KFP_TOKEN or a cookie in KFP_COOKIE (authservice_session=…). None are needed through a port
that `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` opens. With `--context NAME` instead of an address,
requests go through the Kubernetes API server of that context with your kubectl credentials.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

from photo2cartoon.dataset.version import at_revision
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.params import load
from photo2cartoon.params.arguments import to_arguments
from photo2cartoon.progress import bar
from pipelines.cluster import DEFAULT, Cluster, load_cluster
from pipelines.photo2cartoon import COMPILED, compile_to

EXPERIMENT = "photo2cartoon"
ENDED = {"SUCCEEDED": 0, "SKIPPED": 0, "FAILED": 1, "CANCELED": 1}
POLL_SECONDS = 5.0
CANNOT = (
    ApiException,
    HTTPError,
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
)  # raised by kfp's client on failure
INSTALLED_IN = "kubeflow"  # the namespace of Kubeflow Pipelines itself


def connect(host: str, namespace: str | None = None) -> Any:
    """Return a client of Kubeflow Pipelines that uses the token or cookie of the environment.

    Raises:
        UserError: the host does not answer, or refuses the token or cookie.
    """
    import kfp

    _be_quiet()
    token, cookie = os.environ.get("KFP_TOKEN"), os.environ.get("KFP_COOKIE")
    _must_answer(host, token, cookie)
    try:
        return kfp.Client(host=host, namespace=namespace or INSTALLED_IN, existing_token=token, cookies=cookie)
    except CANNOT as error:
        raise _refused(host, error) from None


def connect_through(context: str) -> tuple[Any, str]:
    """Return a client that uses a cluster's API server, as `kubectl` does, and the address of the page behind it.

    Args:
        context: context of the kubeconfig.

    Raises:
        UserError: there is no such context, the server does not answer, or your kubectl credentials are refused.
    """
    import kfp
    import kubernetes

    _be_quiet()
    try:
        api = kubernetes.config.new_client_from_config(context=context)
        cluster = api.configuration.host
        # Ask once first: kfp's client would ask five times and show a stack trace each time.
        health = f"/api/v1/namespaces/{INSTALLED_IN}/services/ml-pipeline:http/proxy/apis/v2beta1/healthz"
        api.call_api(health, "GET", auth_settings=["BearerToken"], _request_timeout=20)
        client = _through_cluster(kfp.Client)(namespace=INSTALLED_IN, kube_context=context)
    except kubernetes.config.ConfigException as error:
        raise UserError(f"--context {context}: {str(error).splitlines()[0]}") from None
    except (kubernetes.client.ApiException, *CANNOT) as error:
        raise _refused(cluster, error) from None
    return client, f"{cluster}/api/v1/namespaces/{INSTALLED_IN}/services/ml-pipeline-ui:http/proxy"


def _through_cluster(client: type) -> type:
    """Subclass kfp's client, which otherwise loses the path to its service.

    kubernetes' hook for expiring tokens resets the host to the bare server before every request (kfp 2.17 with
    kubernetes 30).
    """

    class ThroughCluster(client):
        def _load_config(self, *arguments: Any) -> Any:
            config = super()._load_config(*arguments)
            host, renew = config.host.rstrip("/"), config.refresh_api_key_hook

            def renewed(configuration: Any) -> None:
                if renew:
                    renew(configuration)
                configuration.host, configuration.refresh_api_key_hook = host, renewed

            config.host, config.refresh_api_key_hook = host, renewed
            return config

    return ThroughCluster


def _be_quiet() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="kfp")


def _must_answer(host: str, token: str | None, cookie: str | None) -> None:
    """Ask once first: kfp's client would ask five times and show a stack trace each time."""
    headers = ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Cookie": cookie} if cookie else {})
    try:
        answer = requests.get(
            f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=20, allow_redirects=False
        )
    except requests.RequestException as error:
        raise _refused(host, error) from None
    # A gateway sends unauthenticated requests to a login page.
    if answer.is_redirect or answer.status_code in (401, 403):
        raise UserError(f"{host}: refused ({answer.status_code}): KFP_TOKEN or KFP_COOKIE is missing, wrong or too old")
    if not answer.ok or "json" not in answer.headers.get("Content-Type", ""):
        raise UserError(
            f"{host}: no Kubeflow Pipelines answers there (it answered {answer.status_code} {answer.reason})"
        )


def submit(
    client: Any, host: str, arguments: dict[str, str], name: str, namespace: str | None = None, package: Path = COMPILED
) -> str:
    """Start a run of a compiled pipeline; return its id."""
    try:
        run = client.create_run_from_pipeline_package(
            str(package), arguments, run_name=name, experiment_name=EXPERIMENT, namespace=namespace
        )
    except (ApiException, HTTPError) as error:
        raise _refused(host, error) from None
    return run.run_id


def submit_recurring(
    client: Any,
    host: str,
    arguments: dict[str, str],
    name: str,
    cron: str,
    namespace: str | None = None,
    package: Path = COMPILED,
) -> str:
    """Schedule the pipeline with a cron expression of six fields, seconds first; return the schedule's id.

    One run is active at a time; caching decides which steps run when data has not changed.
    """
    try:
        experiment = client.create_experiment(EXPERIMENT, namespace=namespace)
        recurring = client.create_recurring_run(
            experiment_id=experiment.experiment_id,
            job_name=name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=arguments,
            pipeline_package_path=str(package),
            enable_caching=True,
        )
    except (ApiException, HTTPError) as error:
        raise _refused(host, error) from None
    return recurring.recurring_run_id


def follow(client: Any, host: str, run: str, poll: float = POLL_SECONDS) -> str:
    """Show which steps are done until the run has ended; return its final state.

    Raises:
        UserError: the run failed or was stopped; the message names the steps that failed.
    """
    done: set[str] = set()
    with bar(desc="pipeline", unit="step", total=None) as shown:
        while True:
            try:
                answer = client.get_run(run)
            except (ApiException, HTTPError) as error:
                raise _refused(host, error) from None
            tasks = {task.display_name: task.state for task in _tasks(answer)}
            ended = {name for name, state in tasks.items() if state in ENDED}
            shown.total = len(tasks) or None
            shown.update(len(ended - done))
            done |= ended
            shown.set_postfix_str(", ".join(name for name, state in tasks.items() if state == "RUNNING"))
            if answer.state in ENDED:
                break
            time.sleep(poll)
    if ENDED[answer.state]:
        failed = ", ".join(name for name, state in tasks.items() if state == "FAILED")
        raise UserError(f"run {run} {answer.state}{f' in {failed}' if failed else ''}: {_page(host, run)}")
    return answer.state


def _tasks(run: Any) -> list[Any]:
    details = run.run_details.task_details if run.run_details else None
    # The run itself is listed as a task too.
    return [task for task in details or [] if task.display_name not in ("root", run.display_name)]


def _page(host: str, run: str) -> str:
    return f"{host.rstrip('/')}/#/runs/details/{run}"


def _refused(host: str, error: Exception) -> UserError:
    if getattr(error, "status", None):
        said = (error.body or "").strip().replace("\n", " ")[:300]
        return UserError(f"{host}: answered {error.status} {error.reason}: {said}")
    reason = str(getattr(error, "reason", None) or error).splitlines()[0]
    return UserError(f"{host}: no Kubeflow Pipelines answers there ({reason.rsplit(': ', 1)[-1][:200]})")


def _submit(given: argparse.Namespace, package: Path, cluster: Cluster) -> None:
    if not (given.host or given.context):
        raise UserError('which Kubeflow? make submit KFP_HOST=https://… or ARGS="--context NAME", one of kubectl')
    params = load(given.params, given.profile or None)
    cluster.check_batch(params.train)
    at_revision(params.ingest, given.revision)
    arguments = to_arguments(params, given.revision) | {
        "mlflow_uri": given.mlflow_uri,
        "repository": given.repository or cluster.repository,
        "server": given.server,
    }
    name = given.name or f"photo2cartoon {given.profile} {datetime.now():%Y-%m-%d %H:%M}".replace("  ", " ")
    host = given.host
    if given.context:
        client, host = connect_through(given.context)
    else:
        client = connect(host, given.namespace)
    if given.cron:
        schedule = submit_recurring(client, host, arguments, name, given.cron, given.namespace, package)
        print(f"{host.rstrip('/')}/#/recurringrun/details/{schedule}: scheduled, {given.cron}")
        return
    run = submit(client, host, arguments, name, given.namespace, package)
    print(f"{_page(host, run)}: submitted", flush=True)
    if not given.no_wait:
        print(f"{run}: {follow(client, host, run)}")


def main() -> None:
    """Parse the arguments, compile the pipeline and submit it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default=os.environ.get("KFP_HOST"), help="of Kubeflow Pipelines; KFP_HOST")
    parser.add_argument("--context", help="of kubectl: through that cluster's API server, instead of an address")
    parser.add_argument("--namespace", help="of a Kubeflow with several users")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--profile", default="", help="of the params file")
    parser.add_argument("--cluster", type=Path, default=DEFAULT, help="what the cluster gives each step")
    parser.add_argument("--revision", default="", help="git revision of the DVC repositories that pictures come from")
    parser.add_argument("--name", help="of the run; by default with the time")
    parser.add_argument("--mlflow-uri", default="", help="MLflow's tracking server as the cluster sees it")
    parser.add_argument(
        "--repository", help="Triton's model repository as the cluster sees it; by default on the repository_pvc"
    )
    parser.add_argument("--server", default="", help="HOST:PORT of a running Triton, as the cluster sees it")
    parser.add_argument("--cron", help="start it again and again: six fields, seconds first")
    parser.add_argument("--no-wait", action="store_true", help="do not follow the run")
    given = parser.parse_args()
    try:
        with exit_on_user_error("submit"), tempfile.TemporaryDirectory() as folder:
            package, cluster = Path(folder) / COMPILED.name, load_cluster(given.cluster)
            compile_to(package, cluster)
            _submit(given, package, cluster)
    except KeyboardInterrupt:
        print("submit: the run goes on without being followed", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
