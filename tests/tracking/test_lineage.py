"""The commit in a model's metadata is the code's: what DVC and its user commit after a run does not make it dirty."""

import pytest

from photo2cartoon.tracking import lineage
from tests.conftest import git_and_dvc

FILES = ("src/model.py", "params.yaml", "dvc.lock", "data/photos.dvc")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1")
    git_and_dvc(folder, ["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "1"])
    monkeypatch.setattr(lineage, "__file__", str(folder / "src/model.py"))
    monkeypatch.delenv("P2C_GIT_COMMIT", raising=False)
    return folder


@pytest.mark.parametrize(("name", "dirty"), [(FILES[0], True), *((name, False) for name in FILES[1:])])
def test_only_code_makes_the_commit_dirty(repository, name, dirty):
    clean = lineage.git_commit()
    assert len(clean) == 40
    (repository / name).write_text("2")
    assert lineage.git_commit() == (f"{clean}-dirty" if dirty else clean)


def test_without_git_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(lineage, "__file__", str(tmp_path / "lineage.py"))
    monkeypatch.delenv("P2C_GIT_COMMIT", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert lineage.git_commit() == "unknown"


def test_a_repository_around_the_installation_is_not_the_codes(repository, monkeypatch):
    """As for a package in the `.venv` of a project that is in git."""
    installed = repository / ".venv/lineage.py"
    installed.parent.mkdir()
    installed.touch()
    monkeypatch.setattr(lineage, "__file__", str(installed))
    assert lineage.git_commit() == "unknown"
