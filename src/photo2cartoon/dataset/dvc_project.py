"""DVC around the stages: its settings for this machine, and `dvc repro` with a check of the cache and the line that
commits the result.

The settings are in `.dvc/config.local`, which git does not track:

- Without a git repository (a downloaded archive), DVC has to be told so, or it refuses to work.
- The page of `dvc plots` loads Vega from the internet. The one set here has it inside.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from photo2cartoon.atomic import atomic_write
from photo2cartoon.errors import UserError

FOLDER = Path(".dvc")
TEMPLATE = FOLDER / "plots/page.html"
PAGE = FOLDER / "tmp/plots.html"
VEGA_LITE = "v5.20"  # of the schema that DVC's templates name


def configure() -> list[str]:
    """Configure DVC for the project in the working directory; running it again changes nothing.

    Returns:
        Lines that tell the user what DVC cannot do here.

    Raises:
        UserError: the folder is not a DVC project, or cannot be written.
    """
    if not FOLDER.is_dir():
        raise UserError("dvc-setup: run it in the project's folder, beside dvc.yaml")
    if not PAGE.exists() or PAGE.stat().st_mtime < TEMPLATE.stat().st_mtime:
        _write_page()
    _set("plots.html_template", PAGE.relative_to(FOLDER).as_posix())
    if in_git():
        if "core.no_scm" in run_dvc("config", "--local", "--list"):
            run_dvc("config", "--local", "--unset", "core.no_scm")
        return []
    _set("core.no_scm", "true")
    return [
        "No git repository here: everything works but comparing versions (dvc diff, dvc exp). After `git init`, run"
        " `p2c dvc-setup`"
    ]


def repro(arguments: Iterable[str] = ()) -> None:
    """Run `dvc repro`, and check that DVC's cache holds the results.

    Args:
        arguments: of `dvc repro`.

    Raises:
        UserError: a stage failed, or the cache misses files, as on a full disk, which DVC reports but does not fail for.
    """
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    code = subprocess.run(command).returncode
    if code:
        raise UserError("dvc repro failed; what it printed above says why", code)
    missing = [
        path
        for changes in json.loads(run_dvc("status", "--json")).values()
        for change in changes
        if isinstance(change, dict)
        for path, what in change.get("changed outs", {}).items()
        if what == "not in cache"
    ]
    if missing:
        raise UserError(
            f"DVC's cache lacks files of {', '.join(missing)}, mostly because its disk is full. The folders themselves are"
            f" whole: free some space and run `dvc commit {' '.join(missing)}` before you commit dvc.lock"
        )


def commit_line() -> str:
    """Return the command that commits what `dvc repro` did; empty without git, or if it changed nothing."""
    if not in_git():
        return ""
    files = [name for name in ("dvc.lock", "params.yaml") if Path(name).exists()]
    changed = subprocess.run(["git", "status", "--porcelain", *files], capture_output=True, text=True).stdout
    return f'git add {" ".join(files)} && git commit -m "…"' if changed else ""


def in_git() -> bool:
    """Return whether the working directory is in a git repository."""
    here = Path.cwd()
    return any((folder / ".git").exists() for folder in (here, *here.parents))


def run_dvc(*arguments: str) -> str:
    """Run a dvc command; return what it printed.

    Raises:
        UserError: it failed; the message is the last line of its errors.
    """
    return run([sys.executable, "-m", "dvc", *arguments], f"dvc {' '.join(arguments)}")


def run(command: list[str], what: str) -> str:
    """Run a program; return what it printed.

    Raises:
        UserError: it failed; the message is `what` and the last line of its errors.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()
        raise UserError(f"{what}: {lines[-1]}")
    return done.stdout


def _write_page() -> None:
    import vl_convert

    bundle = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]  # `snippet` is optional
    vega = bundle.replace("</script", "<\\/script")
    with atomic_write(PAGE) as partial:
        partial.write_text(TEMPLATE.read_text(encoding="utf-8").replace("{vega}", vega), encoding="utf-8")


def _set(name: str, value: str) -> None:
    run_dvc("config", "--local", name, value)
