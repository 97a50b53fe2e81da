"""An address that is none, or a database that is none, is one line, whatever is asked of it."""

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import aliases, registry, runs
from photo2cartoon.tracking.client import open_client
from photo2cartoon.tracking.server import must_answer

ASKED = {
    "client": open_client,
    "begin": lambda: runs.begin("train", None, "a title"),
    "champion": lambda: aliases.champion_version("model"),
    "versions": lambda: registry.list_versions("model"),
    "version": lambda: registry.get_version("model", 1),
    "served": lambda: aliases.mark_served("model", 1, "place"),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("localhost:5000", "'localhost:5000' has no scheme: http://localhost:5000?"),
        ("127.0.0.1:5000/", "'127.0.0.1:5000/' has no scheme"),
        ("htp://127.0.0.1:5000", r"MLflow at htp://127\.0\.0\.1:5000: .*unsupported URI"),
        ("sqlite:///no.db", r"MLflow at sqlite:///no\.db: file is not a database"),
    ],
)
def test_it_is_a_sentence(tmp_path, monkeypatch, uri, reason, asked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no.db").write_text("this is no database, whatever its name says")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    if asked == "client" and uri.startswith("sqlite"):
        return  # it opens the database when it is asked
    with pytest.raises(UserError, match=reason):
        ASKED[asked]()
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("var",)] == ["no.db"]


def test_the_check_before_a_run_refuses_it_as_well():
    with pytest.raises(UserError, match="has no scheme: http://mlflow:5000"):
        must_answer("mlflow:5000")
