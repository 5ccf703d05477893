"""The clauses that hold for every memory resource: functions that look for a counter-example to their docstring."""

from __future__ import annotations

import random
import sys
import threading

from heapwright.model.errors import HeapwrightError, InvalidFree
from heapwright.model.lifecycle import State
from heapwright.testing.client import IMPOSSIBLE_BYTES, Client, Held, Nonconformance, Subject, raises, require

ALIGNMENTS = (None, 1, 8, 64, 1024)


def serves_requests(subject: Subject) -> None:
    """A block has the size and alignment that were asked for, is owned, overlaps no other, and has weak references."""
    for alignment in ALIGNMENTS:
        client = Client(subject.factory())
        for size in subject.sizes:
            client.allocate(size, alignment)
            require(
                client.try_allocate(size, alignment), f"try_allocate({size}, {alignment}) is None where there is room"
            )
        client.check_all()
        client.deallocate_all()


def fails_in_pairs(subject: Subject) -> None:
    """Where allocate raises for want of memory, try_allocate returns None; wrong arguments raise in both."""
    resource = subject.factory()
    before = Client(resource)
    kept = before.allocate(64)
    for alignment in ((), (64,)):
        raises(MemoryError, resource.allocate, IMPOSSIBLE_BYTES, *alignment)
        try:
            resource.allocate(IMPOSSIBLE_BYTES, *alignment)
        except MemoryError as error:
            require(isinstance(error, HeapwrightError), f"want of memory is a bare {error!r}, without figures")
        try:
            answer = resource.try_allocate(IMPOSSIBLE_BYTES, *alignment)
        except Exception as error:
            raise Nonconformance(f"try_allocate raised {error!r} where it has to return None") from error
        require(answer is None, f"try_allocate({IMPOSSIBLE_BYTES}) returned {answer!r}")
    for call in (resource.allocate, resource.try_allocate):
        raises(ValueError, call, 64, 3)
        raises(ValueError, call, -1)
    before.check(kept)
    before.check_accounts()


def frees_once(subject: Subject) -> None:
    """A block is freed by deallocate once; a second time, and by another resource, is refused and changes nothing."""
    resource = subject.factory()
    client, other = Client(resource), Client(subject.factory())
    first, second = client.allocate(100), client.allocate(100)
    foreign = other.allocate(100)
    dead = client.deallocate(first)
    raises(InvalidFree, resource.deallocate, dead)
    raises(InvalidFree, resource.reallocate, dead, 10)
    raises(InvalidFree, resource.deallocate, foreign.block)
    raises(InvalidFree, resource.reallocate, foreign.block, 10)
    third = client.allocate(100)
    raises(InvalidFree, resource.deallocate, dead)  # even if its memory is somebody's again
    for held, owner in ((second, client), (third, client), (foreign, other)):
        owner.check_accounts()
        owner.deallocate(held)
    client.check_accounts()


