"""Programs over heaps and arenas that must not pass; marked as in memory_misuse.py."""

import heapwright as hw

heap = hw.Heap(hw.AnonymousSpace("1MiB"))


def an_arena_is_told_what_becomes_of_views() -> None:
    hw.Arena("1MiB", on_escape="ignore")  # error: mypy[arg-type] pyright[reportArgumentType]


def blocks_go_back_to_their_kind_of_resource() -> None:
    heap.deallocate(hw.Arena(heap).allocate(1))  # error: mypy[arg-type] pyright[reportArgumentType]
    hw.Arena(heap).deallocate(heap.allocate(1))  # error: mypy[arg-type] pyright[reportArgumentType]


def bottom_is_not_a_block() -> None:
    heap.try_allocate(1).view()  # error: mypy[union-attr] pyright[reportOptionalMemberAccess]


def only_stacked_blocks_have_marks() -> None:
    by_size = hw.Heap[hw.BestFit](hw.AnonymousSpace("1MiB"))
    by_size.mark()  # error: mypy[misc] pyright[reportAttributeAccessIssue]


def a_heap_is_not_a_strategy() -> None:
    hw.Heap[hw.Arena](hw.AnonymousSpace(1))  # error: mypy[type-var] pyright[reportInvalidTypeArguments]
