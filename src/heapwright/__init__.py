"""heapwright: memory management for Python programs.

    managed memory = Space (where) x Strategy (which) x Owner (how long) x Access (how seen),
                     observed, and proved

Names load on first use (PEP 562), so ``import heapwright`` costs next to nothing: it also happens at the
start of every process under ``heapwright run``.
"""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False  # importing typing (10 ms) would cost more than everything else here; checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from heapwright import adapters as adapters
    from heapwright import model as model
    from heapwright import prove as prove
    from heapwright import testing as testing
    from heapwright._native import (
        Account as Account,
    )
    from heapwright._native import (
        Block as Block,
    )
    from heapwright._native import (
        Buffer as Buffer,
    )
    from heapwright._native import (
        Shared as Shared,
    )
    from heapwright._native import (
        Weak as Weak,
    )
    from heapwright._native import (
        WeakRecord as WeakRecord,
    )
    from heapwright.gc.collectors import (
        Collector as Collector,
    )
    from heapwright.gc.collectors import (
        Concurrent as Concurrent,
    )
    from heapwright.gc.collectors import (
        Generational as Generational,
    )
    from heapwright.gc.collectors import (
        Incremental as Incremental,
    )
    from heapwright.gc.collectors import (
        MarkSweep as MarkSweep,
    )
    from heapwright.gc.compacted import (
        Compacted as Compacted,
    )
    from heapwright.gc.heap import (
        RecordHeap as RecordHeap,
    )
    from heapwright.gc.record import (
        record as record,
    )
    from heapwright.gc.record import (
        record_bytes as record_bytes,
    )
    from heapwright.gc.snapshot import (
        RecordSnapshot as RecordSnapshot,
    )
    from heapwright.gc.statistics import (
        RecordStatistics as RecordStatistics,
    )
    from heapwright.gc.types import (
        Fixed as Fixed,
    )
    from heapwright.gc.types import (
        Ref as Ref,
    )
    from heapwright.gc.types import (
        Refs as Refs,
    )
    from heapwright.gc.types import (
        WeakRef as WeakRef,
    )
    from heapwright.gc.types import (
        blob as blob,
    )
    from heapwright.gc.types import (
        f32 as f32,
    )
    from heapwright.gc.types import (
        f64 as f64,
    )
    from heapwright.gc.types import (
        i8 as i8,
    )
    from heapwright.gc.types import (
        i16 as i16,
    )
    from heapwright.gc.types import (
        i32 as i32,
    )
    from heapwright.gc.types import (
        i64 as i64,
    )
    from heapwright.gc.types import (
        text as text,
    )
    from heapwright.gc.types import (
        u8 as u8,
    )
    from heapwright.gc.types import (
        u16 as u16,
    )
    from heapwright.gc.types import (
        u32 as u32,
    )
    from heapwright.gc.types import (
        u64 as u64,
    )
    from heapwright.heaps.adaptor import (
        Adaptor as Adaptor,
    )
    from heapwright.heaps.aligned import (
        Aligned as Aligned,
    )
    from heapwright.heaps.arena import (
        Arena as Arena,
    )
    from heapwright.heaps.arena import (
        ArenaClosed as ArenaClosed,
    )
    from heapwright.heaps.arena import (
        ViewsEscaped as ViewsEscaped,
    )
    from heapwright.heaps.branching import (
        BranchStatistics as BranchStatistics,
    )
    from heapwright.heaps.builder import (
        HeapBuilder as HeapBuilder,
    )
    from heapwright.heaps.builder import (
        InvalidConfiguration as InvalidConfiguration,
    )
    from heapwright.heaps.failure_callback import (
        FailureCallback as FailureCallback,
    )
    from heapwright.heaps.fallback import (
        Fallback as Fallback,
    )
    from heapwright.heaps.heap import (
        Heap as Heap,
    )
    from heapwright.heaps.limiting import (
        Limiting as Limiting,
    )
    from heapwright.heaps.limiting import (
        LimitingStatistics as LimitingStatistics,
    )
    from heapwright.heaps.logging import (
        LogEvent as LogEvent,
    )
    from heapwright.heaps.logging import (
        Logging as Logging,
    )
    from heapwright.heaps.logging import (
        read_log as read_log,
    )
    from heapwright.heaps.mark import (
        Mark as Mark,
    )
    from heapwright.heaps.observing import (
        Observing as Observing,
    )
    from heapwright.heaps.segregator import (
        Segregator as Segregator,
    )
    from heapwright.heaps.statistics import (
        Statistics as Statistics,
    )
    from heapwright.heaps.thread_safe import (
        ThreadSafe as ThreadSafe,
    )
    from heapwright.heaps.tracking import (
        Outstanding as Outstanding,
    )
    from heapwright.heaps.tracking import (
        Tracking as Tracking,
    )
    from heapwright.model.block import (
        BlockSeen as BlockSeen,
    )
    from heapwright.model.errors import (
        BlockFreed as BlockFreed,
    )
    from heapwright.model.errors import (
        BlockLeased as BlockLeased,
    )
    from heapwright.model.errors import (
        CorruptedHeap as CorruptedHeap,
    )
    from heapwright.model.errors import (
        HandleNotYours as HandleNotYours,
    )
    from heapwright.model.errors import (
        HandleReleased as HandleReleased,
    )
    from heapwright.model.errors import (
        HeapwrightError as HeapwrightError,
    )
    from heapwright.model.errors import (
        InstallRefused as InstallRefused,
    )
    from heapwright.model.errors import (
        InvalidAlignment as InvalidAlignment,
    )
    from heapwright.model.errors import (
        InvalidFree as InvalidFree,
    )
    from heapwright.model.errors import (
        InvalidHandle as InvalidHandle,
    )
    from heapwright.model.errors import (
        InvalidMark as InvalidMark,
    )
    from heapwright.model.errors import (
        InvalidSize as InvalidSize,
    )
    from heapwright.model.errors import (
        InvalidTransition as InvalidTransition,
    )
    from heapwright.model.errors import (
        LargerThanBlock as LargerThanBlock,
    )
    from heapwright.model.errors import (
        LimitExceeded as LimitExceeded,
    )
    from heapwright.model.errors import (
        MemoryLockRefused as MemoryLockRefused,
    )
    from heapwright.model.errors import (
        OutOfBounds as OutOfBounds,
    )
    from heapwright.model.errors import (
        OutOfMemory as OutOfMemory,
    )
    from heapwright.model.errors import (
        PermissionDenied as PermissionDenied,
    )
    from heapwright.model.errors import (
        PoolExhausted as PoolExhausted,
    )
    from heapwright.model.errors import (
        ReentrantCall as ReentrantCall,
    )
    from heapwright.model.errors import (
        SpaceInUse as SpaceInUse,
    )
    from heapwright.model.errors import (
        SystemCallFailed as SystemCallFailed,
    )
    from heapwright.model.errors import (
        TooManyMarks as TooManyMarks,
    )
    from heapwright.model.errors import (
        TooManyOwners as TooManyOwners,
    )
    from heapwright.model.errors import (
        UnsuitableResource as UnsuitableResource,
    )
    from heapwright.model.errors import (
        UnsuitableUpstream as UnsuitableUpstream,
    )
    from heapwright.model.errors import (
        UnsupportedByStrategy as UnsupportedByStrategy,
    )
    from heapwright.model.errors import (
        ViewExported as ViewExported,
    )
    from heapwright.model.lifecycle import (
        State as State,
    )
    from heapwright.model.record_errors import (
        ForeignRecord as ForeignRecord,
    )
    from heapwright.model.record_errors import (
        InvalidRecord as InvalidRecord,
    )
    from heapwright.model.record_errors import (
        RecordHeapFull as RecordHeapFull,
    )
    from heapwright.model.record_errors import (
        ValueOutOfRange as ValueOutOfRange,
    )
    from heapwright.model.record_errors import (
        WrongRecord as WrongRecord,
    )
    from heapwright.model.sizes import (
        format_size as format_size,
    )
    from heapwright.model.sizes import (
        parse_size as parse_size,
    )
    from heapwright.model.space import (
        Permissions as Permissions,
    )
    from heapwright.model.statistics import (
        ArenaStatistics as ArenaStatistics,
    )
    from heapwright.model.statistics import (
        CountedStatistics as CountedStatistics,
    )
    from heapwright.model.statistics import (
        HeapStatistics as HeapStatistics,
    )
    from heapwright.model.statistics import (
        LayeredStatistics as LayeredStatistics,
    )
    from heapwright.model.statistics import (
        PooledStatistics as PooledStatistics,
    )
    from heapwright.model.statistics import (
        PoolStatistics as PoolStatistics,
    )
    from heapwright.observe.births import (
        Birthplace as Birthplace,
    )
    from heapwright.observe.births import (
        Watch as Watch,
    )
    from heapwright.observe.births import (
        birthplace as birthplace,
    )
    from heapwright.observe.exit_report import (
        report_leaks_at_exit as report_leaks_at_exit,
    )
    from heapwright.observe.leaks import (
        Leaked as Leaked,
    )
    from heapwright.observe.leaks import (
        Survivor as Survivor,
    )
    from heapwright.observe.leaks import (
        no_leaks as no_leaks,
    )
    from heapwright.owners.cycles import (
        Cycle as Cycle,
    )
    from heapwright.owners.cycles import (
        collect_cycles as collect_cycles,
    )
    from heapwright.owners.cycles import (
        cycles as cycles,
    )
    from heapwright.owners.damage import (
        CorruptedMemory as CorruptedMemory,
    )
    from heapwright.owners.damage import (
        Damage as Damage,
    )
    from heapwright.owners.handle import (
        SharedHandle as SharedHandle,
    )
    from heapwright.owners.handle import (
        WeakHandle as WeakHandle,
    )
    from heapwright.owners.handle import (
        share as share,
    )
    from heapwright.owners.lease import (
        BlockLease as BlockLease,
    )
    from heapwright.owners.lease import (
        lease as lease,
    )
    from heapwright.owners.lease import (
        leases as leases,
    )
    from heapwright.owners.memory import (
        Memory as Memory,
    )
    from heapwright.owners.memory import (
        is_corrupted as is_corrupted,
    )
    from heapwright.owners.node import (
        InvalidField as InvalidField,
    )
    from heapwright.owners.node import (
        node as node,
    )
    from heapwright.owners.passing import (
        receive_handle as receive_handle,
    )
    from heapwright.owners.passing import (
        send_handle as send_handle,
    )
    from heapwright.owners.quarantine import (
        Quarantine as Quarantine,
    )
    from heapwright.owners.states import (
        Allocated as Allocated,
    )
    from heapwright.owners.states import (
        Corrupted as Corrupted,
    )
    from heapwright.owners.states import (
        Freed as Freed,
    )
    from heapwright.owners.states import (
        Sealed as Sealed,
    )
    from heapwright.owners.states import (
        Unallocated as Unallocated,
    )
    from heapwright.owners.unique import (
        Unique as Unique,
    )
    from heapwright.pools.concurrent import (
        ConcurrentPool as ConcurrentPool,
    )
    from heapwright.pools.fixed import (
        FixedPool as FixedPool,
    )
    from heapwright.pools.tiered import (
        TieredPool as TieredPool,
    )
    from heapwright.pools.typed import (
        TypedBuffer as TypedBuffer,
    )
    from heapwright.pools.typed import (
        TypedPool as TypedPool,
    )
    from heapwright.spaces.anonymous import (
        AnonymousSpace as AnonymousSpace,
    )
    from heapwright.strategies.bump import (
        Bump as Bump,
    )
    from heapwright.strategies.constant_time import (
        TLSF as TLSF,
    )
    from heapwright.strategies.constant_time import (
        Buddy as Buddy,
    )
    from heapwright.strategies.fits import (
        BestFit as BestFit,
    )
    from heapwright.strategies.fits import (
        FirstFit as FirstFit,
    )
    from heapwright.strategies.fits import (
        NextFit as NextFit,
    )
    from heapwright.strategies.fits import (
        WorstFit as WorstFit,
    )
    from heapwright.strategies.slab import (
        Slab as Slab,
    )

