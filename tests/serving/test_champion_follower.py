"""Somebody moves the alias `champion` on MLflow's page, and a minute later the running Triton draws with that version."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import select
from photo2cartoon.export.export import export
from photo2cartoon.params import Evaluate, Export, Select
from photo2cartoon.pictures import decode_png
from photo2cartoon.ports import free_ports
from photo2cartoon.serving.champion_follower import Follower
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import VARIABLE
from photo2cartoon.serving.repository import init_repository, list_versions, promote
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.tracking import aliases, registry
from photo2cartoon.tracking.client import connect, experiment, link
from photo2cartoon.training.loop import train
from tests.browser import chromium
from tests.conftest import ROOT
from tests.mlflow_server import mlflow_server
from tests.registered import register

MODEL = "photo2cartoon"
# What an administrator of MLflow sets to let it call addresses of the own network.
HOOKS = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
HOOKS |= {"MLFLOW_WEBHOOK_CACHE_TTL": "1"}  # seconds until it knows a new webhook


@pytest.fixture(scope="module")
def team(tiny, faces, weights, traced_once, tmp_path_factory):
    """MLflow's server with two exported versions of one training, and Triton with the first; a browser beside them."""
    folder = tmp_path_factory.mktemp("team")
    repository = folder / "triton_repo"
    init_repository(repository, ROOT / "triton_repo")
    (folder / "mlflow").mkdir()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(VARIABLE, "a-key-for-the-tests")  # of model control, for server and follower
        uri = stack.enter_context(mlflow_server(folder / "mlflow", **HOOKS))
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        train(tiny, faces, weights, folder / "train")
        result = evaluate(Evaluate(photos="all"), folder / "train", faces, weights, folder / "scores")
        for metric, name, promotes in (
            ("kernel_efficientnet", "step-000004", "always"),
            ("kernel_face", "step-000002", "ask"),
        ):
            only = {key: value for key, value in result["scores"].items() if key in ("photographs", name)}
            (folder / "scores/scores.json").write_text(json.dumps(result | {"scores": only}))
            select(Select(metric=metric, promote=promotes), folder / "scores", folder / "train", folder / name)
            with traced_once():
                export(Export(), folder / name, faces, folder / f"{name}.onnx", weights=weights)
        promote(repository, Select())
        browser = stack.enter_context(chromium(folder / "profile", width=2400))
        server = stack.enter_context(Server(repository, folder / "run", Ports.free(), weights, None))
        yield SimpleNamespace(uri=uri, repository=repository, server=server, folder=folder, browser=browser)


@contextlib.contextmanager
def following(team, *options):
    """Run `p2c promote --follow` as an operator does; yield its process."""
    command = [sys.executable, "-m", "photo2cartoon", "promote", "--follow", "--every", "2", *options]
    command += ["--repository", team.repository, "--server", team.server.grpc]
    log = (team.folder / "follow.log").open("w+")
    process = subprocess.Popen(list(map(str, command)), cwd=team.folder, stderr=log, stdout=log, env=os.environ)
    process.log = log.name
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        log.close()


def said(process):
    from pathlib import Path

    return Path(process.log).read_text()


