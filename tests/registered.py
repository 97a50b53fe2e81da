"""Versions in MLflow's registry, for tests that need some without training them."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon.tracking import registry, runs
from photo2cartoon.tracking.logged_models import Checkpoint, log_checkpoint


def register(model: str, folder: Path | None = None, run: runs.Run | None = None, **tags: str) -> int:
    """Register a folder's files as a version; return its number."""
    run = run or runs.begin("train", None, "a run").whole
    logged = log_checkpoint(run, Checkpoint(f"{model} {tags['generator_sha256'][:8]}", 1, {}, folder))
    return registry.register(model, logged, run, tags, "a test's")
