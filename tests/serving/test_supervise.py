"""What ends a server again and again is given up on; test_server.py ends a real Triton once."""

import types

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.serving import supervise as module
from photo2cartoon.serving.supervise import supervise


class Ending:
    """A server that ends at once, and whose second start fails."""

    where = "log: here"

    def __init__(self):
        self.starts = 0
        self.process = types.SimpleNamespace(poll=lambda: -11, returncode=-11)

    def stop(self):
        self.process = None

    def start(self):
        self.starts += 1
        if self.starts == 2:
            raise UserError("port 8001 is taken")
        self.process = types.SimpleNamespace(poll=lambda: 1, returncode=1)


def test_the_fifth_end_within_ten_minutes_is_the_last(capsys, monkeypatch):
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    server = Ending()
    with pytest.raises(UserError, match="Triton ended by itself 5 times within 10 min"):
        supervise(server)
    said = capsys.readouterr().err
    assert server.starts == 5
    assert [said.count(word) for word in ("SIGSEGV", "exit code 1", "port 8001 is taken", "serves again")] == [
        1,
        3,
        1,
        4,
    ]


def test_a_server_that_cannot_be_started_again_is_tried_with_growing_pauses(monkeypatch):
    server, slept = Ending(), []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    monkeypatch.setattr(server, "start", lambda: (_ for _ in ()).throw(UserError("storage does not answer")))
    with pytest.raises(UserError, match=r"could not be started 5 times"):
        supervise(server)
    assert slept == sorted(slept) and len(slept) == 5 and sum(slept) > 60
