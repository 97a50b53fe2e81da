"""Every row of the page for photo2cartoon's users has a command whose options and settings exist."""

import re
import shlex

import pytest
import typer.main

from photo2cartoon.cli import app
from photo2cartoon.params import load
from tests.conftest import ROOT

TABLE = ROOT / "docs/photo2cartoon.md"
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
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
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
