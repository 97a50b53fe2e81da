"""Reads arrays from a pickle without running any code in it.

A pickle is a program that calls what it names. The few names that numpy's arrays need are mapped to local builders that
only copy numbers; any other name aborts the read.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from photo2cartoon.errors import UserError

_KINDS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"})


class _Kind:
    """Pickled form of numpy's dtype: a kind, then a state whose second entry is the byte order."""

    def __init__(self, kind: str, *_: object) -> None:
        if kind not in _KINDS:
            raise pickle.UnpicklingError(f"arrays of '{kind}' are not read")
        self.dtype = np.dtype(kind)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1] if state[1] in "<>" else "=")


class _Array:
    """Pickled form of numpy's array: created empty, then given version, shape, dtype, order and bytes."""

    value: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Kind) or not isinstance(data, bytes | bytearray):
            raise pickle.UnpicklingError("an array that is not made of plain numbers")
        array = np.frombuffer(data, kind.dtype)
        self.value = array.reshape(shape, order="F" if fortran else "C").astype(kind.dtype.newbyteorder("="))


_NAMES = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Array,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): lambda text, _encoding: text.encode("latin1"),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    # Paddle 2.1 and later pickle a tensor as tuple((name, array)).
    **{(module, "tuple"): lambda items: tuple(items) for module in ("builtins", "__builtin__")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it would run '{module}.{name}', which no file of arrays needs") from None


def read_arrays(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary, nested or not, whose leaves are numpy arrays.

    Raises:
        UserError: the file is not a pickle, is truncated, or holds anything but arrays, dictionaries and plain values.
    """
    try:
        with path.open("rb") as file:
            found = _plain(_Reader(file).load())
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: refused: {error}") from None
    except Exception as error:  # of a damaged file, pickle raises errors of any class
        raise UserError(f"{path}: truncated or damaged pickle ({error})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds a {type(found).__name__}, not weights by their names")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        value = value[1]
    return value.value if isinstance(value, _Array) else value
