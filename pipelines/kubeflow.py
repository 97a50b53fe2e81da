"""Kubeflow Pipelines' server, as `submit` uses it: connecting, versions, runs, schedules, states, logs and events."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

from photo2cartoon.errors import UserError, first_line

EXPERIMENT = PIPELINE = "photo2cartoon"
INSTALLED_IN = "kubeflow"  # the namespace of Kubeflow Pipelines itself
SECONDS = 20
# Raised by kfp's client on failure.
CANNOT = (ApiException, HTTPError, OSError, ValueError, RuntimeError, TypeError)


@dataclass
class Kubeflow:
    """A server.

    Args:
        client: kfp's client.
        host: address of the page, below which the API answers too.
        namespace: of a Kubeflow with several users; None for one without.
        headers: credentials for the page.
        verify: certificate bundle for the page; True for the system's.
    """

    client: Any
    host: str
    namespace: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    verify: str | bool = True

    def page(self, run: str, execution: str = "") -> str:
        """Return the address of a run's page, or of the page about the execution of one of its steps."""
        place = f"executions/{execution}" if execution else f"runs/details/{run}"
        return f"{self.host.rstrip('/')}/#/{place}"

    def upload(self, package: Path, version: str, description: str = "") -> tuple[str, str]:
        """Upload a version of the pipeline unless it is there; return the ids of pipeline and version.

        Raises:
            UserError: the server refuses it.
        """
        with self._as_user_error():
            pipeline = self.client.get_pipeline_id(PIPELINE)
            if pipeline is None:
                pipeline = self.client.pipelines.pipeline_service_create_pipeline(
                    pipeline=_named(PIPELINE, self.namespace, description)
                ).pipeline_id
            found = self.version(pipeline, version)
            if found is None:
                uploaded = self.client.upload_pipeline_version(
                    str(package), version, pipeline_id=pipeline, description=description
                )
                found = uploaded.pipeline_version_id
            return pipeline, found

    def version(self, pipeline: str, name: str) -> str | None:
        """Return the id of a version of the pipeline by its name, or None."""
        token = ""
        while True:
            page = self.client.list_pipeline_versions(pipeline, page_token=token, page_size=100)
            for version in page.pipeline_versions or []:
                if version.display_name == name:
                    return version.pipeline_version_id
            token = page.next_page_token
            if not token:
                return None

    def find(self, version: str) -> tuple[str, str]:
        """Return the ids of pipeline and version.

        Raises:
            UserError: there is no such version.
        """
        with self._as_user_error():
            pipeline = self.client.get_pipeline_id(PIPELINE)
            found = self.version(pipeline, version) if pipeline else None
        if found is None:
            raise UserError(f"--version {version}: {self.host} has none; `make pipeline-upload` uploads one")
        return pipeline, found

    def package(self, pipeline: str, version: str) -> dict[str, Any]:
        """Return the pipeline's document of a version."""
        with self._as_user_error():
            spec = self.client.get_pipeline_version(pipeline, version).pipeline_spec
        return spec.get("pipeline_spec", spec)

    def submit(self, arguments: dict[str, Any], name: str, pipeline: str, version: str) -> str:
        """Start a run of a version; return its id.

        Raises:
            UserError: the server refuses it.
        """
        with self._as_user_error():
            experiment = self.client.create_experiment(EXPERIMENT, namespace=self.namespace).experiment_id
            ids = {"pipeline_id": pipeline, "version_id": version}
            return self.client.run_pipeline(experiment, name, params=arguments, **ids).run_id

    def schedule(self, arguments: dict[str, Any], name: str, pipeline: str, version: str, cron: str) -> str:
        """Schedule a version with a cron expression of six fields, seconds first; return the schedule's id.

        One run is active at a time; caching decides which steps run when data has not changed.

        Raises:
            UserError: the server refuses it.
        """
        with self._as_user_error():
            experiment = self.client.create_experiment(EXPERIMENT, namespace=self.namespace).experiment_id
            recurring = self.client.create_recurring_run(
                experiment_id=experiment, job_name=name, cron_expression=cron, max_concurrency=1, no_catchup=True,
                params=arguments, pipeline_id=pipeline, version_id=version, enable_caching=True,
            )  # fmt: skip
        return recurring.recurring_run_id

    def state(self, run: str) -> tuple[str, dict[str, Any]]:
        """Return a run's state and its Argo workflow, which is empty before there is one."""
        state = self.client.get_run(run).state
        workflow: dict[str, Any] = {}
        with contextlib.suppress(requests.RequestException, KeyError, TypeError, ValueError):
            workflow = json.loads(self._get(f"apis/v1beta1/runs/{run}").json()["pipeline_runtime"]["workflow_manifest"])
        return state, workflow

    def retry(self, run: str) -> None:
        """Run the failed steps of a run again, and keep the rest."""
        with self._as_user_error():
            self.client.runs.run_service_retry_run(run)

    def terminate(self, run: str) -> None:
        """End a run."""
        with self._as_user_error():
            self.client.terminate_run(run)

    def log(self, run: str, pod: str) -> str:
        """Return the log of a pod, from the cluster or the archive; empty if there is none."""
        with contextlib.suppress(requests.RequestException):
            where = {"podname": pod, "podnamespace": self.namespace or INSTALLED_IN, "runid": run}
            for path, query in (("k8s/pod/logs", where), (f"apis/v1alpha1/runs/{run}/nodes/{pod}/log", {})):
                answer = self._get(path, **query)
                if answer.ok:
                    return answer.text
        return ""

    def warning(self, pod: str) -> str:
        """Return the latest warning of Kubernetes about a pod; empty if there is none."""
        with contextlib.suppress(requests.RequestException, ValueError):
            query = {"podname": pod, "podnamespace": self.namespace or INSTALLED_IN}
            events = self._get("k8s/pod/events", **query).json().get("items", [])
            warnings_ = [event for event in events if event.get("type") == "Warning"]
            if warnings_:
                return " ".join(warnings_[-1].get("message", "").split())
        return ""

    def _get(self, path: str, **query: str) -> requests.Response:
        address = f"{self.host.rstrip('/')}/{path}"
        return requests.get(address, params=query, headers=self.headers, timeout=SECONDS, verify=self.verify)

    @contextlib.contextmanager
    def _as_user_error(self):
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # kfp prints links of its own
                yield
        except (ApiException, HTTPError) as error:
            raise refused(self.host, error) from None


