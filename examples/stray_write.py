"""Who wrote past the end? Three image filters share a heap; one of them has an error in its last row.

python examples/stray_write.py

The picture lies in memory that knows its state. What goes by the address, as `frame` does, is checked by nobody before
it writes; the red zones show it after the very step that did it, and the block is not handed out again.
"""

import ctypes

import numpy as np

import heapwright as hw

WIDTH, HEIGHT = 320, 200


def brighten(picture: hw.Memory[hw.Allocated]) -> None:
    with picture.view() as view:
        pixels = np.frombuffer(view, "u1")
        np.minimum(pixels, 205, out=pixels)
        pixels += 50
        del pixels


def frame(picture: hw.Memory[hw.Allocated]) -> None:
    """Paint the first and the last row black, in C style. The error: the last row begins one pixel too late."""
    ctypes.memset(picture.address, 0, WIDTH)
    ctypes.memset(picture.address + (HEIGHT - 1) * WIDTH + 1, 0, WIDTH)


def invert(picture: hw.Memory[hw.Allocated]) -> None:
    for row in range(HEIGHT):
        picture.write(row * WIDTH, bytes(255 - value for value in picture.read(row * WIDTH, WIDTH)))


def main() -> None:
    heap = hw.Heap[hw.FirstFit](hw.AnonymousSpace("16MiB"), name="pictures")
    quarantine = hw.Quarantine()
    picture = hw.Memory(heap, quarantine=quarantine).allocate(WIDTH * HEIGHT)
    picture.write(0, np.arange(WIDTH * HEIGHT, dtype="u4").astype("u1"))
    for step in (brighten, invert, frame):
        step(picture)
        seen = picture.verify()
        if hw.is_corrupted(seen):
            print(f"{step.__name__} damaged {seen.damage()}")
            salvaged = seen.salvage()
            assert salvaged is not None
            print(f"salvaged {len(salvaged)} pixels, mean {np.frombuffer(salvaged, 'u1').mean():.1f}; {quarantine!r}")
            break
        print(f"{step.__name__} is clean")
        picture = seen
    try:
        picture.free()
    except hw.InvalidTransition as refused:
        print(f"and not freed: {refused}")


if __name__ == "__main__":
    main()
