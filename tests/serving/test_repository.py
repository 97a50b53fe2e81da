"""The champion is promoted and rolled back: whole, in any order, and whoever interrupts it."""

import threading
import time

import numpy as np
import onnx
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.ports import free_ports
from photo2cartoon.serving import repository, storage
from photo2cartoon.serving.repository import init_repository, list_versions, promote, rollback
from photo2cartoon.serving.storage import Folder, storage_at
from photo2cartoon.tracking import aliases
from tests.conftest import ROOT
from tests.serving.conftest import STORED as MODEL


def test_promoted_and_rolled_back(place, two_versions):
    first, second = two_versions
    init_repository(place, ROOT / "triton_repo")
    assert list_versions(place) == []
    aliases.set_champion("stored", first)
    assert promote(place, MODEL) == first
    aliases.set_champion("stored", second)
    assert promote(place, MODEL) == promote(place, MODEL) == second
    assert list_versions(place) == [first, second]
    assert rollback(place, MODEL) == first and list_versions(place) == [first]
    served = onnx.load(str(storage_at(place).graph(first)))
    assert {item.key: item.value for item in served.metadata_props}["mlflow_version"] == str(first)
    aliases.set_champion("stored", second)
    assert promote(place, MODEL) == second and list_versions(place) == [first, second]


def test_a_rollback_after_a_promotion_that_was_refused_keeps_what_is_served(place, two_versions, monkeypatch):
    first, second = two_versions
    init_repository(place, ROOT / "triton_repo")
    aliases.set_champion("stored", first)
    promote(place, MODEL)
    aliases.set_champion("stored", second)
    with monkeypatch.context() as spoilt, pytest.raises(UserError, match="its graph draws nothing"):
        spoilt.setattr(repository, "draw", lambda _, portraits: np.zeros((*portraits.shape[:3], 3), np.uint8))
        promote(place, MODEL)
    assert rollback(place, MODEL) == first == aliases.champion_version("stored") and list_versions(place) == [first]


def test_a_second_promotion_waits_for_the_first(tmp_path, two_versions, monkeypatch):
    """The first prepares version 1 while somebody makes version 2 the champion: both orders end with the newest choice."""
    init_repository(tmp_path / "models", ROOT / "triton_repo")
    aliases.set_champion("stored", two_versions[0])
    prepare, second, notes = repository.prepare, [], []
    monkeypatch.setattr(storage, "note", notes.append)

    def moved_meanwhile(params, version, folder):
        if not second:
            aliases.set_champion("stored", two_versions[1])
            second.append(threading.Thread(target=promote, args=(tmp_path / "models", MODEL)))
            second[0].start()
            while not notes:  # it waits for this one
                time.sleep(0.05)
        return prepare(params, version, folder)

    monkeypatch.setattr(repository, "prepare", moved_meanwhile)
    with pytest.raises(UserError, match=f"was moved away from version {two_versions[0]} meanwhile"):
        promote(tmp_path / "models", MODEL)
    second[0].join()
    assert list_versions(tmp_path / "models") == [two_versions[1]]


def test_without_any_server_a_version_that_was_served_before_can_replace_the_one_that_is(place, two_versions, capfd):
    first, _ = two_versions
    init_repository(place, ROOT / "triton_repo")
    for version in two_versions:
        aliases.set_champion("stored", version)
        promote(place, MODEL)
    aliases.set_champion("stored", first)
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    assert promote(place, MODEL, nowhere) == first and list_versions(place) == [first]
    assert "was served before, so a server loads it when it starts" in capfd.readouterr().err


@pytest.mark.parametrize("command", [promote, rollback])
def test_interrupted_between_any_two_steps_it_goes_on(two_versions, tmp_path, command, monkeypatch):
    """The first run ends before its first step, the second before its second, and so on; each is run again to its end."""
    first, second = two_versions
    steps = []

    def interruptible(owner, name):
        real = getattr(owner, name)

        def step(*given):
            if len(steps) == stop:
                raise KeyboardInterrupt
            steps.append(name)
            return real(*given)

        monkeypatch.setattr(owner, name, step)

    stop = -1
    for name in ("set_alias", "mark_served"):
        interruptible(aliases, name)
    for name in ("publish", "retire"):
        interruptible(Folder, name)
    for stop in range(10):
        place, stop_at = tmp_path / str(stop), stop
        init_repository(place, ROOT / "triton_repo")
        stop = -1
        aliases.set_champion("stored", first)
        promote(place, MODEL)
        aliases.set_champion("stored", second)
        if command is rollback:
            promote(place, MODEL)
        steps.clear()
        stop = stop_at
        try:
            command(place, MODEL)
        except KeyboardInterrupt:
            stop = -1
            command(place, MODEL)
        else:
            break
        expected = (first, second) if command is rollback else (second, first)
        found = tuple(int(aliases.find_alias("stored", alias).version) for alias in ("champion", "previous"))
        assert (found, list_versions(place)[-1]) == (expected, expected[0]), f"stopped before step {stop_at}: {steps}"
    assert stop_at == {promote: 3, rollback: 4}[command]
