"""The house rules that a test can hold: imports run one way, errors are sentences, nothing names a machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src/photo2cartoon"
# Who may not import whom, at any depth.
FORBIDDEN = {
    "portrait": {
        "torch",
        "mlflow",
        "photo2cartoon.networks",
        "photo2cartoon.training",
        "photo2cartoon.dataset",
        "photo2cartoon.importing",
    },
    "networks": {
        "mlflow",
        "photo2cartoon.training",
        "photo2cartoon.dataset",
        "photo2cartoon.tracking",
        "photo2cartoon.importing",
    },
    "training": {
        "photo2cartoon.evaluation",
        "photo2cartoon.export",
        "photo2cartoon.serving",
        "photo2cartoon.importing",
    },
    "scoring": {
        "mlflow",
        "photo2cartoon.training",
        "photo2cartoon.evaluation",
        "photo2cartoon.tracking",
        "photo2cartoon.importing",
    },
    "importing": {"mlflow", "photo2cartoon.dataset", "photo2cartoon.evaluation", "photo2cartoon.serving"},
    "evaluation": {"photo2cartoon.export", "photo2cartoon.serving", "photo2cartoon.importing"},
    "export": {"photo2cartoon.serving", "photo2cartoon.importing"},
}


def tracked(pattern="*"):
    names = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_run_one_way(room):
    for path in (PACKAGE / room).glob("*.py"):
        for name in imports(path):
            wrong = [bad for bad in FORBIDDEN[room] if name == bad or name.startswith(f"{bad}.")]
            assert not wrong, f"{path.name} imports {name}"


def test_files_stay_short():
    assert {path.name: n for path in PACKAGE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 320} == {}


def test_every_public_name_is_described():
    missing = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        nodes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef))]
        for node in nodes:
            name = getattr(node, "name", "module")
            inner = isinstance(node, ast.FunctionDef) and not any(
                node in getattr(parent, "body", []) for parent in [tree]
            )
            if not name.startswith("_") and not inner and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(PACKAGE)}: {name}")
    assert missing == []


def test_no_machine_and_no_registry_is_named():
    pattern = re.compile(
        r"(pypi|npmjs|pythonhosted)\.(org|com)|\b/home/\w|[\"' ]/(opt(?!/tritonserver)|root|work)/", re.IGNORECASE
    )
    for path in tracked():
        if path != Path(__file__) and path.suffix in (".py", ".md", ".yaml", ".txt", ".toml", ".sh", ".pbtxt", ""):
            found = pattern.search(path.read_text(errors="ignore"))
            assert not found, f"{path}: {found.group()}"


def test_the_lock_holds_what_the_project_names():
    def named(path):
        lines = (re.split(r"[=<>\[#; ]", line)[0].strip().lower() for line in path.read_text().splitlines())
        return {name.replace("_", "-") for name in lines if name}

    assert named(ROOT / "requirements.in") <= named(ROOT / "requirements.txt")
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.\-]+(\[\w+\])?==[A-Za-z0-9_.!]+", line), line


def test_every_command_explains_itself(p2c):
    verbs = re.findall(r"^│ (\w+) ", p2c("--help").stdout, re.MULTILINE)
    assert {"preprocess", "train", "export", "promote", "serve", "cartoonize", "demo"} <= set(verbs)
    for verb in verbs:
        text = p2c(verb, "--help").stdout
        assert f"Usage: p2c {verb}" in text or f"{verb} [OPTIONS]" in text
