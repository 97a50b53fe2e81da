"""A version reaches an InferenceService by a canary, or goes back, in an order that loses no call.

A small stand-in answers for the cluster, as KServe does; the same commands ran on a real one (docs/how-to/cluster.md).
"""

import json
import os
import signal
import uuid
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.params import Params, Rollout, Select
from photo2cartoon.rollout import inference_service, kserve
from photo2cartoon.rollout.inference_service import InferenceService
from photo2cartoon.rollout.numbers import Numbers
from photo2cartoon.serving.champion_follower import follow
from photo2cartoon.serving.storage import storage_at
from photo2cartoon.tracking import aliases, registry, version_files
from tests.pipelines.servers import JsonAnswers, kubeconfig, served
from tests.registered import register
from tests.serving.conftest import tiny_graph

MODEL = "rolled"
PARAMS = Params(select=Select(model_name=MODEL), rollout=Rollout(min_calls=10))
GOOD = Numbers(100, 0, 0.2, 100, 0.0)


class Cluster(JsonAnswers, BaseHTTPRequestHandler):
    """One InferenceService, whose pods are ready at once; `seen` has what was asked of it, in order."""

    def do_GET(self):
        if "/deployments/" in self.path:
            name = self.path.split("/")[-2].removeprefix("cartoons-").removesuffix("-predictor")
            spec = self.server.spec
            each = {spec["predictor"].get("name", ""): spec["predictor"].get("minReplicas", 1)}
            each |= {
                canary["predictor"]["name"]: canary["predictor"]["minReplicas"] for canary in spec.get("canary") or []
            }
            number = each.get(name, 0)
            self.answer({
                "metadata": {"generation": 1},
                "status": {"observedGeneration": 1, "availableReplicas": number, "updatedReplicas": number},
            })  # fmt: skip
        elif self.path.endswith("/inferenceservices/cartoons"):
            canaries = self.server.spec.get("canary") or []
            states = [
                {
                    "name": each["predictor"]["name"],
                    "ready": self.server.ready,
                    "trafficPercent": each["trafficPercent"],
                }
                for each in canaries
            ]
            self.answer({
                "spec": self.server.spec,
                "status": {"canaryStatuses": states, "conditions": [{"type": "Ready", "status": "True"}]},
            })  # fmt: skip
        else:
            self.answer({"message": 'inferenceservices "none" not found'}, 404)

    def do_PATCH(self):
        change, spec = self.body()["spec"], self.server.spec
        for key, value in change.get("predictor", {}).items():
            spec["predictor"][key] = {**spec["predictor"].get(key, {}), **value} if isinstance(value, dict) else value
        if "canary" in change:
            spec["canary"] = change["canary"]
        canary = [
            (each["predictor"]["name"][:2], each["trafficPercent"], each["predictor"]["minReplicas"])
            for each in spec["canary"] or []
        ]
        self.server.seen.append((spec["predictor"].get("name", "")[:2], *canary))
        json.dumps(spec)
        self.answer({"spec": spec})


class Observed:
    """Prometheus' numbers: of the canary, and of the stable version."""

    canary = GOOD

    def __init__(self, address):
        self.address = address

    def check(self):
        """Answer."""

    def numbers(self, namespace, pods, seconds):
        return self.canary if pods.startswith("cartoons-v2") else GOOD


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("rolled"), []
    for number in (1, 2):
        place = folder / str(number)
        place.mkdir()
        (place / "card.txt").write_text(str(number))
        version = register(MODEL, place, generator_sha256=str(number))
        graph = tiny_graph(place / "graph/data/model", version)
        version_files.add_files(MODEL, version, graph.parents[2], {})
        found.append(version)
    return found


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("")
    with served(Cluster) as server:
        server.spec = {"predictor": {"minReplicas": 1, "model": {"modelFormat": {"name": "photo2cartoon"}}}}
        server.seen, server.ready = [], True
        (tmp_path / "config").write_text(kubeconfig(server.host))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
        for name in ("SETTLE_SECONDS", "LOOK_SECONDS"):
            monkeypatch.setattr(inference_service, name, 0)
        monkeypatch.setattr(kserve, "Prometheus", Observed)
        monkeypatch.setattr(kserve, "CHECK_SECONDS", 0.01)
        monkeypatch.setattr(Observed, "canary", GOOD)
        yield server


