"""A dataset is named by DVC's hash where there is one, and a lock of any other form is none."""

import pytest

from photo2cartoon.tracking.datasets import dvc_hash


@pytest.mark.parametrize(
    ("lock", "found"),
    [
        ("stages: {preprocess: {outs: [{path: data/faces, md5: 1234.dir}]}}", "1234.dir"),
        ("stages: {preprocess: {outs: [{path: data/raw, md5: 1234.dir}]}}", None),
        ("schema: '2.0'", None),
        ("datasets: []", None),
        ("stages: {preprocess: {outs: [{hash: md5}]}}", None),
        ("", None),
        ("{", None),
    ],
)
def test_the_lock_names_the_dataset(tmp_path, monkeypatch, lock, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/faces").mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(lock)
    assert dvc_hash(tmp_path / "data/faces") == found
