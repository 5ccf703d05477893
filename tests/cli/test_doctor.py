"""The capability table: probed for real, nothing left behind, three answers."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heapwright.cli import capabilities as module
from heapwright.cli.capabilities import capabilities


def test_every_probe_answers_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    list(capabilities())  # what is imported and cached once
    descriptors = list(Path("/proc/self/fd").iterdir())
    mappings = len(Path("/proc/self/maps").read_text().splitlines())
    found = list(capabilities())
    assert len(list(Path("/proc/self/fd").iterdir())) == len(descriptors)
    assert abs(len(Path("/proc/self/maps").read_text().splitlines()) - mappings) <= 4
    assert list(tmp_path.iterdir()) == []
    assert len(found) == len({(c.group, c.name) for c in found}) > 35
    assert {c.answer for c in found} <= {"yes", "denied", "absent"}
    assert all(c.detail for c in found if c.answer != "yes"), "a no without a why"
    assert all(c.errno for c in found if c.answer == "denied")
    by_name = {c.name: c for c in found}
    for name in ("Python", "smaps", "page size", "MADV_DONTNEED"):
        assert by_name[name].answer == "yes"


@pytest.mark.parametrize(
    ("number", "answer"),
    [(errno.EPERM, "denied"), (errno.ENOMEM, "denied"), (errno.ENOSYS, "absent"), (errno.EINVAL, "absent")],
)
def test_a_refusal_says_why(number: int, answer: str) -> None:
    def probe() -> str:
        raise OSError(number, "probe")

    capability = module._answer("pages", "x", probe)
    assert (capability.answer, capability.errno) == (answer, number)
    assert errno.errorcode[number] in capability.detail


def test_a_kernel_that_really_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._SYSTEM_CALLS, "membarrier", (100_000, 100_000))  # no such system call
    capability = next(c for c in capabilities() if c.name == "membarrier")
    assert (capability.answer, capability.errno) == ("absent", errno.ENOSYS)


def test_command(doctor: Callable) -> None:
    table = doctor()
    assert table.exit_code == 0
    assert "transparent huge pages" in table.stdout
    document = json.loads(doctor("--json").stdout)
    assert document["schema_version"] == 1
    assert {"group", "name", "answer", "detail", "errno"} == set(document["capabilities"][0])
    wrong = doctor("--frob")
    assert wrong.exit_code == 2
    assert "--frob" in wrong.stderr
