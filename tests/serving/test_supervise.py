"""What ends a server again and again is given up on; test_server.py ends a real Triton once."""

import types

import pytest

from photo2cartoon.errors import UserError
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


def test_the_fifth_end_within_ten_minutes_is_the_last(capsys):
    server = Ending()
    with pytest.raises(UserError, match="Triton ended by itself 5 times within 10 min"):
        supervise(server)
    said = capsys.readouterr().err
    assert server.starts == 4
    assert [said.count(word) for word in ("SIGSEGV", "exit code 1", "port 8001 is taken", "serves again")] == [
        1,
        2,
        1,
        3,
    ]
