"""The work of a step is counted as PyTorch executes it, and our step needs less than the plain one."""

import pytest
import torch

from benchmarks.work import Kernels, work


def test_kernels_are_operations_that_compute_something():
    x = torch.ones(4, 4)
    with Kernels() as kernels:
        (x.t() + torch.empty(4, 4).t()).t().view(16).relu()
    assert kernels.started == 2 and kernels.bytes == (3 + 2) * 16 * 4


@pytest.mark.long
def test_ours_asks_for_less(weights):
    plain, ours = (work(way, 128, 4, weights) for way in ("plain", "ours"))
    assert all(less < more for less, more in zip(ours, plain, strict=True))
