"""Programs that must not pass: each marked line is an error of exactly these kinds, and no other line is one.

They are read by checkers and never run. The mark names what each checker has to answer; where it says `runs`, no
checker can know, and run time refuses (tests/owners/test_memory.py).
"""

import heapwright as hw

heap = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))


def nothing_is_there_before_allocate(memory: hw.Memory[hw.Unallocated]) -> None:
    memory.read(0, 1)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.write(0, b"x")  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.view()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.free()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.verify()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    print(memory.address)  # error: mypy[misc] pyright[reportAttributeAccessIssue]


def nor_after_free(memory: hw.Memory[hw.Allocated]) -> None:
    freed = memory.free()
    freed.read(0, 1)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    freed.write(0, b"x")  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    freed.view()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    freed.free()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    freed.reallocate(8)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    freed.allocate(8)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    freed.reuse().allocate(8).write(0, b"x")


def what_is_allocated_is_not_allocated_again(memory: hw.Memory[hw.Allocated]) -> None:
    memory.allocate(64)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.try_allocate(64)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.reuse()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.unseal()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.damage()  # error: mypy[misc] pyright[reportAttributeAccessIssue]


def a_seal_forbids_writing(memory: hw.Memory[hw.Sealed]) -> None:
    memory.read(0, 1)
    memory.write(0, b"x")  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.view()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.reallocate(8)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    memory.seal()  # error: mypy[misc] pyright[reportAttributeAccessIssue]


def what_may_be_corrupted_is_asked_first(memory: hw.Memory[hw.Allocated]) -> None:
    seen = memory.verify()
    seen.read(0, 1)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    if hw.is_corrupted(seen):
        seen.free()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
        seen.reuse()  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    else:
        seen.salvage()  # error: mypy[misc] pyright[reportAttributeAccessIssue]


def bottom_is_not_memory(memory: hw.Memory[hw.Unallocated]) -> None:
    memory.try_allocate(64).free()  # error: mypy[union-attr] pyright[reportOptionalMemberAccess]


def states_are_not_each_other(memory: hw.Memory[hw.Allocated]) -> None:
    wrong: hw.Memory[hw.Freed] = memory  # error: mypy[assignment] pyright[reportAssignmentType]
    nothing_is_there_before_allocate(memory)  # error: mypy[arg-type] pyright[reportArgumentType]
    memory.write(0, "text")  # error: mypy[arg-type] pyright[reportArgumentType]
    del wrong


def no_state_is_claimed() -> None:
    hw.Memory[hw.Allocated](heap).read(0, 1)  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    made: hw.Memory[hw.Allocated] = hw.Memory(heap)  # error: mypy[assignment] pyright[reportAssignmentType]
    hw.Allocated.states.add(hw.State.FREED)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    del made


def moved_from(memory: hw.Memory[hw.Allocated]) -> None:
    memory.free()
    memory.free()  # runs
