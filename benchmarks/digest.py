"""A bit-exact digest of what a workload returned: same bytes, same digest, and nothing else."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

PIECE_BYTES = 1 << 16


def digest(result: object) -> str:
    """SHA-256 over the values, shapes and types inside ``result``; two results differ if any bit does."""
    sha = hashlib.sha256()
    feed(sha, result)
    return sha.hexdigest()


def feed(sha: Any, value: Any) -> None:
    if isinstance(value, (tuple, list)):
        sha.update(f"[{len(value)}".encode())
        for item in value:
            feed(sha, item)
    elif isinstance(value, np.ndarray):
        sha.update(f"{value.dtype}{value.shape}".encode())
        if value.dtype.hasobject:
            sha.update(repr(value.tolist()).encode())
        else:
            for part in pieces(value):
                sha.update(np.ascontiguousarray(part).view(np.uint8))
    elif hasattr(value, "columns"):
        sha.update(repr(list(value.columns)).encode())
        for position in range(value.shape[1]):
            feed(sha, value.iloc[:, position])
    elif hasattr(value, "to_numpy"):
        feed(sha, value.to_numpy())
    elif isinstance(value, (int, float, str, bool, np.generic)):
        sha.update(f"{type(value).__name__}{value!r}".encode())
    else:
        raise TypeError(f"cannot digest {type(value).__name__}: return arrays, tables, numbers or text instead")


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Cut ``array`` into contiguous pieces, small if they must be copied: hashing must not set the peak."""
    if array.ndim == 0 or array.flags.c_contiguous:
        yield array.reshape(-1)
        return
    rows = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
