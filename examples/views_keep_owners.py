"""Who still looks at these bytes? What happens when memory is given up under a view of it: others, and heapwright.

python examples/views_keep_owners.py

A library that is handed a buffer may keep an address. If its owner then lets go of the memory, the address dangles: the
next access ends the process, or, worse, reads what somebody else has put there. Every case runs in a process of its
own. What is not installed (torch, lmdb) is left out.
"""

import importlib.util
import mmap
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

import heapwright as hw

SIZE_BYTES = 1 << 16
OURS = b"\x07" * SIZE_BYTES


def frombuffer(memory: Any) -> Any:
    return np.frombuffer(memory, "u1")


def ndarray(memory: Any) -> Any:
    return np.ndarray(SIZE_BYTES, "u1", buffer=memory)


def torch_frombuffer(memory: Any) -> Any:
    import torch

    return torch.frombuffer(memory, dtype=torch.uint8)


def from_dlpack(memory: Any) -> Any:
    return np.from_dlpack(memory)


def torch_from_dlpack(memory: Any) -> Any:
    import torch

    return torch.from_dlpack(memory)


def of_a_mapping(look: Callable[[Any], Any]) -> str:
    memory = mmap.mmap(-1, SIZE_BYTES)
    memory.write(OURS)
    view = look(memory)
    try:
        memory.close()
    except BufferError:
        return "close() is refused; " + seen(view)
    print("close() unmaps it", end="; ", flush=True)  # what follows may be the end
    return seen(view)


def of_lmdb() -> str:
    import lmdb

    with tempfile.TemporaryDirectory() as folder, lmdb.open(folder) as store:
        with store.begin(write=True) as transaction:
            transaction.put(b"key", OURS)
        with store.begin(buffers=True) as transaction:
            view = transaction.get(b"key")
        for _ in range(3):
            with store.begin(write=True) as transaction:
                transaction.put(b"key", bytes(SIZE_BYTES))
        return "the transaction ends; " + seen(np.frombuffer(view, "u1"))


def of_a_block(look: Callable[[Any], Any]) -> str:
    heap = hw.Tracking(hw.Heap(hw.AnonymousSpace("16MiB")))
    block = heap.allocate(SIZE_BYTES)
    block.write(0, OURS)
    view = look(block)
    try:
        heap.deallocate(block)
        said = "deallocate() frees it; "
    except hw.ViewExported as refused:
        said = f"deallocate() is refused, and says {str(refused.site).rpartition('/')[2]}; "
    others = [heap.allocate(SIZE_BYTES) for _ in range(10)]
    for other in others:
        other.write(0, bytes(SIZE_BYTES))
    return said + seen(view)


def seen(view: Any) -> str:
    total = int(view.sum())
    return "the view sees its bytes" if total == sum(OURS) else f"the view sees somebody else's bytes: {total}"


CASES: dict[str, tuple[Callable[[], str], str]] = {  # and the library that it needs
    "mmap, np.frombuffer": (lambda: of_a_mapping(frombuffer), "numpy"),
    "mmap, np.ndarray(buffer=)": (lambda: of_a_mapping(ndarray), "numpy"),
    "mmap, torch.frombuffer": (lambda: of_a_mapping(torch_frombuffer), "torch"),
    "LMDB, get(buffers=True)": (of_lmdb, "lmdb"),
    "a block, np.frombuffer": (lambda: of_a_block(frombuffer), "numpy"),
    "a block, np.ndarray(buffer=)": (lambda: of_a_block(ndarray), "numpy"),
    "a block, np.from_dlpack": (lambda: of_a_block(from_dlpack), "numpy"),
    "a block, torch.frombuffer": (lambda: of_a_block(torch_frombuffer), "torch"),
    "a block, torch.from_dlpack": (lambda: of_a_block(torch_from_dlpack), "torch"),
}


def in_a_process(name: str) -> str:
    ended = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=False)
    if ended.returncode < 0:
        return f"{ended.stdout}the view ends the process: {signal.Signals(-ended.returncode).name}"
    return ended.stdout.strip() or ended.stderr.strip()


def main() -> None:
    if len(sys.argv) > 1:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        print(CASES[sys.argv[1]][0]())
        return
    for name, (_, library) in CASES.items():
        if importlib.util.find_spec(library):
            print(f"{name:30} {in_a_process(name)}")


if __name__ == "__main__":
    main()
