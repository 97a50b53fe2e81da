"""Data-parallel training: every process takes its share of the batch, and the gradients are averaged.

Every process holds all networks. After each backward pass the gradients are averaged over the processes, so that all of
them make the same step, and the loss curve is that of one process with the whole batch. The networks are not wrapped in
DDP: a discriminator runs twice before its gradients are used, which DDP takes for an error, and the vectors of spectral
normalisation follow from the weights alone, so they stay equal without communication.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from photo2cartoon.errors import UserError, first_line
from photo2cartoon.params import Train
from photo2cartoon.ports import free_ports
from photo2cartoon.processes import end_with_parent

TIMEOUT = timedelta(minutes=10)  # of a collective operation within the steps
PATIENCE = timedelta(hours=6)  # of `wait_for_all`: scoring and downloads by one process take as long as they take
RETRY = 75  # EX_TEMPFAIL, the exit status of a run that was asked to stop and can be resumed


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, as one of them sees them.

    Args:
        rank: of this process; rank 0 is the main process, the only one that writes.
        size: number of processes.
        device: of this process.
        waiting: torch's group for `wait_for_all`, which has a timeout of its own; None in a group of one.
    """

    rank: int
    size: int
    device: torch.device
    waiting: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, the one that writes."""
        return self.rank == 0

    @property
    def is_first_here(self) -> bool:
        """Whether this is the first process on its machine."""
        return self.size == 1 or int(os.environ.get("LOCAL_RANK", "0")) == 0

    def share(self, pictures: int, key: str = "batch") -> int:
        """The number of pictures per step that each process takes; `key` of section `train` sets it for all.

        Raises:
            UserError: they cannot be divided evenly.
        """
        if pictures % self.size:
            raise UserError(f"train.{key}: {pictures} pictures cannot be divided among {self.size} processes")
        return pictures // self.size

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes, with one all-reduce for all of them."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = self.average(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, together.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def average(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        return self._reduced(values, dist.ReduceOp.SUM) / self.size if self.size > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; every process has to call this."""
        if self.size == 1:
            return flag
        return bool(self._reduced(torch.tensor(float(flag), device=self.device), dist.ReduceOp.MAX))

    def agree(self, number: int) -> bool:
        """Whether all processes have the same number; every process has to call this."""
        differs = self.average(torch.tensor([float(number)], device=self.device)).item() != number
        return not self.any(differs)

    def wait_for_all(self) -> None:
        """Wait until every process has called this, for up to `PATIENCE`: after work that one of them does alone.

        Raises:
            UserError: another process ended, or did not come.
        """
        if self.waiting is None:
            return
        with _lost_connection():
            dist.barrier(self.waiting)

    def _reduced(self, values: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
        values = values.clone()
        with _lost_connection():
            dist.all_reduce(values, op=how)
        return values

    def destroy(self) -> None:
        """Destroy the process group at the end of the run."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextlib.contextmanager
def _lost_connection() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch raises no narrower class
        raise UserError(f"train: lost the connection to another process ({first_line(error)[:120]})") from None


def init(device: torch.device) -> ProcessGroup:
    """The process group in which `launch` or torchrun started this process; a group of one otherwise."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ProcessGroup(0, 1, device)
    rank = int(os.environ["RANK"])
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    return ProcessGroup(rank, size, device, dist.new_group(backend="gloo", timeout=PATIENCE))


def pick_device(name: str) -> torch.device:
    """The device that `train.device` selects; `auto` selects the GPU if there is one.

    Raises:
        UserError: a GPU is requested and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: 'cuda', but torch sees no GPU here")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def count_processes(params: Train, device: torch.device) -> int:
    """The number of processes that `train.processes` selects on this machine; 0 means one per GPU.

    Raises:
        UserError: there are fewer GPUs than processes.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else None
    if gpus is not None and params.processes > gpus:
        raise UserError(f"train.processes: {params.processes}, but torch sees {gpus} GPUs here; 0 means one for each")
    return params.processes or max(1, gpus or 1)


def in_group() -> bool:
    """Whether `launch` or torchrun started this process as one of a group."""
    return "WORLD_SIZE" in os.environ


def local_size() -> int:
    """Return how many processes of the group run on this machine: torchrun says so, `launch` starts all of them here."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or 1)


def launch(processes: int, arguments: list[str]) -> None:
    """Run `p2c` in several processes on this machine, and wait for all of them.

    SIGTERM and Ctrl-C are forwarded to them. When this process dies they die too, and when one of them fails the others
    are stopped. Only the output of rank 0 is shown, and the last line of another rank if that one fails.

    Args:
        processes: number of processes.
        arguments: arguments of `p2c`.

    Raises:
        UserError: one of them ended with an error, with its exit status.
    """
    with contextlib.ExitStack() as open_files:
        errors = [None, *(open_files.enter_context(tempfile.TemporaryFile()) for _ in range(processes - 1))]
        common = os.environ | {
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_ports(1)[0]),
        }
        command = [sys.executable, "-m", "photo2cartoon", *arguments]
        members = [
            subprocess.Popen(
                command,
                env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=errors[rank],
                preexec_fn=lambda: end_with_parent(signal.SIGKILL),  # or, beyond Linux, with the lost connection
            )
            for rank in range(processes)
        ]
        # Only the main thread can handle signals; elsewhere they end this process, and its children with it.
        listens = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, _hand_on(members)) for number in _STOP} if listens else {}
        try:
            failed = _wait(members)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for member in members:
                member.kill()
                member.wait()
        if failed is None:
            return
        rank, code = failed
        if rank == 0 and code > 0:
            raise SystemExit(code)  # the process has printed the reason
        reason = ""
        if (said := errors[rank]) is not None:
            said.seek(0)
            reason = said.read().decode(errors="replace").strip().rsplit("\n", 1)[-1].removeprefix("p2c: ")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        raise UserError(f"train: process {rank} of {processes} {how}{f': {reason}' if reason else ''}", max(code, 1))


_STOP = (signal.SIGTERM, signal.SIGINT)
_GRACE_SECONDS = 20.0  # for the other processes to end by themselves and print why, once one has failed


def _hand_on(members: list[subprocess.Popen]) -> Callable[..., None]:
    def hand_on(*_: object) -> None:
        for member in members:
            member.terminate()

    return hand_on


def _wait(members: list[subprocess.Popen]) -> tuple[int, int] | None:
    """Wait until all processes have ended; return rank and exit status of the one that failed, rank 0 preferred."""
    ended: float | None = None
    failed: tuple[int, int] | None = None
    while any(member.poll() is None for member in members):
        bad = [(rank, member.returncode) for rank, member in enumerate(members) if member.returncode]
        if bad and ended is None:
            ended, failed = time.monotonic(), bad[0]
        if ended is not None and time.monotonic() - ended > _GRACE_SECONDS:
            return failed
        time.sleep(0.1)
    bad = [(rank, member.returncode) for rank, member in enumerate(members) if member.returncode]
    killed = next((one for one in bad if one[1] < 0), None)
    if killed or not bad:
        return killed
    # After SIGTERM all of them stop alike; otherwise the first to fail has the reason, the others only lost it.
    return bad[0] if failed is None or failed[1] == RETRY else failed
