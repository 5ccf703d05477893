"""Sharing: what processes that own one memory together count, whoever of them is killed at whatever place.

The C that ships runs over a kernel of a few lines (`harness/sharing.c`): every short history of three processes is
tried, and in it every place at which one can be killed.
"""

from __future__ import annotations

from heapwright.prove.every_case import every_case
from heapwright.prove.faults import Fault
from heapwright.prove.shipped import Patch
from heapwright.prove.theorem import Grade, Scope, Subject, Theorem


def _planted(old: str, new: str) -> Patch:
    return Patch("heap/shared_segment.c", old, new)


_FAULTS = (
    Fault(
        "dead-not-revoked",
        "the count of a process that was killed stays",
        _planted(
            "        hw_owner_set(self->table, row, 0);\n        hw_memory_file_unlock", "        hw_memory_file_unlock"
        ),
        "D1",
    ),
    Fault(
        "children-keep-the-lock",
        "what keeps a process's row locked is inherited by its children",
        _planted("hw_memory_file_hold(file, inherited, hold);", "hw_memory_file_hold(file, true, hold);"),
    ),
    Fault(
        "child-counts-in-its-parents-row",
        "a forked child goes on with the row of its parent",
        _planted("    self->row = self->hold != NULL ? self->child_row : HW_OWNER_NONE;\n", ""),
    ),
    Fault(
        "weak-brings-back",
        "an upgrade does not look whether there is an owner",
        _planted("    error = review(self);\n    if (error == 0) error = make", "    review(self);\n    error = make"),
        "D2",
    ),
    Fault(
        "ends-with-one-left",
        "the memory ends when there is one owner left",
        _planted("if (hw_owner_sum(self->table) != 0) return;", "if (hw_owner_sum(self->table) > 1) return;"),
    ),
    Fault(
        "parent-keeps-its-childs-row",
        "after a fork the parent goes on to hold what it made for the child",
        _planted("    if (self->child_hold != NULL) hw_memory_file_let_go(self->child_hold);\n", ""),
    ),
    Fault(
        "received-and-not-counted",
        "what is received by a process that owns already is not added",
        _planted("        self->owners += owners;\n", ""),
    ),
    Fault(
        "marked-before-it-is-given-back",
        "the memory is marked as ended first and given back then: who is killed in between leaves it for ever",
        _planted(
            "    size_t offset_bytes = hw_owner_data_offset(self->about_bytes);\n"
            "    if (hw_owner_sum(self->table) != 0) return;\n",
            "    size_t offset_bytes = hw_owner_data_offset(self->about_bytes);\n"
            "    if (hw_owner_sum(self->table) != 0) return;\n"
            "    HW_STORE(&self->table->ended, 1, memory_order_relaxed);\n",
        ),
    ),
    Fault(
        "child-locks-as-its-parent",
        "a forked child locks the table as its parent: the lock outlives a parent that is killed while it has it",
        _planted(
            "    if (hw_memory_file_reopen(inherited, &self->file) != 0) self->file = -1;\n"
            "    hw_memory_file_close(inherited);\n",
            "    (void)inherited;\n",
        ),
    ),
)

THEOREMS = (
    Theorem(
        name="owners-processes",
        subject=Subject.CODE,
        method="exhaustive",
        grade=Grade.PROVED_TO,
        statement="Whoever is killed at whatever place, the owners are those of the living and of the messages under "
        "way; the memory is there exactly as long as there are any, and never again; and nobody waits for the dead.",
        formula="Σ live rows = Σ owners(p), p alive, + #messages;   data ⇔ Σ > 0;   upgrade ≠ ⊥ ⇔ Σ > 0",
        scope=Scope(
            "every history of at most {n} steps of three processes that own, drop, send, receive, fork, look and are "
            "killed, at each call of the kernel and after each store",
            4,
            5,
        ),
        assumptions=(
            "steps of different processes come one after another: where one decides by what another does, the lock of "
            "the table makes that so",
            "the kernel unlocks an open file with the last reference to it, as it does in the kill test",
        ),
        mutants=tuple(fault.mutant for fault in _FAULTS),
        check=every_case("sharing.c", "owner_rows.h", "owners", _FAULTS, "worlds"),
    ),
)
