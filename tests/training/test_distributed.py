"""Two processes make the same steps as one; a run that was killed resumes to the same bytes."""

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from photo2cartoon.errors import UserError
from photo2cartoon.params import Train
from photo2cartoon.ports import free_ports
from photo2cartoon.training.distributed import ProcessGroup, init
from photo2cartoon.training.loop import RETRY, train
from photo2cartoon.training.unpaired import UnpairedTrainer

SECTION = {
    "size": 128, "channels": 4, "hourglasses": False, "blocks": 1, "steps": 6, "batch": 2, "lr": 1e-4,
    "ema_halflife": 4.0, "checkpoint_every": 2,
    "sample_every": 100, "log_every": 1, "loss": {"cam": 10.0},
}  # fmt: skip


def command(folder, faces, weights, *more, processes=1, **changes):
    """`p2c train` with a params file of its own in `folder`."""
    folder.mkdir(exist_ok=True)
    section = SECTION | {"processes": processes} | changes
    (folder / "params.yaml").write_text(json.dumps({"train": section}))
    given = ["--params", folder / "params.yaml", "--data", faces, "--weights", weights, "--out", folder / "run"]
    return [sys.executable, "-m", "photo2cartoon", "train", *map(str, given), *more]


def start(*arguments, **options):
    return subprocess.Popen(
        command(*arguments, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process, code=0):
    told = process.communicate(timeout=300)[1]
    assert "Traceback" not in told, told
    assert process.returncode == code, told
    return told


def wait_for(path, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def losses(folder):
    rows = [json.loads(line) for line in (folder / "run/stats.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "pictures_per_second"} for row in rows]


def same_bytes(a, b, step=6):
    names = sorted(path.name for path in (a / f"run/checkpoints/step-{step:06d}").glob("*.safetensors"))
    assert len(names) == 10
    for name in names:
        one, other = (folder / f"run/checkpoints/step-{step:06d}" / name for folder in (a, b))
        assert one.read_bytes() == other.read_bytes(), name


@pytest.fixture(scope="module")
def whole(faces, weights, tmp_path_factory):
    """Function of the number of processes: the folder of a run that nothing happened to."""

    @functools.cache
    def run(processes):
        folder = tmp_path_factory.mktemp(f"whole-{processes}")
        finish(start(folder, faces, weights, processes=processes))
        return folder

    return run


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(whole):
    """With the same batch, from the command on; what differs is the order of additions, which every step lets grow."""
    for step, (one, two) in enumerate(zip(losses(whole(1)), losses(whole(2)), strict=True)):
        for name, value in one.items():
            bound = (1e-5, 1e-3, 0.02, 0.1, 0.1, 0.1)[step]
            assert two[name] == pytest.approx(value, rel=bound, abs=1e-4), (step, name)


def three_steps(folder):
    """Steps in float64 on this process's share of two pairs of pictures; its losses and weights go to `folder`."""
    group = init(torch.device("cpu"))
    torch.manual_seed(0)
    trainer = UnpairedTrainer(
        Train(size=128, channels=4, hourglasses=False, blocks=1, steps=8, batch=2), None, group.device, group
    )
    for part in (trainer.state.networks, trainer.state.ema):
        part.double()
    random = torch.Generator().manual_seed(1)
    reports = []
    for step in range(3):
        pictures = torch.rand(2, 2, 3, 128, 128, generator=random, dtype=torch.float64) * 2 - 1
        share = group.share(2)
        reports.append(trainer(*pictures[:, group.rank * share : (group.rank + 1) * share], step))
    values = {
        f"{step} {name}": group.average(value) for step, each in enumerate(reports) for name, value in each.items()
    }
    torch.save(values, Path(folder) / f"{group.rank}-of-{group.size}.pt")
    group.destroy()


def in_processes(program, folder, size=2):
    """Run Python code in the processes of a group, one thread each; return what each printed on stderr."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1)[0]), "WORLD_SIZE": str(size)}
    more = meeting | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    members = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | more | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        for rank in range(size)
    ]
    return [(member.communicate(timeout=300)[1], member.returncode) for member in members]


@pytest.mark.slow
def test_work_of_one_process_may_take_longer_than_a_step_may(tmp_path):
    """The main process scores a checkpoint alone. A collective operation of the steps that waits as long ends the run."""
    program = """
import os, sys, time, torch
from datetime import timedelta
from pathlib import Path
from photo2cartoon.errors import UserError
from photo2cartoon.training import distributed
distributed.TIMEOUT = timedelta(seconds=5)  # also of the meeting, so neither comes before both have imported all that
Path(os.environ["RANK"]).touch()
while not (Path("0").exists() and Path("1").exists()):
    time.sleep(0.05)
group = distributed.init(torch.device("cpu"))
time.sleep(8 * group.is_main)
group.wait_for_all()
assert group.agree(7) and not group.agree(group.rank)
if not group.is_main:
    try:
        group.any(False)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)  # gloo's threads may abort a process that ends after a timeout
else:
    time.sleep(9)
"""
    (_, main), (error, other) = in_processes(program, tmp_path)
    assert (main, other) == (0, 1) and error.startswith("train: lost the connection to another process"), error


@pytest.mark.slow
def test_where_rounding_does_not_show_two_processes_are_one(tmp_path):
    program = f"from {Path(__file__).stem} import three_steps; three_steps({str(tmp_path)!r})"
    for size in (1, 2):
        for error, code in in_processes(program, tmp_path, size):
            assert code == 0, error
    one, *two = (torch.load(tmp_path / name) for name in ("0-of-1.pt", "0-of-2.pt", "1-of-2.pt"))
    for member in two:
        for name, value in one.items():
            assert member[name].item() == pytest.approx(value.item(), rel=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(whole, faces, weights, tmp_path, processes):
    again = tmp_path / "again"
    running = start(again, faces, weights, processes=processes)
    wait_for(again / "run/checkpoints/step-000002/checkpoint.json", running)
    time.sleep(0.2 + 0.5 * random.random())  # somewhere in the steps after it, or in the next checkpoint
    running.kill()
    running.wait()
    finish(start(again, faces, weights, "--resume", processes=processes))
    same_bytes(whole(processes), again)
    assert losses(whole(processes)) == losses(again)
    assert [path.name for path in (again / "run/checkpoints").iterdir() if not path.name.startswith("step-")] == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_asked_to_stop_it_saves_the_step_and_says_try_again(whole, faces, weights, tmp_path, processes):
    again = tmp_path / "again"
    running = start(again, faces, weights, processes=processes, checkpoint_every=100)
    wait_for(again / "run/stats.jsonl", running)
    running.send_signal(signal.SIGTERM)
    told = finish(running, RETRY)
    step = int(told.split("asked to stop; step ")[1].split(" ")[0])
    assert [path.name for path in (again / "run/state").iterdir()] == [f"step-{step:06d}"] and step < 6
    assert not (again / "run/checkpoints").exists()  # an uninterrupted run would not have that checkpoint
    finish(start(again, faces, weights, "--resume", processes=processes))
    same_bytes(whole(processes), again)


@pytest.mark.slow
def test_processes_that_would_resume_at_different_steps_are_refused(faces, weights, tiny, tmp_path):
    """A machine that lost its copy of the run would start from scratch beside one that resumes."""
    runs = [tmp_path / str(rank) for rank in range(2)]
    train(tiny.model_copy(update={"steps": 2}), faces, weights, runs[0])
    section = {"train": tiny.model_dump(mode="json") | {"steps": 4, "batch": 2}}
    (tmp_path / "params.yaml").write_text(json.dumps(section))
    before = sorted(runs[0].rglob("*"))
    program = f"""
import os
from pathlib import Path
from photo2cartoon.errors import exit_on_user_error
from photo2cartoon.params import load
from photo2cartoon.training.loop import train
with exit_on_user_error("train"):
    params, folder = load(Path("params.yaml")).train, Path(os.environ["RANK"])
    train(params, Path({str(faces)!r}), Path({str(weights)!r}), folder, resume=True)
"""
    for (error, code), step in zip(in_processes(program, tmp_path), (2, 0), strict=True):
        assert code == RETRY and f"this process resumes at step {step}, another one at another step" in error, error
    assert sorted(runs[0].rglob("*")) == before and not runs[1].exists()


@pytest.mark.long
def test_torchrun_starts_it_as_well(faces, weights, tmp_path):
    arguments = command(tmp_path, faces, weights, steps=1)[3:]
    runner = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "photo2cartoon",
    ]
    done = subprocess.run([*runner, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/checkpoints/step-000001/checkpoint.json").exists() and len(losses(tmp_path)) == 1


@pytest.mark.long
def test_a_process_that_dies_ends_the_run(faces, weights, tmp_path):
    running = start(tmp_path, faces, weights, processes=2, steps=500)
    wait_for(tmp_path / "run/checkpoints", running)
    members = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True).stdout.split()
    assert len(members) == 2
    os.kill(int(members[1]), signal.SIGKILL)
    told = finish(running, 1)
    assert told.splitlines()[-1] == "p2c: train: process 1 of 2 was killed by signal 9"
    assert not any(os.path.exists(f"/proc/{member}") for member in members)  # noqa: PTH110


@pytest.mark.long
def test_a_damaged_checkpoint_is_passed_over(whole, faces, weights, tmp_path):
    shutil.copytree(whole(1), tmp_path / "again")
    again = tmp_path / "again"
    damaged = again / "run/checkpoints/step-000006/disGA.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    told = finish(start(again, faces, weights, "--resume"))
    assert f"skipped a damaged checkpoint: {damaged}: damaged" in told
    names = sorted(path.name for path in (again / "run/checkpoints").iterdir())
    assert names == ["damaged-step-000006", "step-000002", "step-000004", "step-000006"]
    same_bytes(whole(1), again)
    assert losses(whole(1)) == losses(again)


def test_a_full_disk_is_a_sentence_and_nothing_is_half_written(faces, weights, checkpoint, tmp_path):
    # No file may grow beyond half of a checkpoint's largest, which stops the writing as a full disk does.
    blocks = (checkpoint / "optimizers.safetensors").stat().st_size // 2048
    limited = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "limited", *command(tmp_path, faces, weights)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "step-000002: cannot be written" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "run/checkpoints").glob("*")) == []


def test_a_batch_that_cannot_be_divided_is_refused(tiny, faces, weights, tmp_path):
    with pytest.raises(UserError, match=r"train\.accumulate: 1 pictures a process cannot be taken in 2 parts"):
        train(tiny.model_copy(update={"accumulate": 2}), faces, weights, tmp_path / "run")
    with pytest.raises(UserError, match=r"train\.batch: 3 pictures cannot be divided among 2 processes"):
        ProcessGroup(0, 2, torch.device("cpu")).share(3)
