"""Features are extracted once, and a damaged cache costs time, not the result."""

import numpy as np
import pytest
import torch

from photo2cartoon.scoring.cache import cached

IMAGES = torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_made_again(tmp_path, monkeypatch, content):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def extract(images):
        asked.append(images)
        return images.float().mean((2, 3)).numpy()

    first = cached("network", IMAGES, extract)
    assert np.array_equal(cached("network", IMAGES, extract), first) and len(asked) == 1
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(content)
    assert np.array_equal(cached("network", IMAGES, extract), first) and len(asked) == 2
    assert np.array_equal(cached("network", IMAGES, extract), first) and len(asked) == 2
