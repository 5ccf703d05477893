"""Nodes: what owns what through typed fields, cycles among them, and random programs against reachability."""

import copy
import ctypes
import gc
import os
import pickle
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import heapwright as hw
from heapwright import _native


@hw.node
class Leaf:
    label: str = "leaf"


@hw.node
class Tree:
    key: int
    left: "hw.Shared[Tree] | None"
    right: hw.Shared["Tree"] | None
    leaf: hw.Shared[Leaf] | None
    parent: hw.Weak["Tree"] | None
    note: str | None
    weight: float = 1.5


@pytest.fixture(autouse=True)
def invariants_hold_and_other_tests_leave_nothing():
    gc.collect()
    yield
    hw.collect_cycles()
    assert _native.nodes_check() is None


def tree(key: int = 0, **fields: object) -> hw.Shared:
    return hw.Shared(Tree(key=key, **fields))


def alive() -> int:
    return _native.nodes_statistics()["live_nodes"]


# ---- fields


def test_fields_are_given_by_name_and_have_their_defaults():
    value = Tree(key=7)
    assert (value.key, value.weight, value.note) == (7, 1.5, None)
    assert (value.left, value.parent) == (None, None)
    value.note, value.weight = "n", 2.0
    assert (value.note, value.weight) == ("n", 2.0)


def test_values_come_back_as_they_went_in():
    @hw.node
    class Values:
        real: float
        whole: int
        either: int | float | None
        raw: bytes = b""
        other: float = -0.0

    nan = struct.unpack("d", struct.pack("Q", 0x7FF4DEAD10CC0001))[0]  # the pattern that stands for "none yet"
    for real in (0.0, -0.0, 1e308, float("inf"), 5e-324, nan, float("nan")):
        value = Values(real=real, whole=0, either=real)
        assert repr((value.real, value.either, value.other)) == repr((real, real, -0.0))
    for whole in (0, 1, -1, 2**62 - 1, 2**62, -(2**62), -(2**62) - 1, 2**63, 10**30):
        value = Values(real=0.5, whole=whole, either=whole)
        assert (value.whole, value.either) == (whole, whole)
    with pytest.raises(TypeError, match="float"):
        Values(real=1, whole=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tree(), "no default"),
        (lambda: Tree(1), "by name"),
        (lambda: Tree(key=1, colour=2), "colour"),
        (lambda: Tree(key="1"), r"Tree.key takes .* not str"),
        (lambda: Tree(key=True), r"not bool"),
        (lambda: Tree(key=1, left=Tree(key=2)), r"takes a Shared handle of a Tree, not Tree"),
        (lambda: Tree(key=1, left=hw.Shared(Leaf())), r"handle of a Tree, not of a Leaf"),
        (lambda: Tree(key=1, left=hw.Shared([])), r"handle of a Tree, not .*Shared"),
        (lambda: Tree(key=1, parent=[]), r"Shared or Weak handle"),
    ],
)
def test_what_does_not_fit_a_field_is_refused(make, message):
    with pytest.raises((TypeError, AttributeError), match=message):
        make()


def test_a_reference_that_is_not_optional_takes_no_none():
    @hw.node
    class Edge:
        to: hw.Shared[Tree]

    edge = Edge(to=tree(1))
    with pytest.raises(TypeError, match=r"\| None"):
        edge.to = None
    assert edge.to.value.key == 1


@pytest.mark.parametrize(
    "annotation", [list, object, hw.Shared, hw.Shared[int] | int, hw.Shared[list[int]], "Nowhere(", dict | None]
)
def test_what_no_node_can_hold_is_refused_when_the_class_is_made(annotation):
    with pytest.raises(hw.InvalidField) as caught:
        hw.node(type("Wrong", (), {"__annotations__": {"field": annotation}}))
    assert (caught.value.owner, caught.value.field) == ("Wrong", "field")


