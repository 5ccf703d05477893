"""The record of a process, read from outside at any moment."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heapwright import _native
from heapwright.observe.record import read_record


def test_reads_what_the_process_wrote(tmp_path: Path) -> None:
    path = tmp_path / "1.record"
    content = bytearray(_native.process_record())
    for position, name in enumerate(_native.RECORD_FIELDS):
        value = {"magic": _native.RECORD_MAGIC, "version": _native.RECORD_VERSION, "allocator": 1, "hook": 2}
        content[8 * position : 8 * position + 8] = value.get(name, position + 100).to_bytes(8, "little")
    sizes = 8 * len(_native.RECORD_FIELDS)
    content[sizes + 8 * 12 : sizes + 8 * 13] = (7).to_bytes(8, "little")
    path.write_bytes(content)
    record = read_record(str(path))
    assert record is not None
    assert (record.allocator, record.hook) == ("pooled", "the raw domain")
    assert record["pid"] == _native.RECORD_FIELDS.index("pid") + 100
    assert [(size.low_bytes, size.requests) for size in record.size_classes if size.low_bytes == 4096] == [(4096, 7)]


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_any_bytes_at_all(content: bytes, cut: int) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as directory:
        path = Path(directory, "1.record")
        path.write_bytes(content)
        assert read_record(str(path)) is None
        path.write_bytes(bytes(_native.process_record())[:cut])
        read_record(str(path))  # a torn one may be refused or, when whole, accepted; it does not raise
