import pytest

import heapwright as hw
from heapwright.model.block import Block
from heapwright.testing import PlainResource


def test_blocks_are_blocks() -> None:
    block = PlainResource().allocate(100, 256)
    assert isinstance(block, Block)
    assert (len(block), block.size_bytes, block.address % 256) == (100, 100, 0)
    assert block.permissions == hw.Permissions.READ | hw.Permissions.WRITE


def test_a_view_forbids_freeing_and_moving() -> None:
    resource = PlainResource()
    block = resource.allocate(10)
    with block.view():
        for call in (lambda: resource.deallocate(block), lambda: resource.reallocate(block, 20)):
            with pytest.raises(hw.ViewExported):
                call()
    assert resource.statistics().requested_bytes == 10
    resource.deallocate(block)
    with pytest.raises(hw.BlockFreed):
        block.view()


def test_its_capacity_is_exact() -> None:
    resource = PlainResource(100)
    block = resource.allocate(100)
    assert resource.try_allocate(1) is None
    assert not resource.owns(block.address + 100)
    del block
    assert resource.try_allocate(100) is not None
