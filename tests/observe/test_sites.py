"""Reading site tables, and choosing the line that a user wants to see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heapwright import _native
from heapwright.observe.site_table import Frame, SiteTable, SiteTableError, Stack, read_site_table
from heapwright.observe.sites import call_sites, read_sites

SITE_PACKAGES = "/opt/env/lib/python3.12/site-packages"
STDLIB = str(Path(os.__file__).parent)


def stack(
    *frames: Frame, peak: int = 0, end: int = 0, total: int = 0, samples: int = 1, overflow: bool = False
) -> Stack:
    return Stack(frames, False, overflow, peak, 0, end, 0, total, samples)


def table(*stacks: Stack) -> SiteTable:
    return SiteTable(1, 0, 0, 0, 0, 0, 0, 0, stacks)


PROGRAM = Frame("/home/ada/model.py", 12, "train")
NUMPY = Frame(f"{SITE_PACKAGES}/numpy/linalg/_linalg.py", 99, "svd")
PANDAS = Frame(f"{SITE_PACKAGES}/pandas/core/frame.py", 7, "DataFrame.copy")
PICKLE = Frame(f"{STDLIB}/pickle.py", 3, "_Unpickler.load")
THREADING = Frame(f"{STDLIB}/threading.py", 5, "Thread.run")


@pytest.mark.parametrize(
    ("frames", "site", "via"),
    [
        ((PROGRAM,), "/home/ada/model.py:12 train", ""),
        ((NUMPY, PROGRAM), "/home/ada/model.py:12 train", "numpy/linalg/_linalg.py:99 svd"),
        ((NUMPY, PANDAS, PROGRAM), "/home/ada/model.py:12 train", "numpy/linalg/_linalg.py:99 svd"),
        ((PICKLE, PROGRAM, THREADING), "/home/ada/model.py:12 train", "pickle.py:3 _Unpickler.load"),
        ((NUMPY, PANDAS, THREADING), str(PANDAS), "numpy/linalg/_linalg.py:99 svd"),
        ((NUMPY,), str(NUMPY), ""),
        ((Frame("<frozen importlib._bootstrap>", 1, "_load"), PROGRAM), "/home/ada/model.py:12 train", ""),
        ((Frame("<string>", 1, "<module>"),), "<string>:1 <module>", ""),
        (
            (Frame(f"{SITE_PACKAGES}/numpy/tests/test_x.py", 4, "test_y"),),
            f"{SITE_PACKAGES}/numpy/tests/test_x.py:4 test_y",
            "",
        ),
        ((), "<native>", ""),
    ],
)
def test_the_users_line(frames: tuple[Frame, ...], site: str, via: str) -> None:
    (found,) = call_sites(table(stack(*frames)))
    assert (found.site, found.via, found.frames) == (site, via, frames)


def test_stacks_of_one_line_are_added_up_and_sorted() -> None:
    other = Frame("/home/ada/model.py", 13, "train")
    sites = call_sites(
        table(
            stack(PROGRAM, peak=10, end=1, total=20),
            stack(NUMPY, PROGRAM, peak=30, end=2, total=40),
            stack(other, peak=35, end=50, total=60),
            stack(peak=1, overflow=True),
        )
    )
    assert [site.site for site in sites] == [str(PROGRAM), str(other), "<further call sites>"]
    assert (sites[0].live_bytes_peak, sites[0].live_bytes_end, sites[0].total_bytes, sites[0].samples) == (
        40,
        3,
        60,
        2,
    )
    assert sites[0].frames == (NUMPY, PROGRAM)  # of the heavier stack
    assert sites[0].label("/home/ada") == "model.py:12 train"
    assert call_sites(table(stack(PROGRAM, peak=1)), table(stack(PROGRAM, peak=2)))[0].live_bytes_peak == 3


def made_here(address: int, size_bytes: int) -> None:
    _native.sampler_allocated(address, size_bytes)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real table, as far as anything is in it."""
    directory = tmp_path_factory.mktemp("session")
    _native.sampler_start(str(directory), 0)
    for number in range(1, 40):
        exec(f"def f_{number}(): made_here({number} * 64, {number})\nf_{number}()", {"made_here": made_here})
    _native.sampler_freed(64)
    _native.sampler_stop()
    return (directory / f"{os.getpid()}.sites").read_bytes()


def test_a_real_file(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "1.sites"
    path.write_bytes(written)
    (site,) = read_sites(path)
    assert site.site == f"{__file__}:{made_here.__code__.co_firstlineno + 1} made_here"
    assert (site.live_bytes_peak, site.live_bytes_end, site.total_bytes) == (780, 779, 780)
    assert read_site_table(path).damaged == 0


@pytest.fixture(scope="module")
def compact(written: bytes, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """The same table with its sections moved together, so that damage hits something."""
    names = _native.SITES_FIELDS
    header = dict(zip(names, memoryview(written)[: 8 * len(names)].cast("Q"), strict=True))
    units = {"strings": 1, "frames": 16, "links": 4, "stacks": 64}
    body = b""
    for section, unit_bytes in units.items():
        start = header[f"{section}_offset"]
        header[f"{section}_offset"] = 8 * len(names) + len(body)
        body += written[start : start + header[f"{section}_used"] * unit_bytes]
    raw = b"".join(value.to_bytes(8, "little") for value in header.values()) + body
    return raw, tmp_path_factory.mktemp("damaged") / "1.sites"


def read_or_refuse(path: Path, content: bytes) -> SiteTable | None:
    path.write_bytes(content)
    try:
        found = read_site_table(path)
    except SiteTableError:
        return None
    for site in call_sites(found):
        assert site.site
        site.label().encode()
    return found


def test_moved_together_it_reads_the_same(compact: tuple[bytes, Path]) -> None:
    found = read_or_refuse(compact[1], compact[0])
    assert found is not None
    assert len(found.stacks) == 39
    assert found.live_bytes == 779


def test_cut_off_anywhere(compact: tuple[bytes, Path]) -> None:
    raw, path = compact
    for length in range(0, len(raw), 7):
        found = read_or_refuse(path, raw[:length])
        if length >= 8 * len(_native.SITES_FIELDS):
            assert found is not None
            assert len(found.stacks) + found.damaged <= 39


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_overwritten_anywhere(compact: tuple[bytes, Path], data: st.DataObject) -> None:
    raw, path = compact
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(raw) - 1))
        damaged[start : start + 8] = data.draw(st.binary(min_size=1, max_size=8))
    read_or_refuse(path, bytes(damaged))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=400))
def test_noise_behind_a_good_beginning(compact: tuple[bytes, Path], noise: bytes) -> None:
    raw, path = compact
    read_or_refuse(path, raw[:16] + noise)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.sites"
    path.write_text("something else entirely")
    with pytest.raises(SiteTableError, match=r"begins with b'somethin'") as caught:
        read_sites(path)
    assert caught.value.path == path
    with pytest.raises(FileNotFoundError):
        read_sites(tmp_path / "missing.sites")


def test_another_version_is_refused(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "1.sites"
    path.write_bytes(written[:8] + (99).to_bytes(8, "little") + written[16:4096])
    with pytest.raises(SiteTableError, match="version 99"):
        read_sites(path)


def test_a_process_that_ended_before_it_began_has_no_sites(tmp_path: Path) -> None:
    path = tmp_path / "1.sites"
    for content in (b"", bytes(5), bytes(10_000)):
        path.write_bytes(content)
        assert read_sites(path) == []
