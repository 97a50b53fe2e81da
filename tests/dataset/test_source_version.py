"""The data version changes exactly when the pictures change."""

import pytest

from photo2cartoon.dataset.source_version import at_revision, data_version
from photo2cartoon.errors import UserError
from photo2cartoon.params import Ingest
from tests.conftest import git_and_dvc


def kept(repository, revision):
    return Ingest(photos="url", photos_at=f"dvc+{repository}#photos@{revision}")


def test_of_a_dvc_repository_it_is_the_hash_that_dvc_wrote(dvc_repository):
    written = (dvc_repository / "photos.dvc").read_text()
    told = data_version(kept(dvc_repository, "v1"))
    assert told.split()[0].removeprefix("photos=") in written and ".dir" in told
    # A commit that leaves the pictures unchanged keeps the version; one that removes a picture changes it.
    (dvc_repository / "README").write_text("words")
    git_and_dvc(dvc_repository, ["git", "add", "-A"], ["git", "commit", "-qm", "words"], ["git", "tag", "v2"])
    next((dvc_repository / "photos").iterdir()).unlink()
    git_and_dvc(dvc_repository, ["dvc", "add", "-q", "photos"], ["git", "add", "-A"], ["git", "commit", "-qm", "less"])
    assert data_version(at_revision(kept(dvc_repository, "v1"), "v2")) == told
    assert data_version(at_revision(kept(dvc_repository, "v1"), "HEAD")) != told


def test_of_other_sources(dvc_repository):
    folder = dvc_repository / "photos"
    places = Ingest(photos="folder", photos_at=str(folder)), Ingest(photos="url", photos_at=f"file://{folder}")
    before = [data_version(place) for place in places]
    assert before == [data_version(place) for place in places]
    (folder / "another.png").write_bytes(b"one more")
    assert all(a != b for a, b in zip(before, [data_version(place) for place in places], strict=True))
    sample = data_version(Ingest())
    assert data_version(Ingest(sample_cartoons=9)).split()[0] == sample.split()[0]
    assert data_version(Ingest(sample_cartoons=9)) != sample != data_version(Ingest(photos="worldwide"))


def test_an_unknown_revision_or_path_is_named(dvc_repository):
    with pytest.raises(UserError, match=r"#photos@v9: cannot be read: RevError: unknown Git revision 'v9'"):
        data_version(kept(dvc_repository, "v9"))
    with pytest.raises(UserError, match=r"#pictures: cannot be read: .*No such file"):
        data_version(Ingest(photos="url", photos_at=f"dvc+{dvc_repository}#pictures"))
    with pytest.raises(UserError, match="revision v1: no source of pictures is a DVC repository"):
        at_revision(Ingest(), "v1")
