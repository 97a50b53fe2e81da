"""House rules: imports run in one direction, public names have docstrings, no machine or registry is named."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src/photo2cartoon"
# Rooms from top to bottom: a room imports only from rooms below it. docs/explanation/architecture.md shows the same list.
ROOMS = (
    "__main__", "cli", "demo", "doctor", "style", "cartoonize", "evaluation", "importing", "training", "export", "scoring",
    "rollout", "serving", "dataset", "checkpoint", "networks", "portrait", "provenance", "pretrained", "assets", "tracking",
)  # fmt: skip
LEAVES = (
    "params",
    "pictures",
    "progress",
    "urls",
    "cores",
    "files",
    "tables",
    "atomic",
    "ports",
    "processes",
    "layout",
    "errors",
    "__init__",
)
# Names that a room never imports, directly or indirectly: our own by module, others by package.
NEVER = {
    "portrait": {"torch", "mlflow"},
    "networks": {"mlflow"},
    "checkpoint": {"mlflow"},
    "scoring": {"mlflow"},
    "importing": {"mlflow", "photo2cartoon.training"},
    "export": {"photo2cartoon.training"},
    "evaluation": {"photo2cartoon.training"},
    "cartoonize": {"photo2cartoon.training"},
    "serving": {"photo2cartoon.training", "torch"},
    "tracking": {"torch"},
}


def tracked(pattern="*"):
    names = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def imports(path):
    """Yield what a module imports, at any depth of its code; our own modules by their full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in (f"{node.module}.{name.name}" for name in node.names):
                module = name if name in MODULES else node.module
                yield module
                room = ".".join(module.split(".")[:2])  # its __init__ runs first
                if room in MODULES and PACKAGE / path.relative_to(PACKAGE).parts[0] != MODULES[room].parent:
                    yield room


def module_name(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}
IMPORTS = {name: set(imports(path)) for name, path in MODULES.items()}


def room_of(module):
    return module.split(".")[1] if "." in module else "__init__"


def reached(modules):
    """Return everything that these modules import, directly or indirectly, with the chain of imports."""
    ways = {name: (name,) for name in modules}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        for name in IMPORTS.get(module, ()):
            if name not in ways:
                ways[name] = (*ways[module], name)
                waiting.append(name)
    return ways


def test_every_module_has_its_place():
    assert {room_of(name) for name in MODULES} == {*ROOMS, *LEAVES}


def test_imports_run_one_way():
    places = {room: place for place, room in enumerate((*ROOMS, *LEAVES))}
    upward = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in names & MODULES.keys()
        if places[room_of(name)] < places[room_of(module)]
    ]
    assert upward == []


def test_no_module_imports_itself_through_others():
    circles = [name for name in MODULES if name in reached(IMPORTS[name] & MODULES.keys())]
    assert circles == []


@pytest.mark.parametrize("room", NEVER)
def test_some_rooms_never_meet(room):
    ways = reached([name for name in MODULES if room_of(name) == room])
    met = [
        " imports ".join(way)
        for name, way in ways.items()
        for never in NEVER[room]
        if name == never or name.startswith(f"{never}.")
    ]
    assert met == []


def test_names_that_stages_share_stand_in_layout_alone():
    shared = {
        node.value
        for node in ast.walk(ast.parse((PACKAGE / "layout.py").read_text()))
        if isinstance(node, ast.Constant) and re.fullmatch(r"[\w-]*\.\w+", str(node.value))
    }
    assert {"scores.json", "generator.onnx", "pictures.csv"} <= shared
    folders = [PACKAGE, ROOT / "components", ROOT / "pipelines"]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        # Triton copies the backend to a place where our package cannot be imported.
        if path.name not in ("layout.py", "onnxruntime_backend.py", "openvino_backend.py"):
            literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not literals & shared, path


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
        r"(pypi|npmjs|pythonhosted)\.(org|com)|(?<!\w)/home/\w|[\"' ]/(opt(?!/tritonserver)|root|work)/", re.IGNORECASE
    )
    kinds = {*["py", "md", "yaml", "yml", "txt", "in", "toml", "sh", "pbtxt", "js", "html", "css", "json"], ""}
    for path in tracked():
        if path != Path(__file__) and path.suffix.removeprefix(".") in kinds:
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
    verbs = re.findall(r"^│ ([a-z][\w-]+) ", p2c("--help").stdout, re.MULTILINE)
    assert {"preprocess", "train", "export", "promote", "serve", "cartoonize", "demo", "import-weights"} <= set(verbs)
    for verb in verbs:
        text = p2c(verb, "--help").stdout
        assert f"Usage: p2c {verb}" in text or f"{verb} [OPTIONS]" in text


def test_the_version_is_printed(p2c):
    assert re.fullmatch(r"photo2cartoon \d+\.\d+\.\d+, commit \S+\n", p2c("--version").stdout)