__version__ = "0.1.0"

#: public name -> the module that defines it
_HOME: dict[str, str] = {
    "Account": "heapwright._native",
    "Adaptor": "heapwright.heaps.adaptor",
    "Aligned": "heapwright.heaps.aligned",
    "Allocated": "heapwright.owners.states",
    "AnonymousSpace": "heapwright.spaces.anonymous",
    "Arena": "heapwright.heaps.arena",
    "ArenaClosed": "heapwright.heaps.arena",
    "ArenaStatistics": "heapwright.model.statistics",
    "BestFit": "heapwright.strategies.fits",
    "Birthplace": "heapwright.observe.births",
    "Block": "heapwright._native",
    "BlockFreed": "heapwright.model.errors",
    "BlockLease": "heapwright.owners.lease",
    "BlockLeased": "heapwright.model.errors",
    "BlockSeen": "heapwright.model.block",
    "BranchStatistics": "heapwright.heaps.branching",
    "Buddy": "heapwright.strategies.constant_time",
    "Buffer": "heapwright._native",
    "Bump": "heapwright.strategies.bump",
    "Collector": "heapwright.gc.collectors",
    "Compacted": "heapwright.gc.compacted",
    "Concurrent": "heapwright.gc.collectors",
    "ConcurrentPool": "heapwright.pools.concurrent",
    "Corrupted": "heapwright.owners.states",
    "CorruptedHeap": "heapwright.model.errors",
    "CorruptedMemory": "heapwright.owners.damage",
    "CountedStatistics": "heapwright.model.statistics",
    "Cycle": "heapwright.owners.cycles",
    "Damage": "heapwright.owners.damage",
    "FailureCallback": "heapwright.heaps.failure_callback",
    "Fallback": "heapwright.heaps.fallback",
    "FirstFit": "heapwright.strategies.fits",
    "Fixed": "heapwright.gc.types",
    "FixedPool": "heapwright.pools.fixed",
    "ForeignRecord": "heapwright.model.record_errors",
    "Freed": "heapwright.owners.states",
    "Generational": "heapwright.gc.collectors",
    "HandleNotYours": "heapwright.model.errors",
    "HandleReleased": "heapwright.model.errors",
    "Heap": "heapwright.heaps.heap",
    "HeapBuilder": "heapwright.heaps.builder",
    "HeapStatistics": "heapwright.model.statistics",
    "HeapwrightError": "heapwright.model.errors",
    "Incremental": "heapwright.gc.collectors",
    "InstallRefused": "heapwright.model.errors",
    "InvalidAlignment": "heapwright.model.errors",
    "InvalidConfiguration": "heapwright.heaps.builder",
    "InvalidField": "heapwright.owners.node",
    "InvalidFree": "heapwright.model.errors",
    "InvalidHandle": "heapwright.model.errors",
    "InvalidMark": "heapwright.model.errors",
    "InvalidRecord": "heapwright.model.record_errors",
    "InvalidSize": "heapwright.model.errors",
    "InvalidTransition": "heapwright.model.errors",
    "LargerThanBlock": "heapwright.model.errors",
    "LayeredStatistics": "heapwright.model.statistics",
    "Leaked": "heapwright.observe.leaks",
    "LimitExceeded": "heapwright.model.errors",
    "Limiting": "heapwright.heaps.limiting",
    "LimitingStatistics": "heapwright.heaps.limiting",
    "LogEvent": "heapwright.heaps.logging",
    "Logging": "heapwright.heaps.logging",
    "Mark": "heapwright.heaps.mark",
    "MarkSweep": "heapwright.gc.collectors",
    "Memory": "heapwright.owners.memory",
    "MemoryLockRefused": "heapwright.model.errors",
    "NextFit": "heapwright.strategies.fits",
    "Observing": "heapwright.heaps.observing",
    "OutOfBounds": "heapwright.model.errors",
    "OutOfMemory": "heapwright.model.errors",
    "Outstanding": "heapwright.heaps.tracking",
    "PermissionDenied": "heapwright.model.errors",
    "Permissions": "heapwright.model.space",
    "PoolExhausted": "heapwright.model.errors",
    "PoolStatistics": "heapwright.model.statistics",
    "PooledStatistics": "heapwright.model.statistics",
    "Quarantine": "heapwright.owners.quarantine",
    "RecordHeap": "heapwright.gc.heap",
    "RecordHeapFull": "heapwright.model.record_errors",
    "RecordSnapshot": "heapwright.gc.snapshot",
    "RecordStatistics": "heapwright.gc.statistics",
    "ReentrantCall": "heapwright.model.errors",
    "Ref": "heapwright.gc.types",
    "Refs": "heapwright.gc.types",
    "Sealed": "heapwright.owners.states",
    "Segregator": "heapwright.heaps.segregator",
    "Shared": "heapwright._native",
    "SharedHandle": "heapwright.owners.handle",
    "Slab": "heapwright.strategies.slab",
    "SpaceInUse": "heapwright.model.errors",
    "State": "heapwright.model.lifecycle",
    "Statistics": "heapwright.heaps.statistics",
    "Survivor": "heapwright.observe.leaks",
    "SystemCallFailed": "heapwright.model.errors",
    "TLSF": "heapwright.strategies.constant_time",
    "ThreadSafe": "heapwright.heaps.thread_safe",
    "TieredPool": "heapwright.pools.tiered",
    "TooManyMarks": "heapwright.model.errors",
    "TooManyOwners": "heapwright.model.errors",
    "Tracking": "heapwright.heaps.tracking",
    "TypedBuffer": "heapwright.pools.typed",
    "TypedPool": "heapwright.pools.typed",
    "Unallocated": "heapwright.owners.states",
    "Unique": "heapwright.owners.unique",
    "UnsuitableResource": "heapwright.model.errors",
    "UnsuitableUpstream": "heapwright.model.errors",
    "UnsupportedByStrategy": "heapwright.model.errors",
    "ValueOutOfRange": "heapwright.model.record_errors",
    "ViewExported": "heapwright.model.errors",
    "ViewsEscaped": "heapwright.heaps.arena",
    "Watch": "heapwright.observe.births",
    "Weak": "heapwright._native",
    "WeakHandle": "heapwright.owners.handle",
    "WeakRecord": "heapwright._native",
    "WeakRef": "heapwright.gc.types",
    "WorstFit": "heapwright.strategies.fits",
    "WrongRecord": "heapwright.model.record_errors",
    "birthplace": "heapwright.observe.births",
    "blob": "heapwright.gc.types",
    "collect_cycles": "heapwright.owners.cycles",
    "cycles": "heapwright.owners.cycles",
    "f32": "heapwright.gc.types",
    "f64": "heapwright.gc.types",
    "format_size": "heapwright.model.sizes",
    "i16": "heapwright.gc.types",
    "i32": "heapwright.gc.types",
    "i64": "heapwright.gc.types",
    "i8": "heapwright.gc.types",
    "is_corrupted": "heapwright.owners.memory",
    "lease": "heapwright.owners.lease",
    "leases": "heapwright.owners.lease",
    "no_leaks": "heapwright.observe.leaks",
    "node": "heapwright.owners.node",
    "parse_size": "heapwright.model.sizes",
    "read_log": "heapwright.heaps.logging",
    "receive_handle": "heapwright.owners.passing",
    "record": "heapwright.gc.record",
    "record_bytes": "heapwright.gc.record",
    "report_leaks_at_exit": "heapwright.observe.exit_report",
    "send_handle": "heapwright.owners.passing",
    "share": "heapwright.owners.handle",
    "text": "heapwright.gc.types",
    "u16": "heapwright.gc.types",
    "u32": "heapwright.gc.types",
    "u64": "heapwright.gc.types",
    "u8": "heapwright.gc.types",
}
_ROOMS = frozenset({"adapters", "model", "prove", "testing"})

