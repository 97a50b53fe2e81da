"""An InferenceService of KServe: its stable version, its canary, and the share of calls that each gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
READY_SECONDS = 600.0
SETTLE_SECONDS = 10.0  # until every gateway has heard of another share
LOOK_SECONDS = 2.0
_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


class InferenceService:
    """One InferenceService, in Standard mode.

    Its stable predictor is called `v7-HASH` for version 7 of the model, and so are its Deployment and Service
    (`NAME-v7-HASH-predictor`): a canary that becomes stable keeps its pods.

    Args:
        name: of the InferenceService.
        namespace: it is in; None is that of the pod this runs in, or of kubectl's context.

    Raises:
        UserError: there is no cluster to reach.
    """

    def __init__(self, name: str, namespace: str | None = None) -> None:
        from kubernetes import client, config

        try:
            config.load_incluster_config()
            own = Path(_NAMESPACE).read_text().strip()
        except (config.ConfigException, OSError):
            try:
                config.load_kube_config()
                own = config.list_kube_config_contexts()[1]["context"].get("namespace", "default")
            except (config.ConfigException, OSError) as error:
                raise UserError(f"KServe: no cluster to reach: {error}") from None
        self.name, self.namespace = name, namespace or own
        self._custom, self._apps = client.CustomObjectsApi(), client.AppsV1Api()

    def __str__(self) -> str:
        return f"kserve://{self.namespace}/{self.name}"

    def read(self) -> dict[str, Any]:
        """Return it as it is now.

        Raises:
            UserError: it does not exist, may not be read, or the cluster does not answer.
        """
        return self._call(self._custom.get_namespaced_custom_object, GROUP, VERSION, self.namespace, PLURAL, self.name)

    def stable(self) -> tuple[str, str | None]:
        """Return the stable predictor's name, empty before the first version, and the place of its model."""
        predictor = self.read()["spec"]["predictor"]
        return predictor.get("name", ""), predictor.get("model", {}).get("storageUri")

    def replicas(self) -> int:
        """Return the number of stable pods that it asks for at least."""
        return self.read()["spec"]["predictor"].get("minReplicas", 1)

    def pods(self, predictor: str) -> str:
        """Return a regular expression for the names of a predictor's pods."""
        return f"{self._deployment(predictor)}-[^-]+-[^-]+"

    def set_stable(self, predictor: str, uri: str) -> None:
        """Make a version the stable one, and end any canary; a canary of the same name keeps its pods."""
        self._patch({"predictor": {"name": predictor, "model": {"storageUri": uri}}, "canary": None})

    def set_canary(self, predictor: str, uri: str, percent: int, replicas: int) -> None:
        """Give a version beside the stable one a share of the calls.

        Args:
            predictor: its name.
            uri: place of its model.
            percent: of the calls; 0 starts its pods without calls.
            replicas: its pods, at most as many as the stable version's.
        """
        own = self.read()["spec"]["predictor"]
        model = {key: own["model"][key] for key in ("modelFormat", "protocolVersion", "runtime") if key in own["model"]}
        canary = {"name": predictor, "minReplicas": replicas, "model": {**model, "storageUri": uri}}
        self._patch({"canary": [{"predictor": canary, "trafficPercent": percent}]})
        self.wait(lambda: self._available(predictor) >= replicas, f"'{predictor}' has no {replicas} ready pods")
        self._wait_for_percent(predictor, percent, f"'{predictor}' does not get {percent} percent")
        time.sleep(SETTLE_SECONDS)

    def end_canary(self) -> None:
        """End the canary, if there is one, without losing a call: it gets none any more before its pods end."""
        for canary in self.read()["spec"].get("canary") or []:
            if canary["trafficPercent"]:
                self._patch({"canary": [{**canary, "trafficPercent": 0}]})
                self._wait_for_percent(canary["predictor"]["name"], 0, "the canary keeps its calls")
                time.sleep(SETTLE_SECONDS)
        self._patch({"canary": None})

    def wait_ready(self, predictor: str, replicas: int) -> None:
        """Wait until the stable version has its pods and is reached.

        Raises:
            UserError: not within ten minutes.
        """
        self.wait(lambda: self._available(predictor) >= replicas and self._is_ready(), f"'{predictor}' is not ready")

    def wait(self, holds: Callable[[], bool], failure: str) -> None:
        """Wait until something holds.

        Raises:
            UserError: it does not within ten minutes.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self}: {failure} after {READY_SECONDS:.0f} s; `kubectl get pods -n {self.namespace}` shows why"
                )
            time.sleep(LOOK_SECONDS)

    def _deployment(self, predictor: str) -> str:
        return f"{self.name}-{predictor}-predictor" if predictor else f"{self.name}-predictor"

    def _available(self, predictor: str) -> int:
        from kubernetes.client import ApiException

        try:
            found = self._apps.read_namespaced_deployment_status(self._deployment(predictor), self.namespace)
        except ApiException as error:
            if error.status == 404:
                return 0
            raise self._refused(error) from None
        except Exception as error:
            raise self._lost(error) from None
        if (found.status.observed_generation or 0) < found.metadata.generation:
            return 0
        return min(found.status.available_replicas or 0, found.status.updated_replicas or 0)

    def _wait_for_percent(self, predictor: str, percent: int, failure: str) -> None:
        self.wait(lambda: self._percent(predictor) == percent, failure)

    def _percent(self, predictor: str) -> int | None:
        """Return the share that KServe has given to a canary, also to one whose pods fail."""
        found = self.read().get("status", {}).get("canaryStatuses") or []
        return next((each["trafficPercent"] for each in found if each["name"] == predictor), None)

    def _is_ready(self) -> bool:
        conditions = self.read().get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _patch(self, spec: dict[str, Any]) -> None:
        place = (GROUP, VERSION, self.namespace, PLURAL, self.name)
        self._call(self._custom.patch_namespaced_custom_object, *place, {"spec": spec})

    def _call(self, function: Callable, *given: Any) -> Any:
        from kubernetes.client import ApiException

        try:
            return function(*given, _request_timeout=30)
        except ApiException as error:
            raise self._refused(error) from None
        except Exception as error:  # urllib3's errors have no common class
            raise self._lost(error) from None

    def _refused(self, error: Any) -> UserError:
        import json

        try:
            said = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            said = error.reason
        return UserError(f"{self}: the cluster answered {error.status}: {said}")

    def _lost(self, error: Exception) -> UserError:
        return UserError(f"{self}: the cluster does not answer ({type(error).__name__})")
