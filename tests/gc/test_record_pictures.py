"""Snapshots and what came between them, pictures, graphs, the timeline and the page that sums it up."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import heapwright as hw


@hw.record
class Entry:
    key: hw.i64
    next: hw.Ref["Entry"]
    owner: hw.WeakRef["Entry"]


@hw.record
class Bucket:
    entries: hw.Refs[Entry]
    name: hw.text = ""


# ---- snapshots -------------------------------------------------------------------------------------------------------


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def test_snapshot_counts_what_is_reachable_and_what_is_not() -> None:
    heap = hw.RecordHeap()
    bucket = heap.new(Bucket, entries=[heap.new(Entry, key=i) for i in range(5)])
    for _ in range(3):
        heap.new(Entry, key=0)
    taken = heap.snapshot()
    entries = taken.classes[name_of(Entry)]
    assert (entries.records, entries.unreachable) == (5, 3)
    assert entries.own_bytes == entries.retained_bytes == 5 * hw.record_bytes(Entry)
    assert entries.path == "handle -> Bucket#0.entries[0] -> Entry#0"
    assert taken.classes[name_of(Bucket)].retained_bytes == taken.reachable_bytes
    assert taken.classes[name_of(Bucket)].path == ""
    assert taken.used_bytes - taken.reachable_bytes == 3 * hw.record_bytes(Entry)
    assert (taken.handles, taken.runs, len(bucket.entries)) == (1, 0, 5)
    assert heap.snapshot(paths=0).classes[name_of(Entry)].path == ""
    assert str(taken).splitlines()[0].split() == ["class", "reachable", "garbage", "own", "retained"]


def test_snapshots_are_saved_and_compared(tmp_path: Path) -> None:
    heap = hw.RecordHeap()
    bucket = heap.new(Bucket)
    heap.snapshot().save(tmp_path / "before.json")
    bucket.entries = [heap.new(Entry, key=i) for i in range(100)]
    after = heap.snapshot()
    before = type(after).load(tmp_path / "before.json")
    diff = after.diff(before)
    assert diff.classes[name_of(Entry)].records == 100
    assert diff.reachable_bytes == diff.used_bytes == after.reachable_bytes - before.reachable_bytes > 0
    assert f"{name_of(Entry)}: handle -> Bucket#0.entries[0] -> Entry#0" in str(diff)
    back = before.diff(after)
    assert back.classes[name_of(Entry)].records == -100
    assert "-100" in str(back)
    assert after.diff(after).classes == {}


def test_a_class_that_is_gone_is_a_difference() -> None:
    heap = hw.RecordHeap()
    kept = heap.new(Entry, key=1)
    diff = hw.RecordHeap().snapshot().diff(heap.snapshot())
    assert diff.classes[name_of(Entry)].records == -1
    assert diff.handles == -1
    assert kept.key == 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema_version": 2}'])
def test_other_files_are_no_snapshots(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match="is not a snapshot of a record heap"):
        type(hw.RecordHeap().snapshot()).load(tmp_path / "x.json")


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_picture_before_and_after_compaction() -> None:
    heap = hw.RecordHeap()
    entries = [heap.new(Entry, key=i) for i in range(1000)]
    bucket = heap.new(Bucket)
    assert heap.draw(10).splitlines() == [
        "Entry   ██████████  100% of 1,000 places",
        "Bucket  █           100% of 1 places",
    ]
    del entries[100:500]
    del entries[::2]
    heap.collect()
    assert heap.draw(10).splitlines()[0] == "Entry   ▒····▒▒▒▒▒  30% of 1,000 places"
    heap.compact()
    assert heap.draw(10).splitlines()[0] == "Entry   ██████████  100% of 300 places"
    assert bucket.name == ""
    with pytest.raises(ValueError, match="1 character wide"):
        heap.draw(0)


def test_a_class_without_records_has_no_places() -> None:
    heap = hw.RecordHeap()
    bucket = heap.new(Bucket)
    assert heap.draw(4).splitlines() == ["Bucket  █     100% of 1 places", "Entry         no places"]
    assert bucket.name == ""


def test_graph_is_of_the_nearest_and_says_what_it_leaves_out() -> None:
    heap = hw.RecordHeap()
    bucket = heap.new(Bucket, entries=[heap.new(Entry, key=i) for i in range(4)])
    bucket.entries[0].next = bucket.entries[1]
    bucket.entries[0].owner = bucket.entries[3]
    run = heap.extend(Entry, key=[7, 8])
    whole = heap.to_graphviz()
    assert whole.startswith("digraph {")
    assert '"Bucket#0" -> "Entry#2" [label="entries[2]"];' in whole
    assert '"Entry#0" -> "Entry#1" [label="next"];' in whole
    assert '"run of 2 Entry from #4" -> "Entry#5"' in whole
    assert "owner" not in whole
    assert "more" not in whole
    part = heap.to_graphviz(most=3)
    assert len(re.findall(r'^  "\w+#\d+";$', part, re.MULTILINE)) == 3
    assert '"4 more references to others"' in part
    assert len(run) == 2


# ---- pauses ----------------------------------------------------------------------------------------------------------


def test_timeline_has_every_kind_of_pause() -> None:
    heap = hw.RecordHeap(hw.Generational(automatic=False))
    entry = heap.new(Entry, key=1)
    heap.collect(minor=True)
    heap.collect()
    heap.compact()
    kinds = [pause.kind for pause in heap.timeline()]
    assert kinds == ["minor collection", "whole collection", "compaction"]
    assert [pause.used_bytes for pause in heap.timeline()] == [hw.record_bytes(Entry)] * 3
    statistics = heap.statistics().pauses
    assert statistics.count == 3
    assert statistics.total_ns == sum(pause.took_ns for pause in heap.timeline())
    assert statistics.longest_ns == max(pause.took_ns for pause in heap.timeline())
    assert entry.key == 1
    sliced = hw.RecordHeap(hw.Incremental(minimum=4096))
    for i in range(3000):
        sliced.new(Entry, key=i)
    assert {pause.kind for pause in sliced.timeline()} <= {"slice", "hurried end"}


def test_only_the_last_pauses_are_kept() -> None:
    heap = hw.RecordHeap(hw.MarkSweep(automatic=False))
    for _ in range(1030):
        heap.collect()
    kept = heap.timeline()
    assert len(kept) == 1024
    assert [pause.began_ns for pause in kept] == sorted(pause.began_ns for pause in kept)
    assert heap.statistics().pauses.count == 1030


def test_perfetto_gets_slices_and_a_counter() -> None:
    heap = hw.RecordHeap()
    kept = heap.new(Entry, key=1)
    heap.collect()
    (pause,) = heap.timeline()
    name, slice_, counter = json.loads(heap.to_perfetto())["traceEvents"]
    assert name["args"] == {"name": "record heap, MarkSweep"}
    assert (slice_["ph"], slice_["name"], slice_["dur"]) == ("X", "whole collection", pause.took_ns / 1000)
    assert (counter["ph"], counter["args"]) == ("C", {"bytes": hw.record_bytes(Entry)})
    assert kept.key == 1


# ---- the page --------------------------------------------------------------------------------------------------------


def test_report_has_it_all() -> None:
    heap = hw.RecordHeap()
    bucket = heap.new(Bucket, name="all", entries=[heap.new(Entry, key=i) for i in range(10)])
    lost = heap.new(Entry, key=1)
    lost.next = lost
    del lost
    page = heap.report()
    assert "handles 1, runs 0" in page
    rows = {line.split()[0]: line.split() for line in page.splitlines() if line and len(line.split()) > 9}
    assert rows["Entry"][1:4] == ["10", "1", "0"]
    assert "1 in 1 groups; garbage among them: 1 in 1" in page
    assert "Bucket#0 retains" in page
    assert "100% of 11 places" in page
    heap.collect()
    assert "pauses  1, " in heap.report()
    assert bucket.name == "all"


def test_an_empty_heap_has_a_page() -> None:
    assert "handles 0, runs 0" in hw.RecordHeap().report()


def test_reports_are_not_imported_with_the_package() -> None:
    code = "import heapwright, sys; print([name for name in sys.modules if name.startswith('heapwright.gc')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
