"""The documentation is true: commands, options, settings, links and messages exist, and generated pages are current."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
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
PAGES = [
    *(ROOT / name for name in ("README.md", "README.ru.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
    path, others = licences.packages(), licences.other_packages()
    assert "GPL" not in "".join(licence for _, _, licence in path)
    locked = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    assert len(path) + len(others) == len(locked)
    assert not {licence for _, _, licence in path + others} & {"see its own files", "UNKNOWN", ""}


def code_blocks(page):
    return re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL)


def commands_of(text):
    """Yield the commands in fenced blocks and in code spans: words before a comment, joined lines apart."""
    fenced = [line for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    spans = re.findall(r"`((?:p2c|make) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in (*fenced, *spans):
        for command in re.split(r" && | \| |; ", line.split("  #")[0]):
            words = command.strip().removeprefix(".venv/bin/").split()
            if (
                words
                and words[0] in ("p2c", "make")
                and len(words) > 1
                and re.fullmatch(r"[a-z0-9][a-z0-9-]*", words[1])
            ):
                yield words


def known(words):
    """Return whether a command and its options exist."""
    if words[0] == "make":
        return words[1] in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = VERBS.get(words[1])
    if hasattr(command, "commands"):
        command = command.commands.get(words[2])
    if command is None:
        return False
    options = {option for item in command.params for option in (*item.opts, *item.secondary_opts)} | {"--help", "-h"}
    given = {word.split("=")[0].strip("[]") for word in words if word.strip("[").startswith("--")}
    return given <= options or command.context_settings.get("ignore_unknown_options", False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_pages_exists(page):
    stale = [" ".join(words) for words in commands_of(page.read_text()) if not known(words)]
    assert stale == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_has_at_most_120_columns(page):
    """Code, tables, pictures and single links aside; generated pages too."""
    if page.name in ("commands.md", "params.md", "licences.md"):
        return
    prose = re.sub(r"^```.*?^```", "", page.read_text().replace("   ```", "```"), flags=re.MULTILINE | re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > 120 and not re.match(r"\s*(\||!\[|<)", line)]
    assert [line for line in long if " " in line.strip(" -")] == []


def test_both_readmes_have_the_same_commands_and_links():
    english, russian = (ROOT / name for name in ("README.md", "README.ru.md"))
    first = [re.sub(r"#.*", "", block) for block in code_blocks(english)[:1]]
    assert first == [re.sub(r"#.*", "", block) for block in code_blocks(russian)[:1]]
    for pattern in (r"\]\(((?:docs|CONTRIBUTING)[^)]*)\)", r"`((?:p2c|make|dvc) [^`]*)`"):
        one, other = (sorted(re.findall(pattern, page.read_text())) for page in (english, russian))
        assert one == other


def test_the_first_command_of_the_readme_draws(tmp_path, astronaut):
    (line,) = [line for line in code_blocks(ROOT / "README.md")[0].splitlines() if "cartoonize" in line]
    make, install, draw = line.split("#")[0].split(" && ")
    # test_wheel installs what that installs; here, the packages of this environment stand for it, without torch.
    assert (make, install) == ("python3 -m venv .draw", ".draw/bin/pip install .")
    (tmp_path / "photo.jpg").write_bytes(astronaut.read_bytes())
    code = "import sys; sys.modules['torch'] = None; from photo2cartoon.cli import main; main()"
    words = [sys.executable, "-c", code, *draw.split()[1:]]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "photo-cartoon.png: drawn by full, which comes with the project"
    assert cv2.imread(str(tmp_path / "photo-cartoon.png")).shape == (256, 256, 3)
    assert {path.name for path in tmp_path.iterdir()} <= {"photo.jpg", "photo-cartoon.png", "cache", "home"}


def test_the_references_are_current(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import reference

    for page, text in (("params.md", reference.params()), ("commands.md", reference.commands())):
        assert (ROOT / "docs/reference" / page).read_text() == text, "run `make generated`"


def messages():
    """Return every text in the sources, with … for what is filled in."""
    texts = [(ROOT / "src/environment.sh").read_text()]
    for path in (ROOT / "src/photo2cartoon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_troubleshooting_has_the_messages_as_they_are():
    page, texts = (ROOT / "docs/how-to/troubleshooting.md").read_text(), messages()
    cells = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    others = (
        "No space left on device",
        "p2c: command not found",
        "'train.lr': Input should be …",
        "Triton at …: failed to connect …",
    )  # not ours
    for message in (text for cell in cells for text in re.findall(r"`([^`]+)`", cell)):
        parts = [part.strip() for part in re.split(r"…", message.removeprefix("make env: ")) if len(part.strip()) > 5]
        if not message.startswith(others):
            assert all(part in texts for part in parts), message


def test_the_site_can_be_built_and_takes_seconds():
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Troubleshooting" in (ROOT / "site/index.html").read_text().title()


@pytest.mark.long
def test_the_second_command_of_the_readme_ends_with_a_served_cartoon(tmp_path):
    assert "make demo" in code_blocks(ROOT / "README.md")[0]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(clone / "src")}
    # -o: else it would install the clone, which is deleted afterwards, into the environment that runs the tests.
    command = ["make", "-o", ".venv/.installed", "demo"]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "One call took:" in done.stdout and "Nothing is left running." in done.stdout
    assert cv2.imread(str(clone / "cartoon.png")).shape == (256, 256, 3)