def _named(name: str, namespace: str | None, description: str) -> Any:
    import kfp_server_api

    return kfp_server_api.V2beta1Pipeline(display_name=name, name=name, namespace=namespace, description=description)


def connect(host: str, namespace: str | None = None) -> Kubeflow:
    """Return the server at an address, with the token or cookie of the environment.

    Raises:
        UserError: the host does not answer, or refuses the token or cookie.
    """
    import kfp

    _be_quiet()
    token, cookie = os.environ.get("KFP_TOKEN"), os.environ.get("KFP_COOKIE")
    headers = ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Cookie": cookie} if cookie else {})
    _must_answer(host, headers)
    try:
        client = kfp.Client(host=host, namespace=namespace or INSTALLED_IN, existing_token=token, cookies=cookie)
    except CANNOT as error:
        raise refused(host, error) from None
    return Kubeflow(client, host, namespace, headers)


def connect_through(context: str, namespace: str | None = None) -> ProxiedKubeflow:
    """Return the server behind a cluster's API server, reached as `kubectl` reaches it.

    Args:
        context: context of the kubeconfig.
        namespace: of a Kubeflow with several users.

    Raises:
        UserError: there is no such context, the server does not answer, or your kubectl credentials are refused.
    """
    import kfp
    import kubernetes

    _be_quiet()
    cluster = f"--context {context}"
    try:
        api = kubernetes.config.new_client_from_config(context=context)
        cluster = api.configuration.host
        # Ask once first: kfp's client would ask five times and show a stack trace each time.
        health = f"/api/v1/namespaces/{INSTALLED_IN}/services/ml-pipeline:http/proxy/apis/v2beta1/healthz"
        api.call_api(health, "GET", auth_settings=["BearerToken"], _request_timeout=SECONDS)
        client = _through_cluster(kfp.Client)(namespace=INSTALLED_IN, kube_context=context)
    except kubernetes.config.ConfigException as error:
        raise UserError(f"--context {context}: {first_line(error)}") from None
    except (kubernetes.client.ApiException, *CANNOT) as error:
        raise refused(cluster, error) from None
    page = f"{cluster}/api/v1/namespaces/{INSTALLED_IN}/services/ml-pipeline-ui:http/proxy"
    return ProxiedKubeflow(client, page, namespace, api=api)


@dataclass
class ProxiedKubeflow(Kubeflow):
    """A server whose page is reached through the Kubernetes API server, with kubectl's credentials.

    Args:
        api: kubernetes' client.
    """

    api: Any = None

    def _get(self, path: str, **query: str) -> requests.Response:
        configuration = self.api.configuration
        headers: dict[str, str] = {}
        self.api.update_params_for_auth(headers, [], ["BearerToken"])
        certificate = (configuration.cert_file, configuration.key_file) if configuration.cert_file else None
        verify = (configuration.ssl_ca_cert or True) if configuration.verify_ssl else False
        # The page does not hand on requests for archived logs, the API server behind it answers them.
        host = self.host.replace("ml-pipeline-ui:", "ml-pipeline:") if path.startswith("apis/v1alpha1") else self.host
        address = f"{host.rstrip('/')}/{path}"
        options = {"headers": headers, "timeout": SECONDS, "verify": verify, "cert": certificate}
        return requests.get(address, params=query, **options)


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


def _must_answer(host: str, headers: dict[str, str]) -> None:
    """Ask once first: kfp's client would ask five times and show a stack trace each time."""
    try:
        answer = requests.get(
            f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        raise refused(host, error) from None
    # A gateway sends unauthenticated requests to a login page.
    if answer.is_redirect or answer.status_code in (401, 403):
        raise UserError(f"{host}: refused ({answer.status_code}): KFP_TOKEN or KFP_COOKIE is missing, wrong or too old")
    if not answer.ok or "json" not in answer.headers.get("Content-Type", ""):
        raise UserError(
            f"{host}: no Kubeflow Pipelines answers there (it answered {answer.status_code} {answer.reason})"
        )


def refused(host: str, error: Exception) -> UserError:
    """Make a one-line error of what a client raised."""
    if getattr(error, "status", None):
        said = (error.body or "").strip().replace("\n", " ")[:300]
        return UserError(f"{host}: answered {error.status} {error.reason}: {said}")
    reason = str(getattr(error, "reason", None) or error).splitlines()[0]
    return UserError(f"{host}: no Kubeflow Pipelines answers there ({reason.rsplit(': ', 1)[-1][:200]})")
