"""What this machine offers for managing memory: every feature tried for real, and given back.

Each probe answers one of three things, and nothing is concluded from version numbers where trying is possible:

* ``yes``     it works here, for this user, now;
* ``denied``  the kernel knows it but refuses, with the error number that says why;
* ``absent``  this kernel, this machine or this environment does not have it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from heapwright import _native

Answer = Literal["yes", "denied", "absent"]

_PAGE_BYTES = mmap.PAGESIZE
_HUGE_BYTES = 2 << 20
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSTEM_CALLS = {  # where they differ: x86-64, arm64
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "get_mempolicy": (239, 236),
    "pkey_alloc": (330, 289),
    "pkey_free": (331, 290),
    "membarrier": (324, 283),
    "io_uring_setup": (425, 425),
    "memfd_secret": (447, 447),
}
_ADVICE = {
    "MADV_HUGEPAGE": 14,
    "MADV_COLLAPSE": 25,
    "MADV_DONTNEED": 4,
    "MADV_FREE": 8,
    "MADV_COLD": 20,
    "MADV_PAGEOUT": 21,
    "MADV_POPULATE_WRITE": 23,
    "MADV_WIPEONFORK": 18,
    "MADV_DONTDUMP": 16,
    "MADV_MERGEABLE": 12,
    "MADV_GUARD_INSTALL": 102,
}


@dataclass(frozen=True, slots=True)
class Capability:
    """One answer: `why` explains a denial or an absence, `detail` says more about a yes."""

    group: str
    name: str
    answer: Answer
    detail: str = ""
    errno: int | None = None


def capabilities() -> Iterator[Capability]:
    """Probe everything, in the order in which it is shown.

    Takes some tens of milliseconds (importing NumPy, if it is installed, takes most), needs no privilege and leaves
    nothing behind.
    """
    for group, probes in _GROUPS.items():
        for name, probe in probes:
            yield _answer(group, name, probe)
        if group == "pages":
            for name, advice in _ADVICE.items():
                yield _answer(group, name, partial(_madvise, advice))


class _AbsentError(Exception):
    """There is nothing to try: the message says what is missing."""


def _answer(group: str, name: str, probe: Callable[[], str]) -> Capability:
    try:
        return Capability(group, name, "yes", probe())
    except _AbsentError as error:
        return Capability(group, name, "absent", str(error))
    except OSError as error:
        number = error.errno or 0
        refused = number in (errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.EBUSY)
        why = f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
        return Capability(group, name, "denied" if refused else "absent", why, number)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except FileNotFoundError:
        raise _AbsentError(f"no {path}") from None


def _system_call(name: str, *arguments: object) -> int:
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        raise _AbsentError(f"its number on {platform.machine()} is not known here")
    ctypes.set_errno(0)
    result: int = _LIBC.syscall(ctypes.c_long(_SYSTEM_CALLS[name][column]), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _close(descriptor: int) -> str:
    os.close(descriptor)
    return ""


# --- pages ---


def _page_size() -> str:
    return f"{_PAGE_BYTES} B"


def _transparent_huge_pages() -> str:
    modes = {}
    for name in ("enabled", "defrag", "shmem_enabled"):
        text = _read(f"/sys/kernel/mm/transparent_hugepage/{name}")
        modes[name] = text.partition("[")[2].partition("]")[0] or text
    if modes["enabled"] == "never":
        raise _AbsentError("enabled: never")
    return ", ".join(f"{name}: {mode}" for name, mode in modes.items())


def _madvise(advice: int) -> str:
    with mmap.mmap(-1, 2 * _HUGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        start = -ctypes.addressof(ctypes.c_char.from_buffer(area)) % _HUGE_BYTES
        for offset in range(start, start + _HUGE_BYTES, _PAGE_BYTES):
            area[offset] = 1
        area.madvise(advice, start, _HUGE_BYTES)
    return ""


def _explicit_huge_pages() -> str:
    root = Path("/sys/kernel/mm/hugepages")
    pools = {path.name.removeprefix("hugepages-"): int(_read(f"{path}/nr_hugepages")) for path in root.glob("*")}
    if not any(pools.values()):
        raise _AbsentError("no pages reserved: " + (", ".join(sorted(pools)) or "no pools"))
    return ", ".join(f"{count} of {size}" for size, count in sorted(pools.items()))


def _overcommit() -> str:
    mode = _read("/proc/sys/vm/overcommit_memory")
    if mode == "2":
        raise OSError(errno.ENOMEM, "strict accounting")
    return {"0": "heuristic (0)", "1": "always (1)"}.get(mode, mode)


def _mappings() -> str:
    return f"{int(_read('/proc/sys/vm/max_map_count')):,} mappings for a process"


def _address_space() -> str:
    with mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, 0):  # MAP_NORESERVE, PROT_NONE
        return "1 TiB reserved and released"


def _mlock() -> str:
    with mmap.mmap(-1, _PAGE_BYTES) as area:
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        if _LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(_PAGE_BYTES)) != 0:
            raise OSError(ctypes.get_errno(), "mlock")
        _LIBC.munlock(ctypes.c_void_p(address), ctypes.c_size_t(_PAGE_BYTES))
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft >> 10:,} KiB (ulimit -l)"


def _protection_keys() -> str:
    key = _system_call("pkey_alloc", 0, 0)
    _system_call("pkey_free", key)
    return ""


# --- spaces ---


def _memfd() -> str:
    descriptor = os.memfd_create("probe", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    finally:
        os.close(descriptor)
    return "with seals"


def _secret() -> str:
    return _close(_system_call("memfd_secret", 0))


def _shared_directory() -> str:
    free = os.statvfs("/dev/shm")
    return f"{free.f_bavail * free.f_frsize >> 20:,} MiB free"


def _direct_io() -> str:
    path = Path.cwd() / f".heapwright-probe-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_DIRECT, 0o600)
    os.unlink(path)
    return _close(descriptor) + f"in {Path.cwd()}"


def _numa() -> str:
    online = _read("/sys/devices/system/node/online")
    nodes = len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))
    mode = ctypes.c_int()
    _system_call("get_mempolicy", ctypes.byref(mode), None, 0, None, 0)
    if nodes < 2:
        raise _AbsentError(f"one node ({online}); binding works, and has nothing to choose from")
    return f"{nodes} nodes ({online})"


def _gpu() -> str:
    found = [str(path) for pattern in ("nvidia[0-9]*", "kfd", "dri/render*") for path in Path("/dev").glob(pattern)]
    if not found:
        raise _AbsentError("no /dev/nvidia*, /dev/kfd or /dev/dri/render*")
    return ", ".join(found)


def _swap() -> str:
    lines = _read("/proc/swaps").splitlines()[1:]
    if not lines:
        raise _AbsentError("none configured")
    return ", ".join(f"{line.split()[0]} {int(line.split()[2]) >> 10:,} MiB" for line in lines)


# --- kernel interfaces ---


def _userfaultfd() -> str:
    try:
        return _close(_system_call("userfaultfd", os.O_CLOEXEC))
    except PermissionError:
        return _close(_system_call("userfaultfd", os.O_CLOEXEC | 1)) + "for faults in user mode only"


def _io_uring() -> str:
    parameters = ctypes.create_string_buffer(120)
    _close(_system_call("io_uring_setup", 1, parameters))
    features = struct.unpack_from("<I", parameters, 20)[0]
    return f"features 0x{features:x}"


def _process_vm_readv() -> str:
    word = ctypes.c_uint64(42)
    _native.peer_read(os.getpid(), struct.pack("Q", ctypes.addressof(word)), 8)
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.close(done[1])
        os.read(done[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        _native.peer_read(child, struct.pack("Q", ctypes.addressof(word)), 8)
    finally:
        for descriptor in (*ready, *done):
            os.close(descriptor)
        os.waitpid(child, 0)
    return "of child processes"


def _pagemap() -> str:
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        word = ctypes.c_uint64(42)
        file.seek(ctypes.addressof(word) // _PAGE_BYTES * 8)
        (entry,) = struct.unpack("<Q", file.read(8))
    return "with frame numbers" if entry & ((1 << 55) - 1) else "presence only (frame numbers need CAP_SYS_ADMIN)"


def _smaps() -> str:
    Path("/proc/self/smaps").read_bytes()
    return ""


def _perf() -> str:
    attributes = bytearray(112)
    struct.pack_into("<IIQ", attributes, 0, 1, 112, 2)  # PERF_TYPE_SOFTWARE, size, PERF_COUNT_SW_PAGE_FAULTS
    attributes[40] = 0b1100000  # exclude_kernel, exclude_hv
    _close(_system_call("perf_event_open", (ctypes.c_char * 112).from_buffer(attributes), 0, -1, -1, 0))
    return f"perf_event_paranoid {_read('/proc/sys/kernel/perf_event_paranoid')}"


def _perf_hardware() -> str:
    attributes = bytearray(112)
    struct.pack_into("<IIQ", attributes, 0, 0, 112, 1)  # PERF_TYPE_HARDWARE, size, PERF_COUNT_HW_INSTRUCTIONS
    attributes[40] = 0b1100000
    return _close(_system_call("perf_event_open", (ctypes.c_char * 112).from_buffer(attributes), 0, -1, -1, 0))


def _membarrier() -> str:
    return f"commands 0x{_system_call('membarrier', 0, 0, 0):x}"


def _zero_copy_send() -> str:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, 60, 1)  # SO_ZEROCOPY
    return ""


def _control_group() -> str:
    line = next((line for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    candidates = [f"/sys/fs/cgroup{line[3:].rstrip('/')}/memory.max"] if line else []
    candidates += ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    for path in candidates:
        if Path(path).exists():
            limit = _read(path)
            unlimited = limit == "max" or int(limit) > 1 << 60
            return "no limit" if unlimited else f"limit {int(limit) >> 20:,} MiB"
    raise _AbsentError("no memory controller is visible")


def _pressure() -> str:
    return _read("/proc/pressure/memory").splitlines()[0]


def _energy() -> str:
    zones = sorted(Path("/sys/class/powercap").glob("intel-rapl:*")) if Path("/sys/class/powercap").exists() else []
    if not zones:
        raise _AbsentError("no RAPL zones in /sys/class/powercap")
    _read(f"{zones[0]}/energy_uj")
    return ", ".join(_read(f"{zone}/name") for zone in zones)


# --- allocators ---


def _c_library() -> str:
    if not hasattr(_LIBC, "gnu_get_libc_version"):
        raise _AbsentError("not glibc: its heap cannot be looked into or trimmed")
    version = _LIBC.gnu_get_libc_version
    version.restype = ctypes.c_char_p
    text: bytes = version()
    return f"glibc {text.decode()}"


def _mallinfo() -> str:
    if not hasattr(_LIBC, "mallinfo2"):
        raise _AbsentError("needs glibc 2.33")
    return "exact live and free bytes"


def _preloaded() -> str:
    maps = _read("/proc/self/maps")
    found = [name for name in ("jemalloc", "mimalloc", "tcmalloc") if name in maps]
    if not found:
        raise _AbsentError("no other malloc is loaded")
    return ", ".join(found)


def _python() -> str:
    build = " free-threaded" if not getattr(sys, "_is_gil_enabled", lambda: True)() else ""
    return f"{platform.python_implementation()} {platform.python_version()}{build}, {sys.executable}"


def _small_objects() -> str:
    if os.environ.get("PYTHONMALLOC", "default") not in ("default", "pymalloc", "debug", "pymalloc_debug"):
        raise _AbsentError(f"PYTHONMALLOC={os.environ['PYTHONMALLOC']}")
    return "pymalloc, arenas of 1 MiB"


def _numpy() -> str:
    try:
        import numpy as np
    except ImportError as error:
        raise _AbsentError(str(error)) from None
    from heapwright.adapters import numpy as adapter

    raw = adapter._takes_raw_memory()
    return f"{np.__version__}, hooked in " + ("the raw domain" if raw else "its default handler")


_GROUPS: dict[str, list[tuple[str, Callable[[], str]]]] = {
    "interpreter": [("Python", _python), ("small-object allocator", _small_objects), ("NumPy", _numpy)],
    "C library": [("malloc", _c_library), ("mallinfo2", _mallinfo), ("preloaded malloc", _preloaded)],
    "pages": [
        ("page size", _page_size),
        ("overcommit", _overcommit),
        ("address space", _address_space),
        ("max_map_count", _mappings),
        ("mlock", _mlock),
        ("protection keys", _protection_keys),
        ("explicit huge pages", _explicit_huge_pages),
        ("transparent huge pages", _transparent_huge_pages),
    ],
    "spaces": [
        ("memfd_create", _memfd),
        ("memfd_secret", _secret),
        ("/dev/shm", _shared_directory),
        ("O_DIRECT", _direct_io),
        ("NUMA", _numa),
        ("GPU", _gpu),
        ("swap", _swap),
    ],
    "kernel": [
        ("userfaultfd", _userfaultfd),
        ("io_uring", _io_uring),
        ("SO_ZEROCOPY", _zero_copy_send),
        ("membarrier", _membarrier),
        ("cgroup memory", _control_group),
        ("pressure stall information", _pressure),
    ],
    "observation": [
        ("smaps", _smaps),
        ("pagemap", _pagemap),
        ("process_vm_readv", _process_vm_readv),
        ("perf, software events", _perf),
        ("perf, hardware counters", _perf_hardware),
        ("energy (RAPL)", _energy),
    ],
}
