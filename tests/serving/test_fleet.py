"""Several servers behind one name: each gets a version, and one that is behind catches up."""

import dataclasses
import socket

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.layout import GENERATOR
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import VARIABLE, RefusedError
from photo2cartoon.serving.fleet import Fleet, addresses
from photo2cartoon.serving.repository import promote
from photo2cartoon.serving.server import Server
from photo2cartoon.tracking import aliases
from tests.serving.conftest import MODEL

pytestmark = pytest.mark.slow

KEY = "a-key-for-the-tests"
NAMES = {"cartoons-each": ["127.0.0.2", "127.0.0.1"], "cartoons": ["127.0.0.1"]}


@pytest.fixture(autouse=True)
def names(monkeypatch):
    real = socket.getaddrinfo

    def resolve(host, port, *rest, **named):
        if host not in NAMES:
            return real(host, port, *rest, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in NAMES[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture(scope="module")
def second(server, repository, weights, tmp_path_factory):
    """Another server of the same repository, on the same port of another address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        ports = dataclasses.replace(server.ports)
        with Server(repository, tmp_path_factory.mktemp("second"), ports, weights, None, host="127.0.0.2") as running:
            yield running


def drawing(*servers):
    return [Client(each.grpc).version() for each in servers]


def test_a_name_stands_for_every_address():
    assert addresses("cartoons-each:8001") == ["127.0.0.1:8001", "127.0.0.2:8001"]
    assert addresses("grpcs://cartoons-each:8001") == ["grpcs://127.0.0.1:8001", "grpcs://127.0.0.2:8001"]
    assert addresses("cartoons:8001") == ["cartoons:8001"]  # its certificate is for the name
    assert addresses("no.such.name.invalid:8001") == ["no.such.name.invalid:8001"]
    assert addresses("nonsense") == ["nonsense"]


def test_every_server_draws_with_the_new_version(server, second, repository, versions, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    (first, _), (newer, _) = versions
    name = f"cartoons-each:{server.ports.grpc}"
    aliases.set_champion("served", first)
    promote(repository, MODEL, name)
    assert drawing(server, second) == [str(first)] * 2
    aliases.set_champion("served", newer)
    assert promote(repository, MODEL, name) == newer
    assert drawing(server, second) == [str(newer)] * 2
    # One of them missed the way back.
    aliases.set_champion("served", first)
    assert promote(repository, MODEL, server.grpc) == first
    assert drawing(server, second) == [str(first), str(newer)]
    assert Fleet(name).catch_up(first)
    assert drawing(server, second) == [str(first)] * 2
    assert not Fleet(name).catch_up(newer)  # which the repository does not have as its newest


def test_a_server_that_is_away_is_left_out(server, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setitem(NAMES, "cartoons-each", ["127.0.0.1", "127.0.0.3"])
    fleet = Fleet(f"cartoons-each:{server.ports.grpc}")
    fleet.check()
    fleet.reload(GENERATOR)
    assert capsys.readouterr().err.count(f"Triton at 127.0.0.3:{server.ports.grpc}: ") == 2
    fleet.catch_up(1)
    fleet.catch_up(1)
    assert capsys.readouterr().err.count("it is left out") == 1  # said once
    monkeypatch.setitem(NAMES, "cartoons-each", ["127.0.0.3", "127.0.0.4"])
    with pytest.raises(UserError, match=r"Triton at 127.0.0.3:\d+: "):
        fleet.check()


def test_a_wrong_key_is_refused(server, monkeypatch):
    monkeypatch.setenv(VARIABLE, "another-key-for-the-tests")
    with pytest.raises(RefusedError, match="wants the server's key"):
        Fleet(f"cartoons-each:{server.ports.grpc}").check()
