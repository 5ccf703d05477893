"""GuardedBlock: a block of a resource between two red zones, which are looked at before the block goes back.

    | padding | red zone | the memory: size_bytes | red zone |
              ^ filled with canaries              ^ begins at the very next byte: off by one is found

The memory is aligned as asked for, so with a large alignment there is padding in front of the first red zone;
it is not watched. What a red zone can find and what not: `heapwright.owners.canary`.
"""

from __future__ import annotations

import ctypes
import hashlib
from functools import lru_cache
from typing import Any

from heapwright.model.block import AccessibleBlock
from heapwright.model.errors import OutOfBounds, PermissionDenied
from heapwright.model.lifecycle import State
from heapwright.model.protocols import Resource
from heapwright.model.space import Permissions
from heapwright.owners.canary import canary, secret_key
from heapwright.owners.damage import CorruptedMemory, Damage, Mismatch, differences
from heapwright.owners.quarantine import Quarantine

_DIGEST_BYTES = 16


class GuardedBlock:
    """Owns a block: checks what is done with it, and frees it at its own end, unless it is damaged.

    Parameters
    ----------
    resource, block
        Where the block came from, and goes back to.
    size_bytes
        Of the memory.
    front_bytes
        From the start of the block to the memory.
    zone_bytes
        Of each red zone.
    quarantine
        Where it goes if it is damaged.
    """

    __slots__ = (
        "_after",
        "_before",
        "_digest",
        "_front_bytes",
        "_is_owner",
        "_quarantine",
        "_resource",
        "block",
        "size_bytes",
    )

    block: AccessibleBlock
    _is_owner: bool  # until the block goes back, or into quarantine

    def __init__(
        self,
        resource: Resource[Any],
        block: AccessibleBlock,
        *,
        size_bytes: int,
        front_bytes: int,
        zone_bytes: int,
        quarantine: Quarantine,
    ) -> None:
        self._is_owner = False  # nothing to check yet, should the next lines fail
        self._resource = resource
        self._quarantine = quarantine
        self._front_bytes = front_bytes
        self._digest: bytes | None = None
        self.size_bytes = size_bytes
        self._before = canary(block.address + front_bytes - zone_bytes, zone_bytes)
        self._after = canary(block.address + front_bytes + size_bytes, zone_bytes)
        if zone_bytes:
            block.write(front_bytes - zone_bytes, self._before)
            block.write(front_bytes + size_bytes, self._after)
        self.block = block
        self._is_owner = True

    def __del__(self) -> None:
        if not getattr(self, "_is_owner", False):
            return
        try:
            damage = self.damage()
        except PermissionDenied:  # unreadable memory: as it was when that began, for all we know
            return
        if damage is not None:
            self.quarantine(damage)
            raise CorruptedMemory(damage=damage, during="drop")  # nobody to catch it: sys.unraisablehook tells

    @property
    def address(self) -> int:
        """Of the first byte of the memory."""
        return self.block.address + self._front_bytes

    @property
    def exports(self) -> int:
        """Views that are out."""
        exports: int | None = getattr(self.block, "exports", None)  # all of ours have it, and it is cheap
        return int(self.block.state is State.EXPOSED) if exports is None else exports

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return a copy of these bytes of the memory."""
        self._require_inside("read", offset_bytes, size_bytes)
        return self.block.read(self._front_bytes + offset_bytes, size_bytes)

    def write(self, offset_bytes: int, data: Any) -> None:
        """Copy a buffer into the memory, or nothing of it."""
        with memoryview(data) as source:
            self._require_inside("write", offset_bytes, source.nbytes)
            self.block.write(self._front_bytes + offset_bytes, source)

    def view(self) -> memoryview:
        """Return the memory as a view, which keeps this object: its red zones are checked when the view is gone."""
        whole, start = self.block.view(), self._front_bytes
        if whole.readonly:  # who cannot write does no damage
            return whole[start : start + self.size_bytes]
        # Before Python 3.12 no class of Python code can export a buffer. An array of ctypes can, and has attributes.
        array = _byte_array_type(self.size_bytes).from_buffer(whole, start)
        array.keeps = self
        return memoryview(array).cast("B")

    def seal(self) -> None:
        """Remember what the bytes are."""
        self._digest = self._digest_now()

    def unseal(self) -> None:
        """Let them be changed again."""
        self._digest = None

    def damage(self) -> Damage | None:
        """Return the evidence of writes where nobody may write, or None. O(red zones), plus O(size) if sealed."""
        block, zone, start = self.block, len(self._before), self._front_bytes
        end = start + self.size_bytes
        before, after = block.read(start - zone, zone), block.read(end, zone)
        digest = self._digest and self._digest_now()
        if before == self._before and after == self._after and digest == self._digest:
            return None
        found = list(differences("red zone before", -zone, self._before, before))
        if self._digest and digest and digest != self._digest:
            found.append(Mismatch("checksum", 0, self._digest, digest))
        found += differences("red zone after", self.size_bytes, self._after, after)
        return Damage(self.address, self.size_bytes, tuple(found))

    def free(self) -> None:
        """Give the block back."""
        self._resource.deallocate(self.block)
        self._is_owner = False

    def reallocate(self, size_bytes: int) -> GuardedBlock:
        """Give the block back for one of another size with the same first bytes."""
        zone = len(self._before)
        block = self._resource.reallocate(self.block, self._front_bytes + size_bytes + zone)
        self._is_owner = False
        return GuardedBlock(
            self._resource,
            block,
            size_bytes=size_bytes,
            front_bytes=self._front_bytes,
            zone_bytes=zone,
            quarantine=self._quarantine,
        )

    def quarantine(self, damage: Damage) -> bytes | None:
        """Put the block where nobody gets it from, and return its bytes as they are, if they may be read."""
        readable = Permissions.READ in self.block.permissions
        salvaged = self.read(0, self.size_bytes) if readable else None
        self._quarantine.hold(self.block, damage)
        self._is_owner = False
        return salvaged

    def _require_inside(self, access: str, offset_bytes: int, size_bytes: int) -> None:
        if offset_bytes < 0 or size_bytes < 0 or offset_bytes + size_bytes > self.size_bytes:
            raise OutOfBounds(
                access=access, offset_bytes=offset_bytes, size_bytes=size_bytes, block_bytes=self.size_bytes
            )

    def _digest_now(self) -> bytes:
        with self.block.view() as whole, whole[self._front_bytes :][: self.size_bytes] as bytes_now:
            return hashlib.blake2b(bytes_now, digest_size=_DIGEST_BYTES, key=secret_key()).digest()


@lru_cache(maxsize=256)  # to make one takes 20 microseconds, and ctypes keeps it only while it is in use
def _byte_array_type(size_bytes: int) -> Any:
    return ctypes.c_ubyte * size_bytes
