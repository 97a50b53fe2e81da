"""States of steps are read from Argo's nodes as a real cluster wrote them."""

from datetime import UTC, datetime

import pytest

from pipelines.steps import Step, duration, last_words, read_steps

ROOT = "photo-x(0).root(0).exit-handler-1(0)"
NOW = datetime(2026, 11, 24, 22, 10, tzinfo=UTC)


def node(name, kind, phase, message=None, begun="2026-11-24T22:08:00Z", number="1"):
    return {"name": f"{ROOT}.{name}", "type": kind, "phase": phase, "message": message, "startedAt": begun,
            "id": f"photo-x-{number}", "templateName": "retry-system-container-impl"}  # fmt: skip


def workflow(*nodes):
    return {"metadata": {"name": "photo-x"}, "status": {"nodes": {str(n): each for n, each in enumerate(nodes)}}}


def step(*nodes):
    (found,) = read_steps(workflow(*nodes), ["train"], NOW)
    return found


DRIVER = node("train-driver", "Retry", "Succeeded")
INSIDE = node("train(0).executor", "Retry", "Running")


def test_a_step_goes_through_its_states():
    assert step() == Step("train")
    assert step(node("train-driver", "Retry", "Running")).state == "starting"
    running = node("train", "Retry", "Running")
    pending = node("train(0).executor(0)", "Pod", "Pending", "Unschedulable: 0/1 nodes are available", number="7")
    found = step(DRIVER, running, INSIDE, pending)
    assert (found.state, found.pod) == ("pending", "photo-x-retry-system-container-impl-7")
    assert found.message == "Unschedulable: 0/1 nodes are available" and found.seconds == 120
    found = step(DRIVER, running, INSIDE, pending | {"phase": "Running", "message": None})
    assert str(found) == "train running 2 min 0 s"
    done = node("train", "Retry", "Succeeded") | {"finishedAt": "2026-11-24T22:08:30Z"}
    assert str(step(DRIVER, done, INSIDE, pending | {"phase": "Succeeded"})) == "train done 30 s"


def test_a_driver_that_was_ended_is_the_step_that_failed():
    """As when the run's deadline has passed: the step itself is omitted."""
    driver = node("train-driver", "Retry", "Failed", "retry exceeded workflow deadline")
    found = step(driver, node("train", "Skipped", "Omitted"))
    assert (found.state, found.message) == ("failed", "retry exceeded workflow deadline")
    assert step(node("train-driver", "Skipped", "Omitted"), node("train", "Skipped", "Omitted")) == Step("train")


def test_a_step_from_the_cache_has_no_pod():
    skipped = node("train(0).executor", "Skipped", "Skipped", "when 'true != true' evaluated false")
    found = step(DRIVER, node("train", "Retry", "Succeeded"), skipped)
    assert (found.state, found.pod) == ("cached", "")


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("pod deleted", True), ("main: Error (exit code 137)", True), ("wait: Error (exit code 143)", True),
        ("Evicted: the node was low on memory", True), ("main: Error (exit code 1)", False),
        ("main: Error (exit code 75)", False),
    ],
)  # fmt: skip
def test_a_lost_pod_is_told_from_a_failed_program(message, lost):
    first = node("train(0).executor(0)", "Pod", "Failed", "pod deleted", begun="2026-11-24T22:08:00Z", number="1")
    second = node("train(0).executor(1)", "Pod", "Failed", message, begun="2026-11-24T22:09:00Z", number="2")
    found = step(DRIVER, node("train", "Retry", "Failed"), INSIDE, first, second)
    assert (found.state, found.attempts, found.is_lost) == ("failed", 2, lost)
    assert found.pod.endswith("-2")


def test_a_step_after_a_failed_one_only_waits():
    omitted = node("train-driver", "Skipped", "Omitted", "omitted: depends condition not met")
    assert step(omitted, node("train", "Skipped", "Omitted", "omitted: depends condition not met")).state == "waiting"


def test_another_steps_nodes_are_not_taken_for_its_own():
    other = node("pretrain(0).executor(0)", "Pod", "Failed", "pod deleted")
    assert step(other, node("pretrain", "Retry", "Failed")).state == "waiting"


def test_the_last_words_are_the_programs_own():
    log = (
        "I1124 22:03:08.390842      16 client.go:847] Attempting to update DAG state\n"
        "train: train.device: 'cuda', but torch sees no GPU here\n"
        "I1124 22:03:08.390842      16 launcher_v2.go:206] publish success.\n"
        "Error: exit status 1\n"
        'time=2026-11-24T22:03:09.388Z level=INFO msg="sub-process exited" argo=true error=<nil>\n'
    )
    assert last_words(log) == "train: train.device: 'cuda', but torch sees no GPU here"
    assert last_words("") == ""


def test_durations_are_short():
    assert [duration(seconds) for seconds in (4.4, 200, 7500)] == ["4 s", "3 min 20 s", "2 h 5 min"]