def spares_what_is_exposed(subject: Subject) -> None:
    """A block with a view exported is neither freed nor moved; when the view is gone, it can be."""
    client = Client(subject.factory())
    held = client.allocate(100)
    view = held.block.view()
    for size in (1, 101, subject.room_bytes // 4):
        raises(BufferError, client.resource.reallocate, held.block, size)
    raises(BufferError, client.resource.deallocate, held.block)
    client.check(held)
    client.check_accounts()
    view.release()
    client.reallocate(held, 200)
    client.deallocate(held)
    client.check_accounts()


def reallocates(subject: Subject) -> None:
    """Reallocate keeps the first bytes and the alignment, ends the old handle, and if it fails leaves all as it was."""
    for alignment in ALIGNMENTS:
        client = Client(subject.factory())
        held = client.allocate(64, alignment)
        for size in (64, 300, 299, 1, 0, subject.room_bytes // 8, 77):
            client.allocate(1)  # a fence behind it, so that sometimes it has to move
            dead = client.reallocate(held, size)
            raises(InvalidFree, client.resource.deallocate, dead)
            client.check_all()
            client.check_accounts()
        raises(MemoryError, client.resource.reallocate, held.block, IMPOSSIBLE_BYTES)
        raises(ValueError, client.resource.reallocate, held.block, -1)
        require(held.block.state is not State.FREED, "reallocate failed, and the block is gone")
        client.check_all()
        client.check_accounts()
        client.deallocate_all()
        client.check_accounts()


def frees_what_is_dropped(subject: Subject) -> None:
    """A block whose last handle is gone is freed and accounted for, as by deallocate."""
    client = Client(subject.factory())
    for size in subject.sizes:
        kept, dropped = client.allocate(size), client.allocate(size)
        client.reallocate(kept, size + 1)
        client.drop(dropped)
        client.check_accounts()
    while client.held:
        client.drop(client.held[0])
    client.check_accounts()


def reuses_memory(subject: Subject) -> None:
    """What was freed can be had again: any number of blocks in turn needs the memory of one."""
    client = Client(subject.factory())
    size = subject.room_bytes // 3
    for i in range(120):
        held = client.allocate(size)
        if i % 3 == 0:
            client.drop(held)
        elif i % 3 == 1:
            client.deallocate(held)
        else:
            client.reallocate(held, size // 2)
            client.drop(held)
    client.check_accounts()


def survives_trim(subject: Subject) -> None:
    """Trim returns the bytes given back, and takes nothing from live blocks."""
    client = Client(subject.factory())
    for size in subject.sizes:
        client.drop(client.allocate(size))
        client.allocate(size)
        for keep in ((subject.room_bytes,), ("1KiB",), (0,), ()):
            given_back = client.resource.trim(*keep)
            require(type(given_back) is int and given_back >= 0, f"trim{keep} returned {given_back!r}")
        client.check_all()
    client.check_accounts()
    client.deallocate_all()


def serves_threads(subject: Subject) -> None:
    """Threads that use it together get what each would get alone."""
    resource = subject.factory()
    share = subject.room_bytes // 4
    errors: list[BaseException] = []
    clients = [Client(resource) for _ in range(4)]
    threads = [threading.Thread(target=_use, args=(client, share, i, errors)) for i, client in enumerate(clients)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]
    Client(resource).check_accounts()


def _use(client: Client, share_bytes: int, seed: int, errors: list[BaseException]) -> None:
    choose = random.Random(seed)
    try:
        for _ in range(120):
            room = share_bytes - client.requested_bytes
            if room > 16 and choose.random() < 0.6:
                client.allocate(choose.randrange(min(room, share_bytes // 4)), choose.choice(ALIGNMENTS[:-1]))
            elif client.held:
                held: Held = choose.choice(client.held)
                act = choose.randrange(3)
                if act == 0:
                    client.deallocate(held)
                elif act == 1:
                    client.drop(held)
                else:
                    client.reallocate(held, choose.randrange(min(held.size_bytes + 8, max(room, 1))))
        client.check_all()
        client.deallocate_all()
    except BaseException as error:  # to be raised by whoever started the thread
        errors.append(error)


def keeps_its_limit(subject: Subject) -> None:
    """Never more than limit_bytes are out, and all of them can be."""
    if subject.limit_bytes is None:
        return
    client = Client(subject.factory())
    whole = client.allocate(subject.limit_bytes)
    require(client.try_allocate(1) is None, f"with {subject.limit_bytes} B out, the limit, one more was given")
    raises(MemoryError, client.resource.allocate, 1)
    raises(MemoryError, client.resource.reallocate, whole.block, subject.limit_bytes + 1)
    client.drop(whole)
    held = [client.allocate(subject.limit_bytes // 8) for _ in range(8)]
    require(
        client.try_allocate(subject.limit_bytes // 8 + 8) is None, "more was given than the limit less what was out"
    )
    raises(MemoryError, client.resource.reallocate, held[0].block, subject.limit_bytes // 4)
    client.deallocate_all()
    client.check_accounts()


CLAUSES = (
    serves_requests,
    fails_in_pairs,
    frees_once,
    spares_what_is_exposed,
    reallocates,
    frees_what_is_dropped,
    reuses_memory,
    survives_trim,
    serves_threads,
    keeps_its_limit,
)