__all__ = [
    "TLSF",
    "Account",
    "Adaptor",
    "Aligned",
    "Allocated",
    "AnonymousSpace",
    "Arena",
    "ArenaClosed",
    "ArenaStatistics",
    "BestFit",
    "Birthplace",
    "Block",
    "BlockFreed",
    "BlockLease",
    "BlockLeased",
    "BlockSeen",
    "BranchStatistics",
    "Buddy",
    "Buffer",
    "Bump",
    "Collector",
    "Compacted",
    "Concurrent",
    "ConcurrentPool",
    "Corrupted",
    "CorruptedHeap",
    "CorruptedMemory",
    "CountedStatistics",
    "Cycle",
    "Damage",
    "FailureCallback",
    "Fallback",
    "FirstFit",
    "Fixed",
    "FixedPool",
    "ForeignRecord",
    "Freed",
    "Generational",
    "HandleNotYours",
    "HandleReleased",
    "Heap",
    "HeapBuilder",
    "HeapStatistics",
    "HeapwrightError",
    "Incremental",
    "InstallRefused",
    "InvalidAlignment",
    "InvalidConfiguration",
    "InvalidField",
    "InvalidFree",
    "InvalidHandle",
    "InvalidMark",
    "InvalidRecord",
    "InvalidSize",
    "InvalidTransition",
    "LargerThanBlock",
    "LayeredStatistics",
    "Leaked",
    "LimitExceeded",
    "Limiting",
    "LimitingStatistics",
    "LogEvent",
    "Logging",
    "Mark",
    "MarkSweep",
    "Memory",
    "MemoryLockRefused",
    "NextFit",
    "Observing",
    "OutOfBounds",
    "OutOfMemory",
    "Outstanding",
    "PermissionDenied",
    "Permissions",
    "PoolExhausted",
    "PoolStatistics",
    "PooledStatistics",
    "Quarantine",
    "RecordHeap",
    "RecordHeapFull",
    "RecordSnapshot",
    "RecordStatistics",
    "ReentrantCall",
    "Ref",
    "Refs",
    "Sealed",
    "Segregator",
    "Shared",
    "SharedHandle",
    "Slab",
    "SpaceInUse",
    "State",
    "Statistics",
    "Survivor",
    "SystemCallFailed",
    "ThreadSafe",
    "TieredPool",
    "TooManyMarks",
    "TooManyOwners",
    "Tracking",
    "TypedBuffer",
    "TypedPool",
    "Unallocated",
    "Unique",
    "UnsuitableResource",
    "UnsuitableUpstream",
    "UnsupportedByStrategy",
    "ValueOutOfRange",
    "ViewExported",
    "ViewsEscaped",
    "Watch",
    "Weak",
    "WeakHandle",
    "WeakRecord",
    "WeakRef",
    "WorstFit",
    "WrongRecord",
    "__version__",
    "adapters",
    "birthplace",
    "blob",
    "collect_cycles",
    "cycles",
    "f32",
    "f64",
    "format_size",
    "i8",
    "i16",
    "i32",
    "i64",
    "is_corrupted",
    "lease",
    "leases",
    "model",
    "no_leaks",
    "node",
    "parse_size",
    "prove",
    "read_log",
    "receive_handle",
    "record",
    "record_bytes",
    "report_leaks_at_exit",
    "send_handle",
    "share",
    "testing",
    "text",
    "u8",
    "u16",
    "u32",
    "u64",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _ROOMS:
        value = import_module(f"heapwright.{name}")
    else:
        raise AttributeError(f"module 'heapwright' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))


if os.environ.get("HEAPWRIGHT_LEAKS") == "1":
    __getattr__("report_leaks_at_exit")()
