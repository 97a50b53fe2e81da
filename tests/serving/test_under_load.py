"""Versions that change, processes that die and floods of calls cost no answer."""

import concurrent.futures
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.messages import BusyError, LateError
from photo2cartoon.serving.repository import list_versions, promote, rollback
from photo2cartoon.serving.stub_watch import processes
from photo2cartoon.tracking import aliases, version_files
from tests.registered import register
from tests.serving.conftest import MODEL, in_process, levels, parent, tiny_graph, under_load, words

pytestmark = pytest.mark.slow


def test_a_busy_server_refuses_at_once_and_draws_again(server, hopper):
    """Nothing queues beyond what the server can do in seconds; places come back also from calls that failed."""
    client, photo, places = Client(server.grpc), hopper.read_bytes(), server.slots()
    client.cartoonize_all([b"no picture"] * 8)
    assert places.taken() == 0 and len(places) == 16 * server.cores
    taken = places.take(len(places))
    with pytest.raises(BusyError, match="busy: the server already processes as many photographs"):
        client.cartoonize(photo, timeout=1)
    places.free(taken[:1])
    assert client.cartoonize(photo) and places.taken() == len(places) - 1
    with pytest.raises(BusyError):
        client.cartoonize_all([photo, photo], timeout=1)
    places.free(taken)


def test_a_new_version_is_loaded_under_load_and_rolled_back(server, versions, maker, hopper):
    photo = hopper.read_bytes()
    first, second = (number for number, _ in versions)
    expected = {number: in_process(maker, path, hopper) for number, path in versions}
    assert np.abs(expected[first] - expected[second]).max() > 3

    def which(picture):
        return next(number for number, drawn in expected.items() if np.abs(levels(picture) - drawn).max() <= 1)

    aliases.set_champion("served", first)
    promote(server.repository, MODEL, server.grpc)
    client = Client(server.grpc)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(client.cartoonize, photo) for _ in range(24)]
        aliases.set_champion("served", second)
        assert promote(server.repository, MODEL, server.grpc) == second
        assert list_versions(server.repository)[-1] == second
        answers = [
            which(call.result()[0].cartoon) for call in calls
        ]  # no call failed; each used one version or the other
    assert which(client.cartoonize(photo)[0].cartoon) == second
    assert answers == sorted(answers)

    assert rollback(server.repository, MODEL, server.grpc) == first
    assert which(client.cartoonize(photo)[0].cartoon) == first
    assert int(aliases.find_alias("served", "champion").version) == first
    assert rollback(server.repository, MODEL, server.grpc) == second
    assert which(client.cartoonize(photo)[0].cartoon) == second


@pytest.mark.parametrize("model", ["gate", "portrait", "generator", "picture"])
def test_a_process_that_dies_in_the_middle_of_calls_loses_none(server, hopper, model):
    """Triton itself would answer with errors for it for good; the server replaces it, and clients try again meanwhile."""
    with under_load(server, hopper.read_bytes()) as answers:
        before = processes(server.process.pid)[model]
        (victim, *_) = (
            int(place.name)
            for place in Path("/proc").iterdir()
            if place.name.isdigit() and f"{model}_0_0" in words(place) and parent(place) == server.process.pid
        )
        os.kill(victim, signal.SIGKILL)
        count = len(answers)
        deadline = time.monotonic() + 60
        while len(answers) < count + 12 or processes(server.process.pid)[model] < before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    while server.slots().taken():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_versions_that_are_no_good_are_never_served(server, versions, hopper, tmp_path):
    """Damaged, drawing nothing or one size only, of another version, or slow: calls go on with the one before."""
    good = versions[0][0]
    aliases.set_champion("served", good)
    promote(server.repository, MODEL, server.grpc)
    client, photo = Client(server.grpc), hopper.read_bytes()
    expected = client.cartoonize(photo)

    def spoilt(name, **form):
        version = register("served", tmp_path / "none", generator_sha256=name)
        file = tiny_graph(tmp_path / name / "data/model", form.pop("named", version), **form)
        if name == "damaged":
            file.write_bytes(file.read_bytes()[:200])
        version_files.add_files("served", version, file.parents[2], {})
        return version

    trials = (
        (spoilt("damaged"), MODEL, "its graph cannot draw"),
        (spoilt("empty", first=4), MODEL, "its graph draws nothing"),
        (spoilt("another", named=999), MODEL, "exported as version 999: refused"),
        (versions[1][0], MODEL.model_copy(update={"max_seconds": 1e-9}), "select.max_seconds is 1e-09"),
        (spoilt("256 px only", size=256), MODEL, "its graph cannot draw"),
    )
    with under_load(server, photo) as answers:
        for version, select, said in trials:
            aliases.set_champion("served", version)
            with pytest.raises(UserError, match=said):
                promote(server.repository, select, server.grpc)
            assert list_versions(server.repository)[-1] == good
            count, deadline = len(answers), time.monotonic() + 60
            while len(answers) < count + 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    assert len({*answers, expected[0].cartoon}) == 1, "every answer is the good version's"
    aliases.set_champion("served", good)


def test_a_restart_under_load_refuses_calls_and_breaks_none(server, hopper):
    """Calls in work finish; calls meanwhile are told that the server is busy or away, and later ones are drawn."""
    photo, answers, refused, stop = hopper.read_bytes(), [], [], threading.Event()

    def call():
        client = Client(server.grpc)
        while not stop.is_set():
            try:
                answers.append(client.cartoonize(photo, timeout=3)[0].cartoon)
            except (BusyError, LateError) as error:
                refused.append(error)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call) for _ in range(3)]
        try:
            begun = time.monotonic() + 60
            while len(answers) < 3:
                assert time.monotonic() < begun
                time.sleep(0.05)
            server.stop()
            before = len(answers)
            server.start()
            deadline = time.monotonic() + 20
            while len(answers) < before + 6 and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            stop.set()
        for each in calls:
            each.result()
    assert len(answers) >= before + 6 and refused and len(set(answers)) == 1


@pytest.mark.long
def test_twenty_promotions_and_five_rollbacks_under_load_lose_no_request(server, versions, hopper):
    numbers = [number for number, _ in versions]
    aliases.set_champion("served", numbers[0])
    promote(server.repository, MODEL, server.grpc)
    with under_load(server, hopper.read_bytes()) as answers:
        for turn in range(20):
            aliases.set_champion("served", numbers[(turn + 1) % 2])
            assert promote(server.repository, MODEL, server.grpc) == numbers[(turn + 1) % 2]
        for turn in range(5):
            assert rollback(server.repository, MODEL, server.grpc) == numbers[(turn + 1) % 2]
            assert Client(server.grpc).version() == str(numbers[(turn + 1) % 2])
    assert len(answers) > 50
