"""Every benchmark can be started: one that imports a name that is gone would be found only by who needs it."""

import importlib
from pathlib import Path

import pytest

import benchmarks

FOLDER = Path(next(iter(benchmarks.__path__)))


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_can_be_imported_and_says_what_it_does(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__
    if hasattr(module, "main"):
        assert f"python -m benchmarks.{name}" in module.__doc__