@pytest.mark.parametrize("target", ["Nobody", int])
def test_what_no_node_can_refer_to_is_refused_with_the_first_instance(target):
    wrong = hw.node(type("Wrong", (), {"__annotations__": {"field": hw.Shared[target] | None}}))
    with pytest.raises(hw.InvalidField, match="node class"):
        wrong()


def test_a_default_must_fit():
    with pytest.raises(hw.InvalidField, match="default"):
        hw.node(type("Wrong", (), {"__annotations__": {"field": int}, "field": "text"}))


def test_node_classes_stand_alone():
    with pytest.raises(TypeError, match="cannot be subclassed"):
        type("Mine", (Tree,), {})
    with pytest.raises(TypeError, match="base classes"):
        hw.node(type("Mine", (dict,), {}))
    with pytest.raises(TypeError, match="__del__"):
        hw.node(type("Mine", (), {"__del__": print}))
    with pytest.raises(TypeError, match="put @node above"):
        hw.node(print)


def test_methods_and_class_attributes_stay():
    @hw.node
    class Counter:
        count: int = 0

        def step(self) -> int:
            self.count += 1
            return self.count

    counter = hw.Shared(Counter())
    assert (counter.value.step(), counter.value.step()) == (1, 2)


def test_nodes_are_not_pickled():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Leaf())


# ---- owners


def test_a_reference_owns():
    child, parent = tree(1), tree(2)
    parent.value.left = child
    assert child.strong_count == 2
    weak = child.downgrade()
    child.close()
    again = parent.value.left
    assert (again.value.key, again.strong_count) == (1, 2)
    again.close()
    parent.value.left = None
    assert weak.upgrade() is None


def test_handles_of_one_node_are_of_one_node_wherever_they_come_from():
    child, parent = tree(1), tree(2)
    parent.value.left = child
    assert parent.value.left.ptr_eq(child)
    assert hw.Shared(child.value).ptr_eq(child)
    assert child.downgrade().upgrade().ptr_eq(child)
    assert not parent.ptr_eq(child)


def test_a_value_kept_beyond_its_last_owner_is_empty():
    handle = tree(1, left=tree(2))
    kept = handle.value
    handle.close()
    for field in ("key", "left", "parent", "note"):
        with pytest.raises(hw.HandleReleased):
            getattr(kept, field)
    with pytest.raises(hw.HandleReleased):
        kept.left = tree(3)
    with pytest.raises(hw.HandleReleased):
        hw.Shared(kept)
    assert "dead" in repr(kept)


def test_an_instance_without_a_handle_ends_like_any_object():
    before = alive()
    value = Tree(key=1, left=tree(2))
    assert alive() == before + 2
    del value
    assert alive() == before


def test_a_weak_field_knows_without_owning():
    parent = tree(1)
    child = tree(2, parent=parent)
    parent.value.left = child
    assert (parent.strong_count, parent.weak_count) == (1, 0)
    assert child.value.parent.upgrade().ptr_eq(parent)
    parent.close()
    assert child.value.parent is None
    child.value.parent = None


def test_a_weak_handle_sees_a_node_that_only_references_own():
    parent, child = tree(1), tree(2)
    parent.value.left = child
    weak = child.downgrade()
    assert child.weak_count == 1
    child.close()
    assert weak.upgrade().value.key == 2
    assert weak.clone().upgrade().value.key == 2
    parent.close()
    assert weak.upgrade() is None


def test_copy_and_copy_on_write():
    child = tree(1)
    first = tree(2, left=child, note="n", parent=child)
    twin = hw.Shared(copy.copy(first.value))
    assert (twin.value.note, twin.value.left.ptr_eq(child)) == ("n", True)
    assert child.strong_count == 3
    assert twin.make_mut() is twin
    other = twin.clone().make_mut()
    other.value.note = "other"
    assert twin.value.note == "n"


def test_owners_are_the_same_number_wherever_they_are_told():
    child = tree(1)
    parent = tree(2, left=child, right=child)
    assert child.strong_count == 3
    assert repr(child).endswith("owners=3)")
    parent.close()
    assert repr(child).endswith("owners=1)")


