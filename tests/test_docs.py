"""Every row of the page for photo2cartoon's users has a command whose options and settings exist."""

import re
import shlex

import pytest
import typer.main

from photo2cartoon.assets.catalogue import read_catalogue
from photo2cartoon.cli import app
from photo2cartoon.params import PortraitParams, load
from photo2cartoon.portrait.maker import required_assets
from tests.conftest import ROOT

MEDIAPIPE = ("face_detection_full_range_sparse.tflite", "face_landmark.tflite", "selfie_segmentation.tflite")
TABLE = ROOT / "docs/how-to/photo2cartoon.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TABLE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| there ")
]
VERBS = typer.main.get_command(app).commands


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_has_a_command_that_can_be_typed(row, tmp_path):
    there, here, test = row
    commands = [text for text in quoted(here) if re.match(r"(p2c|make|docker) \w", text)]
    assert commands, there
    for command in (shlex.split(text) for text in commands):
        if command[0] == "p2c":
            known = {option for item in VERBS[command[1]].params for option in item.opts}
            assert {word for word in command if word.startswith("--")} <= known
        elif command[0] == "make":
            assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    settings = [text for text in quoted(here) if re.match(r"\w+: {", text)]
    assert bool(settings) == any("--params" in command for command in commands)
    for setting in settings:
        (tmp_path / "P.yaml").write_text(setting)
        load(tmp_path / "P.yaml")
    for name in quoted(test):
        if name.endswith(".py") and "test_" in name:
            assert (ROOT / "tests" / name).is_file()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_to_a_file_and_a_heading(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings], link


def test_the_page_of_licences_is_current_and_the_default_path_is_free_for_commercial_use(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import licences

    page = (ROOT / "docs/reference/licences.md").read_text()
    assert page == licences.page(), "run `python docs/licences.py`"
    default = page.split("## Other networks")[0]
    assert "forbidden" not in default and all(f"`{name}`" in default for name in MEDIAPIPE)
    assert all(read_catalogue()[name].commercial for name in required_assets(PortraitParams()))
    assert "GPL" not in "".join(licence for _, _, licence in licences.packages())
