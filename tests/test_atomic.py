"""Files and folders are written atomically; until then the previous content stays."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from photo2cartoon.atomic import ResumableError, atomic_dir, atomic_write, make_folder, unfinished
from photo2cartoon.errors import UserError


def test_a_folder_takes_the_place_of_its_predecessor(tmp_path):
    for text in ("first", "second"):
        with atomic_dir(tmp_path / "out", "mark") as partial:
            (partial / "mark").write_text(text)
            assert (tmp_path / "out").exists() == (text == "second")
    assert (tmp_path / "out/mark").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    with atomic_dir(tmp_path / "out", "mark") as partial:
        (partial / "mark").write_text("first")
    with pytest.raises(RuntimeError), atomic_dir(tmp_path / "out", "mark") as partial:
        (partial / "mark").write_text("second")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "file.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "out/mark").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    assert make_folder(make_folder(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    (tmp_path / "file").touch()
    for folder, why in (("file", "is a file"), ("file/below", "cannot be made: Not a directory")):
        with pytest.raises(UserError, match=f"{folder}: {why}"):
            make_folder(tmp_path / folder)
    with pytest.raises(UserError, match="/proc/nothing: cannot be made"):
        make_folder(Path("/proc/nothing"))


def killed(code, how):
    """Start Python, kill it when it has printed a line, and return its exit code."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline()
    process.send_signal(how)
    return process.wait(30)


WRITE = """
import time
from pathlib import Path
from photo2cartoon.atomic import atomic_dir
target = Path({target!r})
if {renaming}:
    real = Path.rename
    def rename(self, to):
        if self.suffix == ".partial":
            print("moved aside", flush=True)
            time.sleep(60)
        return real(self, to)
    Path.rename = rename
with atomic_dir(target, "mark") as partial:
    (partial / "mark").write_text("second")
    if not {renaming}:
        print("half", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("renaming", [False, True], ids=["while writing", "while it takes its place"])
def test_a_killed_process_loses_nothing_and_leaves_nothing_after_the_next(tmp_path, renaming):
    target = tmp_path / "out[1]"
    with atomic_dir(target, "mark") as partial:
        (partial / "mark").write_text("first")
    assert killed(WRITE.format(target=str(target), renaming=renaming), signal.SIGKILL) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(RuntimeError), atomic_dir(target, "mark"):
        raise RuntimeError
    assert (target / "mark").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out[1]"]


def test_what_another_process_is_writing_is_left_to_it_by_name(tmp_path):
    code = WRITE.format(target=str(tmp_path / "out"), renaming=False)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline()
    held = rf"out: process {process.pid} \(python3? -c .*\) is writing it; wait until it has ended"
    with pytest.raises(UserError, match=held), atomic_dir(tmp_path / "out", "mark"):
        pass
    with atomic_dir(tmp_path / "out.1", "mark") as partial:  # a target whose name looks like the other's partial one
        (partial / "mark").write_text("first")
    assert len(list(tmp_path.glob(".out.*.partial/mark"))) == 1
    process.kill()
    process.wait()
    with atomic_dir(tmp_path / "out", "mark") as partial:
        (partial / "mark").write_text("first")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ResumableError("killed"), UserError("bad")], ids=repr)
def test_what_an_interruption_leaves_of_a_resumable_folder_is_there_until_a_run_succeeds(tmp_path, error):
    for number in range(2):
        with pytest.raises(type(error)), atomic_dir(tmp_path / "out", "mark", resumable=True) as partial:
            (partial / str(number)).touch()
            raise error
    left = 0 if type(error) is UserError else 2
    assert len(list(tmp_path.iterdir())) == left
    with atomic_dir(tmp_path / "out", "mark", resumable=True) as partial:
        assert {path.name for folder in unfinished(partial) for path in folder.iterdir()} == set("01"[:left])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_a_killed_process_was_writing_is_removed_by_the_next(tmp_path):
    code = f"""
import time
from pathlib import Path
from photo2cartoon.atomic import atomic_write
with atomic_write(Path({str(tmp_path / "a.txt")!r})) as partial:
    partial.write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""
    (tmp_path / ".mine.2024.txt").write_text("mine")
    assert killed(code, signal.SIGKILL) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_write(tmp_path / "b.txt") as partial:
        partial.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.2024.txt", "b.txt"]


def test_a_command_that_is_told_to_end_leaves_nothing(tmp_path):
    code = "from photo2cartoon import cli\ncli.app = lambda: exec(open('write.py').read())\ncli.main()"
    (tmp_path / "write.py").write_text(WRITE.format(target=str(tmp_path / "out"), renaming=False))
    assert killed(f"import os; os.chdir({str(tmp_path)!r})\n{code}", signal.SIGTERM) == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["write.py"]


def test_other_peoples_files_are_not_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    for write, target in ((lambda path: atomic_dir(path, "mark"), "file"), (atomic_write, ".")):
        with pytest.raises(UserError, match="is a"), write(tmp_path / target):
            pass
    with pytest.raises(UserError, match="holds other files"), atomic_dir(tmp_path, "mark"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_what_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (lambda path: atomic_dir(path, "mark"), atomic_write):
        with pytest.raises(UserError, match="cannot be written"), write(tmp_path / "file" / "below"):
            pass