def addresses_of(record: bytes) -> list[int]:
    """Find bytes in the memory of this process that no file is mapped to."""
    found = []
    ranges = re.findall(r"^(\w+)-(\w+) rw-p .* 0 +$", Path("/proc/self/maps").read_text(), re.MULTILINE)
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for start, end in ((int(start, 16), int(end, 16)) for start, end in ranges):
            memory.seek(start)
            content = memory.read(min(end - start, 1 << 30))
            found += [start + match.start() for match in re.finditer(re.escape(record), content)]
    return found


def test_a_copy_that_would_give_a_node_too_many_owners_is_refused():
    child = tree(1)
    parent = tree(2, right=tree(3), left=child)
    candidates = addresses_of(struct.pack("<IIQ", 2, 1, id(child.value)))  # strong, weak, and what they count for
    more = tree(4, left=child)
    (strong,) = (count for count in map(ctypes.c_uint32.from_address, candidates) if count.value == 3)
    before = alive()
    kept, strong.value = strong.value, 2**31 - 1
    try:
        with pytest.raises(OverflowError, match="cannot have more"):
            copy.copy(parent.value)
    finally:
        strong.value = kept
    assert alive() == before
    assert (child.strong_count, more.value.left.ptr_eq(child)) == (3, True)


def test_a_node_is_not_unwrapped_and_has_no_deleter():
    with pytest.raises(TypeError, match="cannot leave its graph"):
        tree(1).try_unwrap()
    with pytest.raises(TypeError, match="no deleter"):
        hw.Shared(Tree(key=1), print)


# ---- cycles


def ring(length: int) -> hw.Shared:
    first = previous = tree(0)
    for key in range(1, length):
        following = tree(key)
        previous.value.left = following
        previous = following
    previous.value.left = first
    return first


@pytest.mark.parametrize("length", [1, 2, 3, 100])
def test_a_ring_is_kept_while_owned_and_collected_after(length):
    before = alive()
    handle = ring(length)
    assert hw.collect_cycles() == 0
    assert alive() == before + length
    weak = handle.downgrade()
    handle.close()
    assert weak.upgrade().value.key == 0  # nothing has collected it yet
    assert hw.collect_cycles() >= length
    assert weak.upgrade() is None


def test_cycles_are_told_by_field_names_and_garbage_first():
    kept = ring(2)
    lost = ring(3)
    lost.value.right = lost
    lost.close()
    garbage, owned = hw.cycles()
    assert [field for _, field in garbage.path] == ["right"]
    assert (garbage.nodes, garbage.owners_outside, garbage.exact) == (3, 0, True)
    assert "nothing else owns it" in str(garbage)
    assert [field for _, field in owned.path] == ["left", "left"]
    assert (owned.nodes, owned.owners_outside) == (2, 1)
    assert repr(kept.value).strip("<>") + ".left -> " in str(owned)
    hw.collect_cycles()
    assert len(hw.cycles()) == 1


def test_cycles_say_where_their_nodes_were_made_if_somebody_watched():
    def make_one() -> hw.Shared:
        return tree(1)

    unseen = tree(0)
    with hw.Watch():
        first, second = make_one(), tree(2)
        first.value.left, second.value.left, unseen.value.left = second, unseen, first
        (told,) = hw.cycles()
        by_key = dict(zip([first.value, second.value, unseen.value], ("in tree", "in tree", None), strict=True))
        names = {repr(node).strip("<>"): by_key[node] for node in by_key}
        for (name, _), site in zip(told.path, told.sites, strict=True):
            assert site is None if names[name] is None else "test_node.py:" in site and site.endswith(names[name])
        assert str(told).count(" was made at ") == 2
    (told,) = hw.cycles()
    assert told.sites == ()
    assert "\n" not in str(told)


