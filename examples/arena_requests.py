"""A server's requests, each in an arena: a request leaves nothing behind, and the answer that is kept is counted.

python examples/arena_requests.py

Each request makes some hundred arrays, and ends. On the default allocator they are freed one by one; an arena is reset.
Then a request keeps an array: by mistake, which is an error that says where, and on purpose, which is promotion.
"""

import random
import time

import numpy as np

import heapwright as hw

REQUESTS = 200
ARRAYS = 300


def serve(make, choose: random.Random) -> float:
    """Do the work of one request, with arrays from `make(count)`."""
    total = 0.0
    arrays = []
    for _ in range(ARRAYS):
        array = make(choose.randrange(8, 4096))
        array[:] = 1.0
        total += array[-1]
        arrays.append(array)
    return total + arrays[0].sum()


def main() -> None:
    choose = random.Random(1)
    start = time.perf_counter()
    expected = [serve(np.empty, choose) for _ in range(REQUESTS)]
    plain_s = time.perf_counter() - start

    choose = random.Random(1)
    arena = hw.Arena("64MiB", name="request", sites=True)
    quick = hw.Arena("64MiB")
    start = time.perf_counter()
    answers = []
    for _ in range(REQUESTS):
        answers.append(serve(quick.ndarray, choose))
        quick.reset()
    arena_s = time.perf_counter() - start
    assert answers == expected
    figures = quick.statistics()
    print(f"{REQUESTS} requests of {ARRAYS} arrays: NumPy {plain_s * 1e3:.0f} ms, in an arena {arena_s * 1e3:.0f} ms")
    print(
        f"{figures.total_block_count} blocks, {hw.format_size(figures.total_requested_bytes)} in all, "
        f"{figures.block_count} left; {hw.format_size(figures.committed_bytes)} of chunks served every request"
    )

    cache = []

    def remember() -> None:
        cache.append(arena.ndarray(100))

    remember()
    try:
        arena.reset()
    except hw.ViewsEscaped as escaped:
        print(f"a mistake: {escaped.exports} view escaped, from {escaped.sites[0].rsplit('/', 1)[-1]}")
    cache.clear()
    arena.close()

    with hw.Arena("64MiB", on_escape="promote") as arena:
        for size in (1 << 20, 1 << 21, 1 << 22):
            arena.ndarray(size)[:] = size
        kept = arena.ndarray(1000)
        kept[:] = 42.0
    figures = arena.statistics()
    print(
        f"on purpose: {figures.promoted_count} chunk of {hw.format_size(figures.promoted_bytes)} stays for an array of "
        f"{hw.format_size(kept.nbytes)}, whose mean is {kept.mean():.0f}; of others, "
        f"{hw.format_size(figures.committed_bytes)}"
    )


if __name__ == "__main__":
    main()