@pytest.fixture
def serving_first(cluster, two_versions):
    """A cluster whose stable version is the first, the second being the champion; returns target and repository."""
    target, place = InferenceService("cartoons", "here"), f"memory://{uuid.uuid4().hex}"
    aliases.set_champion(MODEL, two_versions[0])
    assert kserve.promote(target, place, PARAMS) == two_versions[0]
    assert cluster.seen == [("v1",)]
    cluster.seen.clear()
    aliases.set_champion(MODEL, two_versions[1])
    registry.delete_tag(MODEL, two_versions[1], kserve.ROLLED_BACK)
    return target, place


def promote(target, place, **options):
    return kserve.promote(target, place, PARAMS, 10, 0.05, "http://127.0.0.1:9", **options)


def test_a_canary_that_holds_gets_all_calls_and_keeps_its_pods(cluster, serving_first, two_versions):
    target, place = serving_first
    assert promote(target, place) == two_versions[1]
    assert cluster.seen == [("v1", ("v2", 0, 1)), ("v1", ("v2", 10, 1)), ("v1", ("v2", 100, 1)), ("v2",)]
    uri = cluster.spec["predictor"]["model"]["storageUri"]
    assert uri.startswith(f"{place}/{two_versions[1]}-") and storage_at(uri).versions() == [two_versions[1]]
    tags = registry.read_tags(MODEL, two_versions[1])
    assert tags["rollout"].startswith("kserve://here/cartoons: all calls; 100 calls, 0 failed")
    assert tags[aliases.SERVED_IN] == "kserve://here/cartoons"
    assert int(aliases.find_alias(MODEL, aliases.PREVIOUS).version) == two_versions[0]


def test_a_canary_that_fails_loses_its_calls_before_its_pods(cluster, serving_first, two_versions, monkeypatch):
    target, place = serving_first
    before = dict(cluster.spec["predictor"])
    monkeypatch.setattr(Observed, "canary", replace(GOOD, failures=3))
    with pytest.raises(kserve.RolledBackError, match=r"3 calls failed \(3.0%\), 1.0% may"):
        promote(target, place)
    assert cluster.seen == [("v1", ("v2", 0, 1)), ("v1", ("v2", 10, 1)), ("v1", ("v2", 0, 1)), ("v1",)]
    assert cluster.spec["predictor"] == before
    tags = registry.read_tags(MODEL, two_versions[1])
    assert "3 calls failed" in tags["rollout"] and "3 calls failed" in tags[aliases.REFUSED]
    cluster.seen.clear()
    with pytest.raises(kserve.RolledBackError, match="tries it again"):  # a follower does not by itself
        promote(target, place, again=False)
    assert cluster.seen == []
    monkeypatch.setattr(Observed, "canary", GOOD)
    assert promote(target, place) == two_versions[1]
    assert kserve.ROLLED_BACK not in registry.read_tags(MODEL, two_versions[1])


def test_a_canary_that_nobody_wants_any_more_ends(cluster, serving_first, two_versions, monkeypatch):
    """As when a person moves the alias back, or rolls back, while a follower observes its canary."""
    target, place = serving_first

    def moved(*_):
        aliases.set_champion(MODEL, two_versions[0])
        return GOOD

    monkeypatch.setattr(Observed, "numbers", moved)
    with pytest.raises(kserve.MovedError, match=f"moved to version {two_versions[0]} meanwhile"):
        promote(target, place)
    assert cluster.seen[-2:] == [("v1", ("v2", 0, 1)), ("v1",)]
    assert aliases.REFUSED not in registry.read_tags(MODEL, two_versions[1])