def test_classes_that_cannot_be_part_of_a_cycle_are_known_from_their_annotations():
    Leaf(), Tree(key=1)
    assert Leaf.__node_kind__.acyclic is True
    assert Tree.__node_kind__.acyclic is False

    @hw.node
    class Owner:
        tree: hw.Shared[Tree] | None
        back: hw.Weak["Owner"] | None  # weak: owns nothing

    Owner()
    assert Owner.__node_kind__.acyclic is True


def test_a_field_is_of_the_nodes_of_its_own_class():
    leaf, other = hw.Shared(Leaf()), tree()
    for name in ("key", "weight", "note", "parent", "left"):
        field = vars(Tree)[name]
        with pytest.raises(TypeError, match=f"{name} is a field of Tree, not of Leaf"):
            field.__get__(leaf.value)
        with pytest.raises(TypeError, match="not of Leaf"):
            field.__set__(leaf.value, other)

    @hw.node
    class Unmade:
        label: str

    with pytest.raises(TypeError, match="a field of no class"):  # that has an instance
        vars(Unmade)["label"].__set__(leaf.value, "label")


def test_two_classes_in_one_cycle():
    @hw.node
    class Order:
        customer: hw.Shared["Customer"] | None

    @hw.node
    class Customer:
        order: hw.Shared[Order] | None

    order = hw.Shared(Order())
    order.value.customer = hw.Shared(Customer(order=order))
    assert {field for _, field in hw.cycles()[0].path} == {"customer", "order"}
    assert Order.__node_kind__.acyclic is Customer.__node_kind__.acyclic is False
    order.close()
    assert hw.collect_cycles() >= 2


def test_a_cycle_of_handles_in_plain_objects_with_nodes_beside_it_is_collected():
    before = alive()
    box = [ring(3)]
    shared = hw.Shared(box)
    box.append(shared)
    del box, shared
    assert hw.collect_cycles() == 3
    assert alive() == before


def test_cycles_are_collected_by_themselves_as_nodes_are_made():
    before = _native.nodes_statistics()
    for _ in range(40_000):
        ring(2)
    after = _native.nodes_statistics()
    assert after["collections"] > before["collections"]
    assert after["live_nodes"] - before["live_nodes"] < 80_000


def test_what_is_copied_or_refused_does_not_put_collections_off():
    original = tree()
    for _ in range(60_000):
        copy.copy(original.value)
        with pytest.raises(AttributeError):
            Leaf(nothing=1)
    before = alive()
    for _ in range(60_000):
        ring(2)
    assert alive() - before < 80_000


@pytest.fixture
def eager_collector():
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*threshold)


class Finalizer:
    """Garbage that runs something when CPython's collector finds it."""

    def __init__(self, runs) -> None:
        self.me, self.runs = self, runs

    def __del__(self) -> None:
        self.runs()


def test_cycles_are_told_while_the_collector_would_end_them():
    program = """
import gc
import heapwright as hw
from heapwright import _native
@hw.node
class Link:
    next: hw.Shared["Link"] | None
def ring():
    first = hw.Shared(Link())
    first.value.next = hw.Shared(Link(next=first))
    return first
class Finalizer:
    def __init__(self): self.me = self
    def __del__(self):
        rings.clear()
        _native.nodes_collect()
for _ in range(20):
    gc.collect(); gc.disable()
    rings = [ring() for _ in range(200)]
    kept = [(i, i) for i in range(5000)], [[] for i in range(200)]  # CPython has none for reuse: the next may collect
    Finalizer(); gc.set_threshold(1); gc.enable()
    found = _native.nodes_cycles()
    assert len(found) in (0, 200)
    assert all(repr(node) for path, *_ in found for node, _ in path)
"""
    freed = os.environ | {"PYTHONMALLOC": "debug"}  # is overwritten at once
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=freed)
    assert done.returncode == 0, done.stderr


