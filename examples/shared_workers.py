"""Workers that smooth one picture in place, and hand its brightest spot back; nobody copies the picture.

python examples/shared_workers.py [--size 2000] [--workers 4]

The picture is made in shared memory. Each worker gets a handle of it, one of the result, and a band of rows to do.
"""

import argparse
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import heapwright as hw

REACH = 4  #: pixels in each direction that a smoothed one is the mean of


def smooth(picture: hw.SharedHandle, result: hw.SharedHandle, first: int, end: int) -> tuple[float, int, int]:
    with picture as source, result as target:
        reach = range(-REACH, REACH + 1)
        rows = source[np.clip(np.arange(first - REACH, end + REACH), 0, len(source) - 1)]
        down = sum(rows[REACH + i : REACH + i + end - first] for i in reach)
        wide = np.pad(down, ((0, 0), (REACH, REACH)), mode="edge")
        target[first:end] = sum(wide[:, REACH + i : REACH + i + source.shape[1]] for i in reach) / len(reach) ** 2
        row, column = divmod(int(target[first:end].argmax()), source.shape[1])
        return float(target[first + row, column]), first + row, column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    size, workers = options.size, options.workers

    picture = hw.SharedHandle.zeros((size, size), "f4")
    result = hw.SharedHandle.zeros((size, size), "f4")
    noise = picture.value
    np.random.default_rng(1).random(out=noise, dtype="f4")
    noise[size // 3 : size // 3 + 20, size // 2 : size // 2 + 20] += 1
    bands = [(size * i // workers, size * (i + 1) // workers) for i in range(workers)]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(smooth, picture, result, *band) for band in bands]
        brightness, row, column = max(future.result() for future in found)
    print(f"brightest: {brightness:.3f} at ({row}, {column}), of {size} x {size}")
    print(
        f"mean {result.value.mean():.4f}, was {noise.mean():.4f}; other owners: {set(result.owners()) - {os.getpid()}}"
    )


if __name__ == "__main__":
    main()
