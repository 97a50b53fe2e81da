"""Where a model comes from: the commit of the code, noted in MLflow and inside the exported graph."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from photo2cartoon import __version__

KUBEFLOW_RUN = "KFP_RUN_ID"  # what the pipeline's steps find in their environment


def git_commit() -> str:
    """The commit that the code is at, with `-dirty` behind it when files differ; P2C_GIT_COMMIT where there is no git."""
    given = os.environ.get("P2C_GIT_COMMIT")
    if given:
        return given
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def kubeflow_run() -> dict[str, str]:
    """The run of Kubeflow Pipelines that this is a step of, as a tag; empty elsewhere."""
    run = os.environ.get(KUBEFLOW_RUN)
    return {"kubeflow_run": run} if run else {}


def lineage() -> dict[str, str]:
    """Code version and commit, and the run of Kubeflow Pipelines where there is one, as tags."""
    return {"git_commit": git_commit(), "photo2cartoon": __version__, **kubeflow_run()}
