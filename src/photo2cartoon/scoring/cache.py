"""Features on disk, by the hash of the images and of the network: extracted once, whatever asks for them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from photo2cartoon.atomic import atomic_write
from photo2cartoon.files import cache_folder

MOST = 500  # files; the oldest ones are deleted
VERSION = "1"  # to change when the same network and images would give other features


def cached(network: str, images: Tensor, extract: Callable[[Tensor], np.ndarray]) -> np.ndarray:
    """Return the features of images, from the cache if they were extracted before.

    Args:
        network: name and hash of the network.
        images: uint8 `[N, 3, S, S]`.
        extract: extracts them, float32 `[N, D]`.
    """
    digest = hashlib.sha256(f"{VERSION} {network} {tuple(images.shape)}".encode())
    digest.update(np.ascontiguousarray(images.numpy()).data)
    path = _folder() / f"{digest.hexdigest()[:32]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        found = np.load(path, allow_pickle=False)
        path.touch()
        return found
    features = extract(images)
    with contextlib.suppress(Exception):  # a full disk or a read-only home costs time, not the result
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.save(file, features, allow_pickle=False)
        _forget_oldest()
    return features


def _folder() -> Path:
    return cache_folder() / "features"


def _forget_oldest() -> None:
    found = sorted(_folder().glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[MOST:]:
        path.unlink(missing_ok=True)
