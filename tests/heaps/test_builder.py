from pathlib import Path

import pytest

import heapwright as hw


def test_every_step_gives_a_new_recipe() -> None:
    small = hw.HeapBuilder().capacity("1MiB")
    aligned = small.alignment(64).name("frames")
    assert small != aligned
    heap = aligned.build()
    assert isinstance(heap, hw.Heap)
    blocks = [heap.allocate(1), heap.allocate(1), heap.allocate(1, 1)]
    assert [block.offset_bytes for block in blocks] == [0, 64, 16]
    assert repr(heap) == "Heap('frames')"
    assert small.build().allocate(1).address % (2 << 20) == 0


def test_what_is_built_is_what_was_asked_for() -> None:
    limited = hw.HeapBuilder().capacity("1GiB").strategy(hw.NextFit()).limit("800MiB").huge_pages().build()
    assert isinstance(limited, hw.Limiting)
    assert limited.limit_bytes == 800 << 20
    heap = limited.upstream
    assert isinstance(heap, hw.Heap)
    assert heap.strategy_name == "next-fit"
    assert heap.space.unit_bytes == 2 << 20
    space = hw.AnonymousSpace("1MiB")
    assert hw.HeapBuilder().space(space).build().upstream is space
    readable = hw.HeapBuilder().capacity(4096).permissions(hw.Permissions.READ).build()
    assert readable.allocate(1).view().readonly
    assert hw.HeapBuilder().capacity(4096).alignment("8MiB").build().allocate(1).address % (8 << 20) == 0


class NotBuiltYet:
    name = "magic"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (hw.HeapBuilder(), "Say how large with capacity"),
        (hw.HeapBuilder().capacity(0), "Say how large"),
        (hw.HeapBuilder().space(hw.AnonymousSpace(1)).capacity(1), "Leave out capacity"),
        (hw.HeapBuilder().space(hw.AnonymousSpace(1)).alignment("4MiB"), "Create the space with alignment=4194304"),
        (hw.HeapBuilder().capacity("1MiB").limit("2MiB"), "can never be met"),
        (
            hw.HeapBuilder().capacity("1MiB").strategy(NotBuiltYet()),
            "first-fit, best-fit, worst-fit, next-fit, tlsf, buddy",
        ),
        (hw.HeapBuilder().capacity("1MiB").strategy("tlsf"), "'tlsf' is not a strategy"),  # type: ignore[arg-type]
    ],
)
def test_contradictions_are_explained(recipe: hw.HeapBuilder, words: str) -> None:
    for act in (recipe.build, recipe.explain):
        with pytest.raises(hw.InvalidConfiguration, match=words):
            act()


def test_explain_names_every_part() -> None:
    recipe = hw.HeapBuilder().capacity("1GiB").huge_pages().strategy(hw.BestFit()).limit("1MiB").alignment("4KiB")
    for word in ("1 GiB", "huge pages", "best-fit", "1 MiB", "4 KiB"):
        assert word in recipe.explain()
    assert "AnonymousSpace" in hw.HeapBuilder().space(hw.AnonymousSpace(1)).explain()


def test_adaptors_are_put_around_in_the_order_of_the_steps() -> None:
    base = hw.HeapBuilder().capacity("1MiB")
    events: list[hw.LogEvent] = []
    reserve = hw.Heap(hw.AnonymousSpace("1MiB"), name="reserve")
    recipe = (
        base.limit(5000)
        .fallback(reserve)
        .statistics()
        .tracking(3)
        .logging(events.append)
        .on_failure(lambda size_bytes: False, attempts=2)
        .adapt(hw.Adaptor)
        .thread_safe()
    )
    resource = recipe.build()
    chain = []
    while isinstance(resource, hw.Adaptor):
        chain.append(type(resource).__name__)
        resource = resource.upstream
    assert chain == [
        "ThreadSafe",
        "Adaptor",
        "FailureCallback",
        "Logging",
        "Tracking",
        "Statistics",
        "Fallback",
        "Limiting",
    ]
    words = [line[:11].strip() for line in recipe.explain().splitlines()[3:]]
    assert words == ["limit", "fallback", "statistics", "tracking", "logging", "on failure", "adaptor", "thread safe"]
    assert "Heap('reserve')" in recipe.explain()
    block = recipe.build().allocate(6000)
    assert reserve.owns(block.address)
    assert [event.size_bytes for event in events] == [6000]
    assert base.build().allocate(6000) is not None


def test_a_recipe_has_one_limit() -> None:
    recipe = hw.HeapBuilder().capacity("1MiB").limit("2MiB").statistics().limit(100)
    counted = recipe.build()
    assert isinstance(counted, hw.Statistics)
    assert isinstance(counted.upstream, hw.Limiting)
    assert counted.upstream.limit_bytes == 100
    assert isinstance(counted.upstream.upstream, hw.Heap)


def test_a_log_is_opened_when_the_heap_is_built(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    recipe = hw.HeapBuilder().capacity("1MiB").logging(path)
    assert str(path) in recipe.explain()
    assert not path.exists()
    recipe.build().allocate(1)
    assert hw.read_log(path)[0].action == "allocate"
