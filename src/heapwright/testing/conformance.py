"""Conformance: the contract of a memory resource as clauses that can be checked, and a check of all of them.

A clause is a sentence and a program that looks for a counter-example. The programs use nothing but the protocol, and of
a block its four fields and `view()`; so they check any implementation of `Resource`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heapwright.testing import adaptor_clauses, clauses
from heapwright.testing.client import Nonconformance, Subject
from heapwright.testing.plain import PlainResource


@dataclass(frozen=True)
class Clause:
    """One sentence of the contract; calling it looks for a counter-example.

    Examples
    --------
    >>> CLAUSES[0].name, CLAUSES[0].statement
    ('serves_requests', 'A block has the size and alignment that were asked for, is owned, overlaps no other, ...')
    >>> CLAUSES[0](PlainResource)
    """

    name: str
    statement: str
    check: Callable[[Subject], None]

    def __call__(
        self,
        factory: Callable[..., Any],
        *,
        room_bytes: int = 32 << 10,
        limit_bytes: int | None = None,
        examples: int = 25,
    ) -> None:
        """Check it; parameters as of `conformance`, or for a clause about adaptors of `adaptor_conformance`.

        Raises
        ------
        Nonconformance
            With the counter-example.
        """
        try:
            self.check(Subject(factory, room_bytes, limit_bytes, examples))
        except ImportError:
            raise  # a missing tool is no counter-example
        except Exception as error:
            detail = error.detail if isinstance(error, Nonconformance) else f"{type(error).__name__}: {error}"
            refutation = Nonconformance(detail, self.name, self.statement)
            for note in getattr(error, "__notes__", ()):  # the random program, made small
                refutation.add_note(note)
            raise refutation from error

    def __str__(self) -> str:
        return self.name


def _random_programs(subject: Subject) -> None:
    """Any program of allocations, reallocations, frees, drops and mistakes gets right answers."""
    try:
        from heapwright.testing import random_programs  # needs hypothesis, which nothing else here does
    except ModuleNotFoundError as error:
        raise ImportError(
            "random programs are made by hypothesis, which is not installed. Install heapwright[test]"
        ) from error
    random_programs.run(subject)


def _clause(check: Callable[[Subject], None]) -> Clause:
    return Clause(check.__name__.strip("_"), (check.__doc__ or "").strip(), check)


#: What holds for every memory resource; each is called with what makes one.
CLAUSES = tuple(_clause(check) for check in (*clauses.CLAUSES, _random_programs))

#: What holds for adaptors besides; each is called with what makes one over an upstream.
ADAPTOR_CLAUSES = tuple(_clause(check) for check in adaptor_clauses.ADAPTOR_CLAUSES)


def conformance(
    factory: Callable[[], Any], *, room_bytes: int = 32 << 10, limit_bytes: int | None = None, examples: int = 25
) -> None:
    """Check that a memory resource keeps the contract: all of `CLAUSES`.

    Parameters
    ----------
    factory
        Makes a fresh, empty resource; called often.
    room_bytes
        Requested bytes that certainly fit into it at one time, in blocks of any size.
    limit_bytes
        Requested bytes that may never be exceeded, where that is promised. Then all of them must be available.
    examples
        Random programs to try.

    Raises
    ------
    Nonconformance
        With the clause that is broken, and the counter-example.

    Examples
    --------
    >>> conformance(PlainResource, examples=5)

    As tests of pytest, one for each clause::

        @pytest.mark.parametrize("clause", heapwright.testing.CLAUSES, ids=str)
        def test_my_resource(clause):
            clause(MyResource)
    """
    for clause in CLAUSES:
        clause(factory, room_bytes=room_bytes, limit_bytes=limit_bytes, examples=examples)


def adaptor_conformance(
    factory: Callable[[Any], Any], *, room_bytes: int = 32 << 10, limit_bytes: int | None = None, examples: int = 25
) -> None:
    """Check that an adaptor keeps the contract, and what it owes its upstream: all of `CLAUSES` and `ADAPTOR_CLAUSES`.

    Parameters
    ----------
    factory
        Makes the adaptor over the upstream that it is called with.
    room_bytes, limit_bytes, examples
        As of `conformance`.

    Raises
    ------
    Nonconformance
        With the clause that is broken, and the counter-example.

    Examples
    --------
    >>> import heapwright as hw
    >>> adaptor_conformance(lambda upstream: hw.Limiting(upstream, "64KiB"), limit_bytes=64 << 10, examples=5)
    """
    for clause in ADAPTOR_CLAUSES:
        clause(factory, room_bytes=room_bytes, limit_bytes=limit_bytes)
    conformance(lambda: factory(PlainResource()), room_bytes=room_bytes, limit_bytes=limit_bytes, examples=examples)
