"""As many photographs as there are places are let in, and nobody gives away the place of somebody else."""

import pytest

from photo2cartoon.serving import slots
from photo2cartoon.serving.slots import Slots


@pytest.fixture
def places(tmp_path, monkeypatch):
    Slots.create(tmp_path / "slots", 3)
    now = [1000.0]
    monkeypatch.setattr(slots.time, "monotonic", lambda: now[0])
    found = Slots(tmp_path / "slots")
    found.now = now
    return found


def test_places_are_taken_and_given_back(places):
    first = places.take(2)
    assert places.taken() == 2 and places.take(2) is None
    places.free(first)
    assert places.taken() == 0 and len(places.take(3)) == 3


def test_a_call_that_comes_late_frees_no_place_of_another(places):
    late = places.take(3)
    places.now[0] += slots.LEASE_SECONDS + 1
    others = places.take(3)
    places.free(late)
    places.free([-1, 10**6 + 1])  # of nobody
    assert places.taken() == 3
    places.free(others)
    assert places.taken() == 0


def test_tickets_are_32_bit_integers(places, monkeypatch):
    monkeypatch.setattr(slots, "MOST_USES", 2)
    for _ in range(5):
        tickets = places.take(3)
        assert max(tickets) < 3 * 3
        places.free(tickets)
        assert places.taken() == 0
    assert slots.MOST_USES * 1024 < 2**31
