"""The lock has no version that a known advisory rules out, whoever caps it."""

import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT


def lines(name):
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


LOCK = {canonicalize_name(one.split("==")[0]): Version(one.split("==")[1]) for one in lines("requirements.txt")}


def test_the_lock_keeps_to_the_overrides_and_each_has_its_reason():
    for line in lines("requirements-overrides.txt"):
        wish, _, reason = line.partition("#")
        requirement = Requirement(wish)
        assert len(reason) > 20, line
        if requirement.marker and not requirement.marker.evaluate():
            assert canonicalize_name(requirement.name) not in LOCK, line
            continue
        assert LOCK[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_the_lock_has_what_the_project_asks_for():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for line in [*lines("requirements.in"), *wanted]:
        requirement = Requirement(line.partition("#")[0])
        assert LOCK[canonicalize_name(requirement.name)] in requirement.specifier, line
