"""A folder in object storage is the one that was uploaded last, or none."""

import json

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.urls import LISTED, download_folder, file_system, is_downloaded, upload_folder


def folder(path, **files):
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def contents(path):
    return {file.name: file.read_text() for file in path.iterdir() if file.name != LISTED}


def test_a_second_upload_to_the_same_place_does_not_mix_with_the_first(storage, tmp_path):
    url = f"s3://{storage.bucket}/mixed"
    upload_folder(folder(tmp_path / "first", a="one", b="two"), url)
    upload_folder(folder(tmp_path / "second", b="TWO", c="three"), url)  # `b` has another text of the same length
    download_folder(url, tmp_path / "out")
    assert contents(tmp_path / "out") == {"b": "TWO", "c": "three"}


def test_a_folder_that_was_downloaded_is_known_until_another_one_is_uploaded(storage, tmp_path):
    url, out = f"s3://{storage.bucket}/known", tmp_path / "out"
    upload_folder(folder(tmp_path / "first", a="one"), url)
    assert not is_downloaded(url, out)
    download_folder(url, out)
    assert is_downloaded(url, out)
    upload_folder(folder(tmp_path / "second", a="two"), url)
    assert not is_downloaded(url, out)
    download_folder(url, out)
    assert contents(out) == {"a": "two"}


def test_a_folder_that_is_half_uploaded_is_not_taken(storage, tmp_path):
    url = f"s3://{storage.bucket}/half"
    upload_folder(folder(tmp_path / "first", a="one", b="two"), url)
    storage.client.put_object(Bucket=storage.bucket, Key="half/a", Body=b"of another upload")
    with pytest.raises(UserError, match=f"{url}/a: is not the file that was uploaded"):
        download_folder(url, tmp_path / "out")
    storage.client.delete_object(Bucket=storage.bucket, Key=f"half/{LISTED}")
    with pytest.raises(UserError, match=f"{url}: holds no complete folder"):
        download_folder(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path):
    """Whoever may write to a bucket could otherwise write anywhere on the machine that reads it."""
    url = f"memory://{tmp_path.name}/out"
    upload_folder(folder(tmp_path / "first", a="one"), url)
    system, root = file_system(url)
    listed = json.loads(system.cat_file(f"{root}/{LISTED}"))
    system.pipe_file(f"{root}/{LISTED}", json.dumps({"../stolen": listed["a"]}).encode())
    system.pipe_file(f"{root.rsplit('/', 1)[0]}/stolen", b"one")
    with pytest.raises(UserError, match=r"\.\./stolen: this object's name leads out of its folder"):
        download_folder(url, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first"]