def test_a_handle_made_while_another_is_being_made_shares_its_share(eager_collector):
    gc.disable()
    handle = tree(5)
    owner = tree(0, leaf=None, left=handle)
    weak = handle.downgrade()
    handle.close()
    inner = []
    Finalizer(lambda: inner.append(weak.upgrade()))
    gc.enable()
    outer = owner.value.left
    gc.disable()
    gc.collect()
    gc.enable()
    assert outer.ptr_eq(inner[0])
    assert outer.strong_count == 3


def test_a_node_whose_last_handle_is_ending_gives_no_other_one():
    """The end of what is nested deeply is put off; what runs before that must not see half of it."""
    upgraded = []

    class Ends:
        def __del__(self) -> None:
            upgraded.append(weak.upgrade())

    before = alive()
    for depth in range(1, 70):
        nested = hw.Shared(Leaf())
        weak = nested.downgrade()
        for _ in range(depth):
            nested = hw.Shared([Ends(), nested])
        del nested
        assert {handle.value.label for handle in upgraded if handle is not None} <= {"leaf"}
        upgraded.clear()
        assert weak.upgrade() is None
    assert alive() == before


def test_a_collection_that_gives_up_changes_nothing():
    handle, lost = ring(50), ring(50)
    lost.close()
    before = alive()
    for budget in range(50):
        assert _native.nodes_collect(budget) == 0
        assert _native.nodes_check() is None
        assert alive() == before
    assert _native.nodes_collect() == 50
    assert handle.value.left.value.key == 1


@pytest.mark.parametrize("length", [300_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_long_chains_and_rings_need_no_stack(length):
    program = f"""
import threading, heapwright as hw
@hw.node
class Link:
    next: hw.Shared["Link"] | None
    back: hw.Shared["Link"] | None
def alive():
    return hw._native.nodes_statistics()["live_nodes"]
def chain():
    last = head = hw.Shared(Link())
    for _ in range({length} - 1):
        head = hw.Shared(Link(next=head))
    return head, last
def work():
    head, last = chain()
    print(hw.cycles(), hw.collect_cycles(python=False), alive())  # told and marked, while it is owned
    head.close(), last.close()
    print(alive())
    head, last = chain()
    last.value.next, last.value.back = head, last  # a ring, and the shortest cycle in it
    (told,) = hw.cycles()
    print(told.nodes, len(told.path), told.owners_outside)
    head.close(), last.close()
    print(hw.collect_cycles(python=False), alive(), hw._native.nodes_check())
threading.stack_size(256 << 10)
thread = threading.Thread(target=work); thread.start(); thread.join()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    said = [f"[] 0 {length}", "0", f"{length} 1 2", f"{length} 0 None"]
    assert (done.returncode, done.stdout.splitlines()) == (0, said), done.stderr


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_leave_what_a_handle_reaches(seed):
    """The model: a dict of key -> (left, right), and a search from the handles."""
    choose = random.Random(seed)
    before = alive()
    handles: dict[int, hw.Shared] = {}
    edges: dict[int, dict[str, int | None]] = {}
    for key in range(300):
        action = choose.random()
        keys = list(handles)
        if action < 0.4 or not keys:
            handles[key] = tree(key)
            edges[key] = {"left": None, "right": None}
        elif action < 0.75:
            owner, owned, field = choose.choice(keys), choose.choice(keys), choose.choice(["left", "right"])
            setattr(handles[owner].value, field, handles[owned])
            edges[owner][field] = owned
        elif action < 0.95:
            handles.pop(choose.choice(keys)).close()
        else:
            hw.collect_cycles(python=False)
            reached, waiting = set(), list(handles)
            while waiting:
                if (found := waiting.pop()) not in reached:
                    reached.add(found)
                    waiting += [target for target in edges[found].values() if target is not None]
            assert alive() - before == len(reached)
            for start in handles:
                for field, target in edges[start].items():
                    seen = getattr(handles[start].value, field)
                    assert (seen.value.key if seen else None) == target
                    del seen
        assert _native.nodes_check() is None
