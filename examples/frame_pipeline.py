"""A camera, a tracker, and a pool of frames between them: memory that is as large as the pipeline is deep.

python examples/frame_pipeline.py [frames]

The camera draws a bright ball that flies across a noisy picture; the tracker, on another thread, finds it by comparing
each frame with the one before. Frames are records of a TypedPool of eight: whoever is done with one releases it, on
whichever thread. When the tracker falls behind, the pool is empty, and the camera waits instead of filling the memory.
"""

import queue
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import heapwright as hw

HEIGHT, WIDTH = 720, 1280
FRAME = np.dtype([("number", "i8"), ("pixels", "u1", (HEIGHT, WIDTH))])
RADIUS = 12


def main(frames: int = 200) -> None:
    heap: hw.Heap[Any] = hw.Heap(hw.AnonymousSpace("64MiB"))
    pool = hw.TypedPool(FRAME, heap, construct=leave_as_it_is, capacity=8, alignment=64, name="frames")
    with_pool = count_faults(lambda: pipeline(frames, pool.try_acquire, pool.release))
    without = count_faults(lambda: pipeline(frames, lambda: np.empty((), FRAME), lambda frame: None))
    figures = pool.statistics()
    print(f"frames of {hw.format_size(FRAME.itemsize)}, at most {figures.peak_block_count} of {pool.capacity} live")
    for name, (faults, tracked) in {"pool": with_pool, "np.empty for each frame": without}.items():
        error = max(abs(x - ball(number)[0]) + abs(y - ball(number)[1]) for number, x, y in tracked)
        print(
            f"{name:24} {len(tracked)} of {frames} frames tracked, at most {error} pixels off; {faults:,} page faults"
        )
    print(f"{figures.total_block_count} frames acquired, {figures.block_count} live, {figures.grow_count} chunks")


def leave_as_it_is(frame: Any) -> None:
    """Construct nothing: the camera writes every pixel."""


def pipeline(frames: int, acquire: Callable[[], Any], release: Callable[[Any], object]) -> list[tuple[int, int, int]]:
    """Return (frame, x, y) of the ball, as it was seen."""
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
    tracked: list[tuple[int, int, int]] = []
    tracker = threading.Thread(target=track, args=(seen, release, tracked))
    tracker.start()
    for number in range(frames):
        while (frame := acquire()) is None:  # a real camera would drop the frame
            time.sleep(0.0005)
        draw(frame, number)
        seen.put(frame)
        del frame
    seen.put(None)
    tracker.join()
    return tracked


def draw(frame: Any, number: int) -> None:
    pixels = frame["pixels"]
    frame["number"] = number
    pixels[:] = NOISE
    x, y = ball(number)
    pixels[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1][BALL] = 255


def track(seen: Any, release: Callable[[Any], object], tracked: list[tuple[int, int, int]]) -> None:
    before = None
    bright, dark = np.empty((2, HEIGHT, WIDTH), bool)
    while (frame := seen.get()) is not None:
        if before is not None:
            np.equal(frame["pixels"], 255, out=bright)
            np.less(before["pixels"], 255, out=dark)
            ys, xs = np.nonzero(np.logical_and(bright, dark, out=dark))
            if len(xs):
                tracked.append((int(frame["number"]), int(xs.max()) - RADIUS, int(np.median(ys))))
            release(before)
        before = frame
    if before is not None:
        release(before)


def ball(number: int) -> tuple[int, int]:
    """Return where it is: from left to right, up and down."""
    x = RADIUS + number * 7 % (WIDTH - 2 * RADIUS)
    return x, HEIGHT // 2 + int(200 * np.sin(number / 20))


def count_faults(work: Callable[[], Any]) -> tuple[int, Any]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    result = work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, result


NOISE = np.random.default_rng(1).integers(0, 50, (HEIGHT, WIDTH), dtype="u1")
BALL = np.hypot(*np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]) <= RADIUS

if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
