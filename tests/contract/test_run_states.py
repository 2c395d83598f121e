"""The states of a run in the history: every pair, against a table written out by hand."""

import itertools

import pytest

from engine.contract.events import OUTCOMES
from engine.contract.run_states import RESUMABLE, STATES, UNDER_WAY, may_follow

# Rows: the state before. Columns: the state after, in the same order.
TABLE = """
            running paused interrupted completed stopped canceled failed
running     yes     yes    yes         yes       yes     yes      yes
paused      yes     yes    yes         yes       yes     yes      yes
interrupted yes     no     yes         no        no      no       no
completed   no      no     no          yes       no      no       no
stopped     no      no     no          no        yes     no       no
canceled    no      no     no          no        no      yes      no
failed      yes     no     no          no        no      no       yes
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
EXPECTED = {
    (before, after): cell == "yes"
    for before, *cells in ROWS
    for after, cell in zip(HEAD, cells, strict=True)
}


def test_the_table_names_every_pair() -> None:
    assert set(EXPECTED) == set(itertools.product(STATES, STATES))
    assert set(OUTCOMES) < set(STATES)


@pytest.mark.parametrize(("before", "after"), EXPECTED)
def test_every_pair_is_as_the_table_says(before: str, after: str) -> None:
    assert may_follow(before, after) is EXPECTED[before, after]


@pytest.mark.parametrize(("before", "after"), [("running", "happy"), ("happy", "running")])
def test_a_state_that_there_is_not_is_a_mistake(before: str, after: str) -> None:
    with pytest.raises(ValueError, match="no such state of a run: happy"):
        may_follow(before, after)


def test_what_can_be_resumed_may_run_again() -> None:
    assert all(may_follow(state, "running") for state in (*RESUMABLE, *UNDER_WAY))
    others = set(STATES) - {*RESUMABLE, *UNDER_WAY}
    assert not any(may_follow(state, "running") for state in others)
