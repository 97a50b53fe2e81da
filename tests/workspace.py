"""A git repository with the project's pipeline, in which the real `dvc` runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT

SECRET = "not-to-be-written-anywhere"
SECRETS = dict.fromkeys(("MLFLOW_TRACKING_PASSWORD", "P2C_TRITON_KEY"), SECRET)
ASKED = ["sources"]  # what runs when nothing has changed
FILES = ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots")


class Workspace:
    """A copy of the project's pipeline in a git repository, or a clone of one, with MLflow's database in its `var/`.

    Args:
        folder: exists and is empty.
        origin: workspace to clone.
        git: whether the folder is a git repository.
    """

    def __init__(self, folder, origin=None, git=True):
        self.folder = folder
        if origin is not None:
            self.git("clone", "-q", str(origin.folder), ".")
            self._sign()
            return
        (folder / ".dvc").mkdir()
        for name in FILES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        if git:
            self.git("init", "-q", "-b", "main")
            self._sign()
            self.git("add", "-A")
            self.git("commit", "-qm", "project")

    def _sign(self):
        self.git("config", "user.name", "somebody")
        self.git("config", "user.email", "somebody@example.org")

    def params(self, values):
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values))

    @property
    def environment(self):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(self.folder.parent / "dvc-site")}
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        return {**kept, **own, **SECRETS, "HOME": str(self.folder.parent), "GIT_CONFIG_GLOBAL": os.devnull}

    def run(self, *command, code=0):
        """Run a command; give the finished process, whose exit status is checked unless `code` is None."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert code is None or done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def git(self, *arguments):
        """Run git; give what it printed."""
        return self.run("git", *arguments).stdout

    def dvc(self, *arguments, code=0):
        """Run dvc; give the finished process."""
        return self.run(sys.executable, "-m", "dvc", *arguments, code=code)

    def p2c(self, *arguments, code=0):
        """Run the command line with this workspace's code; give the finished process."""
        return self.run("env", "PYTHONPATH=src", sys.executable, "-m", "photo2cartoon", *arguments, code=code)

    def repro(self, *arguments, code=0):
        """Run `dvc repro`; give the stages that ran, those that were restored, and what was printed."""
        done = self.dvc("repro", *arguments, code=code)
        lines = done.stdout.splitlines()
        ran = [line.split("'")[1] for line in lines if line.startswith("Running stage")]
        restored = [line.split("'")[1] for line in lines if "is cached - skipping run" in line]
        return ran, restored, done.stdout + done.stderr

    def changed(self):
        """Give the stages that `dvc status` would run again for a dependency of their own."""
        found = json.loads(self.dvc("status", "--json").stdout)
        return {name for name, changes in found.items() if any("changed deps" in change for change in changes)}

    def commit(self, tag):
        """Commit what `dvc repro` did, as its user would, and tag it."""
        self.git("add", "dvc.lock", "params.yaml")
        self.git("commit", "-qm", tag)
        self.git("tag", tag)


def outputs(space):
    """Give the paths that each stage of a workspace writes."""
    return {
        stage: [out if isinstance(out, str) else next(iter(out)) for out in entry["outs"] + entry.get("metrics", [])]
        for stage, entry in yaml.safe_load((space.folder / "dvc.yaml").read_text())["stages"].items()
    }
