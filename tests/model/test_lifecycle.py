from pathlib import Path

import pytest

from heapwright.model.errors import InvalidTransition
from heapwright.model.lifecycle import (
    TRANSITIONS,
    Event,
    State,
    after,
    is_live,
    may_free,
    may_move,
    may_spill,
    mermaid,
)


def test_only_owned_or_sealed_blocks_move_spill_or_free() -> None:
    owned_or_sealed = {State.ALLOCATED, State.SEALED}
    for allowed in (may_move, may_spill, may_free):
        assert {state for state in State if allowed(state)} == owned_or_sealed


def test_every_state_can_be_reached_from_reserved() -> None:
    reached = {State.RESERVED}
    while True:
        more = {now for (before, _), now in TRANSITIONS.items() if before in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == set(State)


def test_corrupted_is_final_and_everything_else_can_go_on() -> None:
    leaving = {before for before, _ in TRANSITIONS}
    assert set(State) - leaving == {State.CORRUPTED}


def test_what_is_lent_comes_back_to_its_owner() -> None:
    for lend, give_back in ((Event.LEASE, Event.RETURN), (Event.EXPOSE, Event.CONCEAL), (Event.SEAL, Event.UNSEAL)):
        assert after(after(State.ALLOCATED, lend), give_back) is State.ALLOCATED


def test_live_states_are_those_between_allocate_and_deallocate() -> None:
    assert {state for state in State if not is_live(state)} == {State.RESERVED, State.FREE, State.FREED}


def test_a_step_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(InvalidTransition, match="a block that is exposed cannot deallocate") as caught:
        after(State.EXPOSED, Event.DEALLOCATE)
    assert (caught.value.state, caught.value.event) == ("exposed", "deallocate")
    assert "conceal" in str(caught.value)


def test_the_diagram_has_one_arrow_for_each_step() -> None:
    arrows = [line for line in mermaid().splitlines() if " : " in line]
    assert len(arrows) == sum(event is not Event.CORRUPT for _, event in TRANSITIONS)
    assert "    allocated --> freed : deallocate" in arrows


def test_the_documentation_shows_this_diagram() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "life-cycle.md"
    assert f"```mermaid\n{mermaid()}\n```" in page.read_text()
