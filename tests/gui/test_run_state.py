"""The table of run states: every pair of state and input."""

import itertools

import pytest

from gui.run_state import TRANSITIONS, RunInput, RunState, next_state

PAIRS = list(itertools.product(RunState, RunInput))


@pytest.mark.parametrize(("state", "moved_by"), PAIRS)
def test_every_pair_leads_to_a_state_and_unlisted_ones_change_nothing(
    state: RunState, moved_by: RunInput
) -> None:
    after = next_state(state, moved_by)
    assert after is TRANSITIONS.get((state, moved_by), state)


@pytest.mark.parametrize("state", [s for s in RunState if s is not RunState.IDLE])
def test_a_finished_run_is_idle_from_wherever_it_was(state: RunState) -> None:
    assert next_state(state, RunInput.FINISHED) is RunState.IDLE


def test_a_late_event_of_an_ended_run_changes_nothing() -> None:
    for moved_by in (RunInput.PAUSED, RunInput.RESUMED, RunInput.STARTED, RunInput.FINISHED):
        assert next_state(RunState.IDLE, moved_by) is RunState.IDLE


@pytest.mark.parametrize("request_input", [RunInput.PAUSE, RunInput.STOP, RunInput.CANCEL])
def test_a_request_is_pending_until_the_engine_confirms(request_input: RunInput) -> None:
    assert next_state(RunState.RUNNING, request_input).is_pending


def test_a_cancel_wins_over_every_other_request() -> None:
    for state in (RunState.PAUSING, RunState.STOPPING, RunState.PROCEEDING, RunState.STARTING):
        assert next_state(state, RunInput.CANCEL) is RunState.CANCELING
        assert next_state(RunState.CANCELING, RunInput.PAUSE) is RunState.CANCELING


def test_every_state_but_idle_counts_as_busy() -> None:
    assert [s for s in RunState if not s.is_busy] == [RunState.IDLE]
