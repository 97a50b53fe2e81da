"""The latest and the best checkpoints stay; early stopping ends a run, and a resumed run stays ended."""

import json

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.params import Train
from photo2cartoon.training.checkpoint_manager import CheckpointManager
from photo2cartoon.training.loop import train


def fill(folder, params, scores, monkeypatch):
    """Return a manager that has saved checkpoints with these scores; they hold nothing else."""

    def save(folder, _, step, scores):
        path = folder / f"step-{step:06d}"
        path.mkdir(parents=True)
        card = {"format": 1, "step": step, "train": params.model_dump(mode="json"), "networks": [], "scores": scores}
        (path / "checkpoint.json").write_text(json.dumps(card))
        return path

    monkeypatch.setattr("photo2cartoon.training.checkpoint.save", save)
    manager = CheckpointManager(folder, params)
    for number, score in enumerate(scores, 1):
        manager.add(None, number * params.checkpoint_every, {} if score is None else {"kernel_face": score})
    return manager


def names(manager):
    return sorted(int(path.name.removeprefix("step-")) for path in manager.folder.iterdir())


@pytest.mark.parametrize(
    ("scores", "left"),
    [
        ([5, 1, 4, 2, 3, 9, 9], [20, 40, 60, 70]),  # the two best and the two last
        ([1, 2, 3, 4, 5, 6, 7], [10, 20, 60, 70]),
        ([7, 6, 5, 4, 3, 2, 1], [60, 70]),
        ([None, None, None], [20, 30]),
        ([3, 3, 3, 3], [10, 20, 30, 40]),  # the earliest of equal scores
    ],
)
def test_the_last_and_the_best_stay(scores, left, tmp_path, monkeypatch):
    params = Train(keep=2, keep_best=2, checkpoint_every=10, score="kernel_face")
    assert names(fill(tmp_path / "checkpoints", params, scores, monkeypatch)) == left


@pytest.mark.parametrize(
    ("scores", "stops"),
    [([3, 2, 1], False), ([3, 1, 2], False), ([3, 1, 2, 2], True), ([1, 5], False), ([1, 5, 5], True)],
)
def test_patience_counts_checkpoints_since_the_best(scores, stops, tmp_path, monkeypatch):
    params = Train(keep=1, keep_best=1, checkpoint_every=10, score="kernel_face", patience=2)
    assert fill(tmp_path / "checkpoints", params, scores, monkeypatch).should_stop() is stops


def test_a_run_is_scored_as_it_goes_and_ends_when_it_stands_still(drawn_faces, weights, tmp_path, tiny):
    # With a learning rate this small, every checkpoint makes the same pictures, whatever the score says.
    section = tiny.model_copy(
        update={"steps": 50, "lr": 1e-12, "checkpoint_every": 1, "score": "identity_dlib", "patience": 2, "keep": 1}
    )
    last = train(section, drawn_faces, weights, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()]
    scores = {row["step"]: row["score/identity_dlib"] for row in rows if "score/identity_dlib" in row}
    step = int(last.name.removeprefix("step-"))
    assert sorted(scores) == list(range(1, step + 1)) and 3 <= step < 50
    best = min(scores, key=lambda at: (-scores[at], at))
    assert step - best == 2 and (tmp_path / f"run/checkpoints/step-{best:06d}").exists()
    assert train(section, drawn_faces, weights, tmp_path / "run", resume=True) == last


def test_a_score_that_cannot_be_had_is_refused_before_anything_is_done(drawn_faces, weights, tmp_path, tiny):
    with pytest.raises(UserError, match=r"train\.score: fid needs Inception's weights"):
        train(tiny.model_copy(update={"score": "fid"}), drawn_faces, weights, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="patience needs a score"):
        Train(patience=3)
