"""Canaries: bytes beside a block that nobody may write, so that who does is found out.

The canary at an address is a function of the address and of a secret of the process, so nothing is stored to
compare with that a stray write could hit as well, and a red zone that was copied over another one is damage, too.
Each aligned word of eight bytes is the secret xor its address, and then every zero byte becomes `STAND_IN`: so
what overflows most often, the end of a text or a zeroed array, is found for certain.

What may go unnoticed, k being the number of bytes of the zone that an overwrite touches:

- k bytes drawn at random, each value as likely as the other: ``2**(-8 * k)``, at whatever address.
- k bytes of one aligned word that do not depend on the secret, such as text or numbers: at most
  ``2**(-7 * k)`` over the choice of the secret. More words add nothing to this bound, since one secret is in
  all of them; a word of its own for each address would take a hash per word.
- An overwrite that jumps over the zone, or puts the same bytes back: always.

Against whoever can read the process's memory it is no protection at all.

Source: Cowan et al., StackGuard: Automatic Adaptive Detection and Prevention of Buffer-Overflow Attacks, USENIX
Security 1998 (the random xor canary and the terminator canary, of which this is the sum).
"""

from __future__ import annotations

import os
import struct

#: What a zero byte of a canary is replaced by.
STAND_IN = 0xA5

_WORD_BYTES = 8
_SECRET = int.from_bytes(os.urandom(_WORD_BYTES), "little")  # a forked child has its parent's: so its blocks check
_WITHOUT_ZERO = bytes([STAND_IN, *range(1, 256)])


def canary(address: int, size_bytes: int) -> bytes:
    """Return the bytes that belong at [address, address + size_bytes).

    Examples
    --------
    >>> zone = canary(0x1003, 16)
    >>> len(zone), 0 in zone
    (16, False)
    >>> zone[5:7] == canary(0x1008, 2)
    True
    >>> zone == canary(0x2003, 16)
    False
    """
    first = address - address % _WORD_BYTES
    count = -(-(address + size_bytes - first) // _WORD_BYTES)
    words = struct.pack(f"<{count}Q", *[_SECRET ^ (first + i * _WORD_BYTES) for i in range(count)])
    return words[address - first : address - first + size_bytes].translate(_WITHOUT_ZERO)


def secret_key() -> bytes:
    """Return the secret as a key for checksums: what is sealed cannot be forged by accident either."""
    return _SECRET.to_bytes(_WORD_BYTES, "little")
