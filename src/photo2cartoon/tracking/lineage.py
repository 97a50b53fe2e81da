"""Lineage of a model: the code's commit, recorded in MLflow and inside the exported graph."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from photo2cartoon import __version__

_NOT_CODE = (":(top,exclude)params.yaml", ":(top,exclude)dvc.lock", ":(top,exclude,glob)**/*.dvc")
KUBEFLOW_RUN = "KFP_RUN_ID"  # set in the environment of the pipeline's steps


def git_commit() -> str:
    """Return the code's commit, with `-dirty` appended when tracked files differ; P2C_GIT_COMMIT, if set, replaces it.

    Parameters and what DVC tracks (dvc.lock, *.dvc) do not count: they are recorded by themselves, and are committed
    after the run.
    """
    given = os.environ.get("P2C_GIT_COMMIT")
    if given:
        return given
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # it may be installed inside another repository
        commit = _git("rev-parse", "HEAD")
        differs = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *_NOT_CODE)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit}-dirty" if differs else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def kubeflow_run() -> dict[str, str]:
    """Return a tag with the Kubeflow Pipelines run that this step belongs to; empty outside Kubeflow."""
    run = os.environ.get(KUBEFLOW_RUN)
    return {"kubeflow_run": run} if run else {}


def lineage() -> dict[str, str]:
    """Return tags with the code's version and commit, and the Kubeflow Pipelines run if there is one."""
    return {"git_commit": git_commit(), "photo2cartoon": __version__, **kubeflow_run()}