def eventually(condition, seconds=60.0):
    """Wait until a condition holds; a minute is what the documentation promises."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def drawn(team, photo):
    return decode_png(Client(team.server.grpc).cartoonize(photo.read_bytes())[0].cartoon)


@pytest.mark.long
def test_a_person_picks_on_the_page_and_triton_draws_with_it(team, astronaut):
    before = drawn(team, astronaut)
    page = team.browser
    with following(team):
        # The table of models: both checkpoints, the photographs as a baseline, and scores on the dataset.
        page.open(link(f"experiments/{experiment(connect().MlflowClient())}/models"))
        page.wait_for("step-000002")
        page.dismiss("[data-component-id='mlflow.assistant.chat_panel.close']")
        for shown in (
            "step-000002",
            "step-000004",
            "photographs",
            "frechet_face",
            "portraits train+test",
            "unpaired from",
        ):
            page.wait_for(shown)
        # The version says what it is, and shows what it draws.
        page.open(link(f"models/{MODEL}/versions/2"))
        page.wait_for("chosen: the best by kernel_face")
        picture = page.element("img[src*='logged-models']")
        eventually(lambda: int(picture.get_property("naturalWidth")) > 500)
        page.wait_for("Inputs (1)")
        page.wait_for("Outputs (1)")
        assert page.driver.find_element("css selector", "body").text.count("kernel_face") > 1
        page.click("button[title='Add aliases'], button[title='Edit aliases']")
        page.element("div[role=dialog] input[role=combobox]").send_keys("champion\n")
        page.click("button[data-component-id='mlflow.edit-aliases-modal.save-button']")
        eventually(lambda: aliases.champion_version(MODEL) == 2)
        eventually(lambda: Client(team.server.grpc).version() == "2")
        assert not np.array_equal(drawn(team, astronaut), before)
        eventually(lambda: registry.read_tags(MODEL, 2).get("served_in") == str(team.repository))
        eventually(lambda: int(aliases.find_alias(MODEL, "previous").version) == 1)
        aliases.set_champion(MODEL, 1)
        eventually(lambda: Client(team.server.grpc).version() == "1")
        assert np.array_equal(drawn(team, astronaut), before)


@pytest.mark.long
def test_a_version_that_cannot_be_served_changes_nothing_but_a_tag(team, astronaut):
    """A person registers the baseline, which was never exported, and makes it champion."""
    before, client = drawn(team, astronaut), connect().MlflowClient()
    logged = registry.get_version(MODEL, 2).source.removeprefix("models:/")
    empty = client.create_logged_model(experiment(client), "empty")
    made = client.create_model_version(MODEL, f"models:/{empty.model_id}", model_id=empty.model_id)
    with following(team) as follower:
        eventually(lambda: "version 1 is in service" in said(follower))
        aliases.set_alias(MODEL, "champion", int(made.version))
        eventually(lambda: "not_served_because" in client.get_registered_model(MODEL).tags)
        reason = registry.read_tags(MODEL, int(made.version))["not_served_because"]
        assert "`p2c export --version 3` puts it there" in reason and reason in said(follower)
        assert client.get_registered_model(MODEL).tags["not_served_because"] == f"version 3: {reason}"
        assert Client(team.server.grpc).version() == "1" and np.array_equal(drawn(team, astronaut), before)
        aliases.set_alias(MODEL, "champion", 1)
        eventually(lambda: "not_served_because" not in client.get_registered_model(MODEL).tags)
        client.delete_registered_model_alias(MODEL, "champion")
        eventually(lambda: "has no champion; the served version is unchanged" in said(follower))
        aliases.set_alias(MODEL, "champion", 1)
    assert list_versions(team.repository)[-1] == 1 and logged


@pytest.mark.long
def test_two_people_at_once_end_with_one_version(team):
    """Whoever was last, Triton and the alias agree in the end, and no version is left half-written."""

    def move(version):
        for _ in range(5):
            aliases.set_alias(MODEL, "champion", version)
            time.sleep(0.3)

    with following(team):
        people = [threading.Thread(target=move, args=(version,)) for version in (1, 2)]
        for one in people:
            one.start()
        for one in people:
            one.join()
        eventually(lambda: Client(team.server.grpc).version() == str(aliases.champion_version(MODEL)))
        time.sleep(5)  # nothing is on its way any more
        served = Client(team.server.grpc).version()
        assert served == str(aliases.champion_version(MODEL)) == str(list_versions(team.repository)[-1])
        aliases.set_champion(MODEL, 1)
        eventually(lambda: Client(team.server.grpc).version() == "1")
    assert not list((team.repository / "generator").glob(".*partial*"))


@pytest.mark.long
def test_mlflow_calls_the_follower(team):
    """Looking only once a minute, the follower still acts at once."""
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    client = connect().MlflowClient()
    with following(team, "--every", "60", "--webhook", address) as follower:
        eventually(lambda: "version 1 is in service" in said(follower))
        assert "promote: by webhook" in said(follower)
        assert [hook.url for hook in client.list_webhooks()] == [address]
        began = time.monotonic()
        aliases.set_alias(MODEL, "champion", 2)
        eventually(lambda: Client(team.server.grpc).version() == "2", seconds=30)
        assert time.monotonic() - began < 30
        aliases.set_alias(MODEL, "champion", 1)
        eventually(lambda: Client(team.server.grpc).version() == "1", seconds=30)
    assert list(client.list_webhooks()) == []


@pytest.mark.long
def test_the_versions_are_listed_with_who_serves_them(team, p2c):
    promote(team.repository, Select(), team.server.grpc)
    shown = p2c("versions", "--repository", team.repository, "--server", team.server.grpc, "--server", "127.0.0.1:9",
                COLUMNS="300").stdout  # fmt: skip
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()[:1].isdigit()}
    assert "champion" in rows["1"] and str(team.repository) in rows["1"] and "kernel_efficientnet" in rows["1"]
    assert team.server.grpc in shown and "(not exported)" in rows["3"] and "candidate" in rows["2"]
    assert "Triton at 127.0.0.1:9: " in shown and f"{team.uri}/#/models/{MODEL}" in shown


def test_an_empty_registry_is_named(p2c, tmp_path):
    done = p2c("versions", "--repository", tmp_path, code=1, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/none.db")
    assert "has no version of 'photo2cartoon': `dvc repro` registers one" in done.stderr


def test_a_version_that_somebody_elses_promotion_hid_is_deployed_again():
    register("hidden", generator_sha256="1")
    aliases.set_champion("hidden", 1)
    deployed, serves = [], iter((True, False, True))
    follower = Follower("here", "hidden", lambda: deployed.append(1) or 1, lambda _: next(serves))
    for expected in (
        1,
        1,
        2,
        2,
    ):  # deployed; as it should be; another version is served: deployed again; as it should be
        follower.look()
        assert len(deployed) == expected


def test_while_mlflow_is_away_what_is_served_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    follower = Follower(str(tmp_path), MODEL, lambda: promote(tmp_path, Select()))
    for _ in range(2):
        follower.look()
    said = capsys.readouterr().err
    assert said.count("MLflow at http://127.0.0.1:9: ") == 1 and "the served version is unchanged" in said  # said once
