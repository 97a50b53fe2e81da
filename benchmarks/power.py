"""Ends every stage and every command that changes a model at random moments, runs it again, and compares the results.

    python -m benchmarks.power --write                       (an hour on 2 cores; --moments 3 for a look)
    python -m benchmarks.power --how term --write

A project is cloned and made once, undisturbed, with a small network. Then each command is started and, at seeded moments
spread over the time that it takes, all its processes are killed (SIGKILL), or it is asked to end (SIGTERM). It is run again to
its end. Counted are: results that are not what the undisturbed run made; second runs that failed; partial files and folders
that are still there; MLflow runs that are still RUNNING; processes that are left. `dvc repro` is treated the same way,
as a whole.

`--how twice` starts each command twice at once instead: the second one has to end well, or to say who is at work. `--how full`
leaves a part of the space that the result needs, from nothing to nearly all; `--how readonly` takes the right to write where it
goes. Both need `unshare`. `--how clock` runs a command again after the clock has jumped (Debian's libfaketime).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.page import write_rows
from benchmarks.project import Case, Project, cases
from photo2cartoon.assets.collect import collect
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.progress import bar, note

PAGE = Path("docs/explanation/reliability.md")
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
CLOCKS = ("-400d", "-1h", "+1h", "+400d")
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def main() -> None:
    """Make the project, end everything, print each row of the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="folder of weights; what is missing is fetched"
    )
    parser.add_argument("--how", choices=WAYS, default="kill")
    parser.add_argument("--moments", type=int, default=20, help="moments for each command")
    parser.add_argument("--only", nargs="+", help="names of the table, such as train or 'dvc repro'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write", action="store_true", help=f"write each result into {PAGE}; other rows of the table stay"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.weights.mkdir(exist_ok=True)
        collect(options.weights)
        project = Project(Path(temporary) / "project", options.weights.resolve())
        note("two versions, undisturbed: three minutes")
        for seed in (1, 0):
            project.params({"seed": seed})
            project.must("dvc", "repro", "-q")
        known = {case.name.replace("`", ""): case for case in cases(project)}
        if unknown := set(options.only or ()) - set(known):
            raise UserError(
                f"--only {' '.join(sorted(unknown))}: not a command of the table; they are {', '.join(known)}"
            )
        chosen = [known[name] for name in options.only or known]
        for case in bar(chosen, desc="undisturbed", unit="command"):
            undisturbed(project, case)
        moments = random.Random(options.seed)
        for case in chosen:
            for _ in bar(range(options.moments), desc=case.name, unit="moment"):
                if options.how in SIGNALS:
                    ended(project, case, moments.random() * case.seconds, SIGNALS[options.how])
                else:
                    WAYS[options.how](project, case, moments)
            print(row(case, options.moments, options.how), flush=True)
            if options.write:
                columns = ["", "takes", "times", *(COLUMNS[options.how] | CHECKED).values()]
                head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
                write_rows(PAGE, f"benchmarks.power {options.how}", head, [row(case, options.moments, options.how)])


CHECKED = {"other": "other result", "debris": "partial files", "running": "runs RUNNING", "processes": "processes left"}
COLUMNS = {
    "kill": {"before": "had ended before", "failed": "second run failed"},
    "term": {"before": "had ended before", "failed": "second run failed"},
    "twice": {"both": "both ended well", "said": "the second one said who is at work", "failed": "failed otherwise"},
    "full": {"said": "said so in a line", "fitted": "ended well", "failed": "failed otherwise"},
    "readonly": {"said": "said so in a line", "fitted": "ended well", "failed": "failed otherwise"},
    "clock": {"failed": "failed"},
}


def row(case: Case, moments: int, how: str) -> str:
    """Return a row of the table."""
    numbers = " | ".join(str(case.found[name]) for name in COLUMNS[how] | CHECKED)
    return f"| {case.name} | {case.seconds:.1f} s | {moments} | {numbers} |"


def undisturbed(project: Project, case: Case) -> None:
    """Run a case to its end, and note its time and its result."""
    case.prepare()
    began = time.monotonic()
    project.must(*case.command)
    case.seconds, case.expected = time.monotonic() - began, case.result()


def ended(project: Project, case: Case, seconds: float, how: signal.Signals) -> None:
    """Run a case, end it after some seconds, run it again, and count what is wrong then."""
    case.prepare()
    process = project.start(case.command)
    try:
        process.communicate(timeout=seconds)
        case.found["before"] += 1
        return
    except subprocess.TimeoutExpired:
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
    printed, _ = process.communicate(timeout=120)
    if how == signal.SIGTERM and "Traceback" in printed:
        _complain(case, "failed", f"told to end after {seconds:.2f} s: {printed[-600:]}")
    if case.once and case.result() == case.expected:
        case.found["before"] += 1  # it was about to exit
        return
    code, printed = project.run(case.command)
    if code or "Traceback" in printed:
        _complain(case, "failed", f"run again after {seconds:.2f} s: {printed[-600:]}")
    _inspect(project, case, f"ended after {seconds:.2f} s")


def twice(project: Project, case: Case, _: random.Random) -> None:
    """Start a case twice at once, and count what came of it."""
    case.prepare()
    both = [project.start(case.command) for _ in range(2)]
    printed = [process.communicate(timeout=900)[0] for process in both]
    failed = [text for process, text in zip(both, printed, strict=True) if process.returncode]
    said = [
        text
        for text in failed
        if "Traceback" not in text and re.search(r"is writing it|is at work|lock|already exists", text)
    ]
    if not failed:
        case.found["both"] += 1
    elif len(failed) == len(said) == 1:
        case.found["said"] += 1
    else:
        _complain(case, "failed", "\n".join(failed)[-900:])
    _inspect(project, case, "two at once")


FULL = """
mkdir -p "$2" && T=$(mktemp -d) && mount -t tmpfs -o size="$1"k none "$T" || exit 99
cp -a "$2"/. "$T" && mount --bind "$T" "$2" || exit 99
place="$2"; shift 2; cd "$PWD"; "$@"; code=$?; find "$T" -name '.*.partial*'
cd /; umount "$place"; cp -a "$T"/. "$place"; exit $code
"""
READONLY = """
mkdir -p "$2" && mount --bind "$2" "$2" && mount -o remount,bind,ro "$2" || exit 99
shift 2; cd "$PWD"; exec "$@"
"""


def full(project: Project, case: Case, moments: random.Random) -> None:
    """Run a case where a part of what it needs is left, then run it again with all of it."""
    place, result = (project.folder / case.out).parent, project.folder / case.out
    needed = _kilobytes(result) or _kilobytes(place)
    case.prepare()
    size = _kilobytes(place) + max(4, int(needed * moments.random()))
    _limited(project, case, FULL, size, r"No space left|disk is full")


def readonly(project: Project, case: Case, _: random.Random) -> None:
    """Run a case where nothing can be written, then run it again where it can."""
    case.prepare()
    _limited(project, case, READONLY, 0, "Read-only file system|not writable|cannot be written")


def _limited(project: Project, case: Case, script: str, size: int, words: str) -> None:
    place = str((project.folder / case.out).parent)
    code, printed = project.run(["unshare", "-rm", "sh", "-c", script, "sh", str(size), place, *case.command])
    lines = [line for line in printed.splitlines() if line.startswith("p2c: ")]
    if code == 99:
        raise UserError(f"unshare: {printed}")
    if code == 0:
        case.found["fitted"] += 1
        if script == READONLY:
            return
        if case.result() != case.expected:
            _complain(case, "other", f"ended well with {size} kB, with another result")
    elif len(lines) == 1 and re.search(words, lines[0]) and "Traceback" not in printed and ".partial" not in printed:
        case.found["said"] += 1
    else:
        _complain(case, "failed", printed[-900:])
    case.prepare()
    code, printed = project.run(case.command)
    if code:
        _complain(case, "failed", f"run again: {printed[-600:]}")
    _inspect(project, case, f"with {size} kB")


def _kilobytes(path: Path) -> int:
    """Return the space that a file or a folder takes, in whole pages of 4 kB."""
    files = [path] if path.is_file() else list(path.rglob("*"))
    return sum(-(-file.stat().st_size // 4096) * 4 for file in files if file.is_file())


def clock(project: Project, case: Case, moments: random.Random) -> None:
    """Run a case to its end after the clock has jumped, killed once before."""
    jumps = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": moments.choice(CLOCKS), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    case.prepare()
    process = project.start(case.command)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=moments.random() * case.seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    if not (case.once and case.result() == case.expected):
        code, printed = project.run(["env", *(f"{name}={value}" for name, value in jumps.items()), *case.command])
        if code or "Traceback" in printed:
            _complain(case, "failed", f"{jumps['FAKETIME']}: {printed[-600:]}")
    _inspect(project, case, f"clock {jumps['FAKETIME']}")


WAYS = {"kill": None, "term": None, "twice": twice, "full": full, "readonly": readonly, "clock": clock}


def _inspect(project: Project, case: Case, what: str) -> None:
    if (result := case.result()) != case.expected:
        _complain(case, "other", f"{what}: {result} instead of {case.expected}")
    if debris := project.debris():
        _complain(case, "debris", f"{what}: {', '.join(debris)}")
    if running := project.running():
        _complain(case, "running", f"{what}: {running} runs")
    time.sleep(0.2)
    if left := project.processes():
        _complain(case, "processes", f"{what}: {left}")


def _complain(case: Case, kind: str, text: str) -> None:
    case.found[kind] += 1
    note(f"{case.name}: {kind}: {text}")


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.power"):
        main()
