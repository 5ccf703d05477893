"""The coalescing heap without a bound: any capacity, any number of blocks, any sequence of operations (z3).

A heap of N granules is five functions of a granule 1..N:

    S(k)  a block starts at k           Z(k)  its size          F(i)  boundary tag: size of the block that ends at i
    U(k)  it is live                    O(i)  ghost: the start of the block that owns granule i

Every clause of the invariant speaks of a block and its successor only. So each operation is one step of first-order
logic, with no induction over lists; "for ever" is the induction over operations, whose cases the conditions are.

The one hint: ``MENTION(O(a - 1))`` puts the left neighbour's owner in front of the pattern matcher. Written as an
equation it is eliminated before it gets there, and eight conditions of `deallocate` stay open.

Source of the algorithm: Knuth, The Art of Computer Programming 1, 2.5 (boundary tags).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from heapwright.prove.smt import Condition, load_z3


class _Granules:
    """The five functions at one moment."""

    def __init__(self, z3: Any, moment: str) -> None:
        number, truth = z3.IntSort(), z3.BoolSort()
        self.S = z3.Function(f"S{moment}", number, truth)
        self.U = z3.Function(f"U{moment}", number, truth)
        self.Z = z3.Function(f"Z{moment}", number, number)
        self.F = z3.Function(f"F{moment}", number, number)
        self.O = z3.Function(f"O{moment}", number, number)


@dataclass(frozen=True)
class _Update:
    """What an operation does to one function: the first case whose guard holds, else as before."""

    guard: Any
    value: Any


class Theory:
    """Invariant, operations and conditions; one planted fault, or none.

    Parameters
    ----------
    fault
        Name of the mutant, or None.
    capacity
        None: quantifiers stay, N is any number. Else they are expanded for 1 <= N <= capacity.
    """

    def __init__(self, fault: str | None = None, capacity: int | None = None) -> None:
        z3 = self.z3 = load_z3()
        self.fault = fault
        self.capacity = capacity
        self.last = z3.Int("N")
        self.before, self.after = _Granules(z3, ""), _Granules(z3, "'")
        self.i, self.j, self.k = z3.Ints("i j k")
        self.b, self.p, self.g, self.front, self.rest = z3.Ints("b p g front rest")  # allocate
        self.a, self.low, self.size, self.right = z3.Ints("a low size right")  # deallocate
        self.x, self.y = z3.Ints("x y")
        self.mention = z3.Function("mention", z3.IntSort(), z3.BoolSort())

    # ---- the language

    def every(self, variables: Sequence[Any], body: Any, *pattern: Any) -> Any:
        """Return the quantified formula, or its expansion."""
        z3 = self.z3
        if self.capacity is None:
            patterns = [pattern[0] if len(pattern) == 1 else z3.MultiPattern(*pattern)]
            return z3.ForAll(list(variables), body, patterns=patterns)
        instances = [body]
        for variable in variables:
            numbers = [z3.IntVal(n) for n in range(self.capacity + 2)]
            instances = [z3.substitute(instance, (variable, n)) for instance in instances for n in numbers]
        return z3.And(instances)

    def becomes(self, new: Any, old: Any, *updates: _Update) -> Any:
        """Say that one function is another but for some updates."""
        value = old(self.i)
        for update in reversed(updates):
            value = self.z3.If(update.guard, update.value, value)
        return self.every([self.i], new(self.i) == value, new(self.i))

    def limits(self) -> list[Any]:
        """Return what keeps counterexamples inside the expansion."""
        assert self.capacity is not None
        z3, numbers = self.z3, range(self.capacity + 2)
        free = [self.a, self.b, self.p, self.low, self.x, self.y, self.k]
        inside = [z3.And(v >= 0, v <= self.capacity + 1) for v in free]
        owners = [z3.And(h.O(n) >= 0, h.O(n) <= self.capacity + 1) for h in (self.before, self.after) for n in numbers]
        return [self.last >= 1, self.last <= self.capacity, *inside, *owners]

    # ---- the invariant

    def invariant(self, heap: _Granules) -> dict[str, Any]:
        """Return the clauses by name. The fault ``without-NAME-NAME`` leaves some out."""
        z3, last, (i, j, k) = self.z3, self.last, (self.i, self.j, self.k)
        S, U, Z, F, O = heap.S, heap.U, heap.Z, heap.F, heap.O  # noqa: E741, N806
        clauses = {
            "range": self.every([k], z3.Implies(S(k), z3.And(k >= 1, Z(k) >= 1, k + Z(k) <= last + 1)), S(k)),
            "first": S(1),
            "next": self.every([k], z3.Implies(z3.And(S(k), k + Z(k) <= last), S(k + Z(k))), S(k), Z(k)),
            "gap": self.every([k, j], z3.Implies(z3.And(S(k), S(j), k < j), k + Z(k) <= j), S(k), S(j)),
            "coalesced": self.every(
                [k], z3.Implies(z3.And(S(k), z3.Not(U(k)), k + Z(k) <= last), U(k + Z(k))), S(k), U(k)
            ),
            "tags": self.every([k], z3.Implies(S(k), F(k + Z(k) - 1) == Z(k)), S(k), Z(k)),
            "owner": self.every(
                [i],
                z3.Implies(z3.And(i >= 1, i <= last), z3.And(S(O(i)), O(i) <= i, i < O(i) + Z(O(i)))),
                O(i),
            ),
        }
        left_out = self.fault.split("-")[1:] if self.fault is not None and self.fault.startswith("without-") else []
        return {name: clause for name, clause in clauses.items() if name not in left_out}

    # ---- the operations

    def opens(self) -> Any:
        """One hole over everything."""
        z3, heap = self.z3, self.before
        return z3.And(
            self.last >= 1,
            self.every([self.i], heap.S(self.i) == (self.i == 1), heap.S(self.i)),
            self.every([self.i], z3.Not(heap.U(self.i)), heap.U(self.i)),
            heap.Z(1) == self.last,
            heap.F(self.last) == self.last,
            self.every([self.i], heap.O(self.i) == 1, heap.O(self.i)),
        )

    def allocates(self) -> Any:
        """A hole b gives g granules at p to a block; `front` granules before and `rest` behind stay a hole each."""
        z3, i, old, new = self.z3, self.i, self.before, self.after
        b, p, g, front, rest = self.b, self.p, self.g, self.front, self.rest
        true, false = z3.BoolVal(True), z3.BoolVal(False)
        least_rest = -1 if self.fault == "fit-off-by-one" else 0
        end = p + g - 1 if self.fault == "split-off-by-one" else p + g
        has_front, has_rest = z3.And(front > 0, i == b), z3.And(rest > 0, i == end)
        step = [old.S(b), g >= 1, front >= 0, p == b + front, rest == old.Z(b) - front - g, rest >= least_rest]
        if self.fault != "takes-live-block":
            step.append(z3.Not(old.U(b)))
        starts = z3.Or(i == p, has_front) if self.fault == "rest-lost" else z3.Or(i == p, has_front, has_rest)
        tags = [_Update(i == p + g - 1, g), _Update(z3.And(rest > 0, i == b + old.Z(b) - 1), rest)]
        if self.fault != "front-tag-stale":
            tags.insert(1, _Update(z3.And(front > 0, i == p - 1), front))
        live = _Update(i == p, z3.BoolVal(self.fault != "forgets-the-block"))
        return z3.And(
            *step,
            self.becomes(new.S, old.S, _Update(starts, true)),
            self.becomes(
                new.U,
                old.U,
                live,
                _Update(has_front, false),
                _Update(has_rest, z3.BoolVal(self.fault == "rest-marked-live")),
            ),
            self.becomes(new.Z, old.Z, _Update(i == p, g), _Update(has_front, front), _Update(has_rest, rest)),
            self.becomes(new.F, old.F, *tags),
            self.becomes(
                new.O,
                old.O,
                _Update(z3.And(b <= i, i < p), b),
                _Update(z3.And(p <= i, i < p + g), p),
                _Update(z3.And(p + g <= i, i < b + old.Z(b)), p + g),
            ),
        )

    def deallocates(self) -> Any:
        """The live block a becomes a hole, merged with a hole on either side; the left one is found by its tag."""
        z3, i, last, old, new = self.z3, self.i, self.last, self.before, self.after
        a, low, size, right = self.a, self.low, self.size, self.right
        left_size = old.F(a - 1)
        join_left = z3.And(a > 1, z3.Not(old.U(a - left_size)))
        join_right = z3.And(right <= last, z3.Not(old.U(right)))
        if self.fault == "left-not-coalesced":
            join_left = z3.BoolVal(False)
        if self.fault == "right-not-coalesced":
            join_right = z3.BoolVal(False)
        if self.fault == "live-left-coalesced":
            join_left = a > 1
        if self.fault == "live-right-coalesced":
            join_right = right <= last
        valid = z3.And(old.S(a), old.U(a))
        if self.fault == "not-validated":
            valid = z3.And(a >= 1, a <= last)
        tags = [] if self.fault == "tag-stale" else [_Update(i == low + size - 1, size)]
        return z3.And(
            valid,
            right == a + old.Z(a),
            low == z3.If(join_left, a - left_size, a),
            size == old.Z(a) + z3.If(join_left, left_size, 0) + z3.If(join_right, old.Z(right), 0),
            self.mention(old.O(a - 1)),
            self.becomes(new.S, old.S, _Update(z3.And(low < i, i < low + size), z3.BoolVal(False))),
            self.becomes(new.U, old.U, _Update(i == low, z3.BoolVal(self.fault == "freed-stays-live"))),
            self.becomes(new.Z, old.Z, _Update(i == low, size)),
            self.becomes(new.F, old.F, *tags),
            self.becomes(new.O, old.O, _Update(z3.And(low <= i, i < low + size), low)),
        )

    # ---- the conditions

    def steps(self) -> list[tuple[str, Any]]:
        """Return the two operations by name."""
        return [("allocate", self.allocates()), ("deallocate", self.deallocates())]

    def known(self) -> list[Any]:
        """Return what holds before each operation."""
        return [*self.invariant(self.before).values(), self.last >= 1]

    def inductive(self) -> Iterator[Condition]:
        """Yield: the invariant holds at the start, and every operation keeps it."""
        for name, clause in self.invariant(self.before).items():
            yield Condition(f"opening establishes {name!r}", [self.opens()], clause)
        for operation, step in self.steps():
            for name, clause in self.invariant(self.after).items():
                yield Condition(f"{operation} keeps {name!r}", [*self.known(), step], clause)

    def disjoint(self) -> Iterator[Condition]:
        """Yield: two blocks have no granule in common, and lie inside."""
        z3, heap, x, y = self.z3, self.before, self.x, self.y
        apart = z3.Or(x + heap.Z(x) <= y, y + heap.Z(y) <= x)
        if self.fault == "never-touching":
            apart = z3.Or(x + heap.Z(x) < y, y + heap.Z(y) < x)
        yield Condition("blocks are disjoint", self.known(), z3.Implies(z3.And(heap.S(x), heap.S(y), x != y), apart))
        inside = z3.And(x >= 1, x + heap.Z(x) <= self.last + 1)
        yield Condition("blocks lie inside", self.known(), z3.Implies(heap.S(x), inside))

    def conserved(self) -> Iterator[Condition]:
        """Yield: every granule has exactly one owner, so live and free granules add up to N."""
        z3, heap, x, y = self.z3, self.before, self.x, self.y
        inside = z3.And(x >= 1, x <= self.last)
        owned = z3.And(heap.S(heap.O(x)), heap.O(x) <= x, x < heap.O(x) + heap.Z(heap.O(x)))
        if self.fault == "live-alone":
            owned = z3.And(owned, heap.U(heap.O(x)))
        yield Condition("no granule is lost", self.known(), z3.Implies(inside, owned))
        holds = z3.And(heap.S(y), y <= x, x < y + heap.Z(y), inside)
        yield Condition("no granule has two owners", self.known(), z3.Implies(holds, heap.O(x) == y))

    def framed(self) -> Iterator[Condition]:
        """Yield: every other live block stays as it is."""
        z3, old, new, x = self.z3, self.before, self.after, self.x
        for operation, step in self.steps():
            other = z3.And(old.S(x), old.U(x), z3.BoolVal(True) if operation == "allocate" else x != self.a)
            same = z3.And(new.S(x), new.U(x), new.Z(x) == old.Z(x))
            yield Condition(f"{operation} leaves other blocks alone", [*self.known(), step], z3.Implies(other, same))

    def exact(self) -> Iterator[Condition]:
        """Yield: the set of live blocks changes by exactly the one that is handed out, or taken back."""
        z3, old, new, x = self.z3, self.before, self.after, self.x
        was, now = z3.And(old.S(x), old.U(x)), z3.And(new.S(x), new.U(x))
        expected = {"allocate": z3.Or(was, x == self.p), "deallocate": z3.And(was, x != self.a)}
        for operation, step in self.steps():
            yield Condition(f"{operation} changes one block", [*self.known(), step], now == expected[operation])

    def complete(self) -> Iterator[Condition]:
        """Yield: the walk from hole to hole ends, and says bottom only if no hole fits."""
        z3, heap, last, (j, k, x) = self.z3, self.before, self.last, (self.j, self.k, self.x)
        stride = heap.Z(k) + 1 if self.fault == "walk-skips" else heap.Z(k)

        def is_hole_that_fits(start: Any) -> Any:
            room = heap.Z(start) > self.g if self.fault == "exact-fit-refused" else heap.Z(start) >= self.g
            if self.fault == "holes-at-the-end-refused":
                room = z3.And(room, start + heap.Z(start) <= last)
            return z3.And(heap.S(start), z3.Not(heap.U(start)), room)

        def none_before(end: Any) -> Any:
            fits = z3.And(heap.S(j), z3.Not(heap.U(j)), heap.Z(j) >= self.g)
            return self.every([j], z3.Implies(z3.And(heap.S(j), j < end), z3.Not(fits)), heap.S(j))

        here = [*self.known(), heap.S(k)]
        passed = [none_before(k), z3.Not(is_hole_that_fits(k))]
        yield Condition("what was passed does not fit", [*here, *passed], none_before(k + stride))
        yield Condition("the walk stays on blocks", here, z3.Or(heap.S(k + stride), k + stride == last + 1))
        yield Condition("the walk advances and ends", here, z3.And(k + stride > k, k + stride <= last + 1))
        hole = z3.And(heap.S(x), z3.Not(heap.U(x)))
        yield Condition(
            "at the end, no hole fits", [*self.known(), none_before(last + 1)], z3.Implies(hole, heap.Z(x) < self.g)
        )

    def satisfiable(self) -> Iterator[Condition]:
        """Yield conditions that must fail: else the hypotheses contradict each other, and everything follows."""
        for operation, step in self.steps():
            yield Condition(f"{operation} is possible", [*self.known(), step], self.z3.BoolVal(False))

    # ---- counterexamples

    def show(self, model: Any) -> str:
        """Return the heap before and after, as `Heap.draw` writes heaps: live blocks in brackets."""
        after = self._draw(self.after, model)
        return self._draw(self.before, model) + (f" -> {after}" if after else "")

    def _draw(self, heap: _Granules, model: Any) -> str:
        z3, parts = self.z3, []
        for start in range(1, model.eval(self.last).as_long() + 1):
            if z3.is_true(model.eval(heap.S(start), True)):
                size = model.eval(heap.Z(start), True)
                parts.append(f"[{size}]" if z3.is_true(model.eval(heap.U(start), True)) else f"{size}")
        return " ".join(parts)
