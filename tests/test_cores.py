"""Cores are counted as a container may use them: by its affinity and its quota, under both generations of cgroups."""

import os
from pathlib import Path

import pytest

from photo2cartoon import cores
from photo2cartoon.training.distributed import local_size


@pytest.mark.parametrize(
    ("affinity", "files", "expected"),
    [
        (range(8), {}, 8),
        (range(8), {"cpu.max": "max 100000"}, 8),
        (range(8), {"cpu.max": "200000 100000"}, 2),
        (range(8), {"cpu.max": "50000 100000"}, 1),
        (range(8), {"cpu/cpu.cfs_quota_us": "-1"}, 8),
        (range(8), {"cpu/cpu.cfs_quota_us": "300000"}, 3),
        (range(2), {"cpu.max": "400000 100000"}, 2),
    ],
)
def test_affinity_and_quota_limit_the_cores(monkeypatch, affinity, files, expected):
    def read(path: Path) -> str:
        name = str(path).removeprefix("/sys/fs/cgroup/")
        if name not in files:
            raise FileNotFoundError(path)
        return files[name]

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(affinity))
    monkeypatch.setattr(Path, "read_text", read)
    assert cores.usable_cores() == expected


def test_without_affinity_as_on_macos_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert cores.usable_cores() == 1


def test_processes_share_the_cores_of_their_own_machine(monkeypatch):
    """torchrun names the processes of this machine; `launch` starts all of them on one."""
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert local_size() == 1
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert local_size() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert local_size() == 1


def test_the_memory_is_that_of_the_container(monkeypatch):
    own = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for said, expected in (("max", own), ("1000000000", 1_000_000_000), ("9" * 18, own)):
        monkeypatch.setattr(Path, "read_text", lambda _, said=said: said)
        assert cores.usable_memory() == expected