def test_a_follower_that_is_told_to_end_ends_its_canary(cluster, serving_first, monkeypatch):
    target, place = serving_first

    def told(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        return GOOD

    monkeypatch.setattr(Observed, "numbers", told)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with pytest.raises(SystemExit):
            follow(str(target), MODEL, lambda: promote(target, place), 1, interrupt=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert cluster.seen[-2:] == [("v1", ("v2", 0, 1)), ("v1",)]


def test_a_follower_leaves_a_rollback_to_whoever_began_it(cluster, serving_first, two_versions):
    target, place = serving_first
    promote(target, place)
    aliases.begin_rollback(MODEL, str(target))  # the first thing that `rollback` does
    cluster.seen.clear()
    with pytest.raises(UserError, match=f"a rollback to version {two_versions[0]} is in progress"):
        promote(target, place, again=False)
    assert cluster.seen == []
    assert aliases.is_rolled_back_to(MODEL, two_versions[0], str(target), 60)
    assert not aliases.is_rolled_back_to(
        MODEL, two_versions[0], str(target), 0
    )  # it began too long ago: whoever it was, died
    aliases.begin_rollback(MODEL, str(target))  # a rollback that is run again goes the same way
    assert kserve.promote(target, place, PARAMS) == two_versions[0]
    assert not aliases.is_rolled_back_to(MODEL, two_versions[0], str(target), 60)
    assert promote(target, place, again=False) == two_versions[0]


def test_a_version_that_two_services_rolled_back_is_remembered_by_both(serving_first, two_versions, monkeypatch):
    target, place = serving_first
    registry.set_tags(MODEL, two_versions[1], {kserve.ROLLED_BACK: "kserve://there/others"})
    monkeypatch.setattr(Observed, "canary", replace(GOOD, failures=3))
    with pytest.raises(kserve.RolledBackError):
        promote(target, place)
    both = "kserve://here/cartoons kserve://there/others"
    assert registry.read_tags(MODEL, two_versions[1])[kserve.ROLLED_BACK] == both
    # What is stable is where a rollback goes, also if the canary did not hold.
    assert aliases.begin_rollback(MODEL, str(target)) == two_versions[0]
    aliases.set_champion(MODEL, two_versions[1])
    monkeypatch.setattr(Observed, "canary", GOOD)
    promote(target, place)
    assert registry.read_tags(MODEL, two_versions[1])[kserve.ROLLED_BACK] == "kserve://there/others"


def test_a_canary_whose_pods_died_goes_as_well(cluster, serving_first, monkeypatch):
    target, place = serving_first

    def die(*_):
        cluster.ready = False
        return replace(GOOD, failures=3)

    monkeypatch.setattr(Observed, "numbers", die)
    monkeypatch.setattr(inference_service, "READY_SECONDS", 0)
    with pytest.raises(kserve.RolledBackError):
        promote(target, place)
    assert cluster.seen[-2:] == [("v1", ("v2", 0, 1)), ("v1",)]


def test_pods_are_replaced_one_at_a_time(cluster, serving_first):
    target, place = serving_first
    cluster.spec["predictor"]["minReplicas"] = 3
    promote(target, place)
    assert [each[1][1:] for each in cluster.seen[:-1]] == [
        (0, 1), (10, 1), (33, 1), (33, 2), (66, 2), (66, 3), (100, 3),
    ]  # fmt: skip


def test_a_rollback_needs_no_window(cluster, serving_first, two_versions):
    target, place = serving_first
    promote(target, place)
    cluster.seen.clear()
    assert kserve.rollback(target, place, PARAMS) == two_versions[0]
    assert cluster.seen == [("v2", ("v1", 0, 1)), ("v2", ("v1", 100, 1)), ("v1",)]


def test_the_same_version_again_changes_nothing(cluster, serving_first):
    target, place = serving_first
    promote(target, place)
    cluster.seen.clear()
    promote(target, place)
    assert cluster.seen in ([], [("v2",)])


def test_an_interruption_goes_back(cluster, serving_first, monkeypatch):
    target, place = serving_first

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Observed, "numbers", interrupt)
    with pytest.raises(KeyboardInterrupt):
        promote(target, place)
    assert cluster.seen[-2:] == [("v1", ("v2", 0, 1)), ("v1",)]


def test_errors_name_the_cluster(cluster, two_versions):  # noqa: ARG001
    with pytest.raises(UserError, match=r'kserve://here/none: the cluster answered 404: inferenceservices "none"'):
        InferenceService("none", "here").read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kserve", "x", "--canary", "10"), "--canary needs --prometheus"),
        (("--kserve", "x"), "--repository s3://BUCKET/PATH"),
        (("--kserve", "x", "--server", "h:1"), "--server and --init are not used with --kserve"),
        (("--canary", "10"), "are used with --kserve"),
    ],
)
def test_wrong_options_are_named(p2c, options, said):
    assert said in p2c("promote", *options, code=1).stderr
