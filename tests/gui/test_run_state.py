"""The table of run states: every pair of state and input, against one written out by hand."""

import itertools

import pytest

from gui.run_state import RunInput, RunState, next_state

# Rows: states. Columns: inputs, in the order of COLUMNS. A dot: nothing changes.
COLUMNS = (
    "START PAUSE PROCEED STOP CANCEL RESTART STOOD_STILL MOVED STARTED PAUSED RESUMED FINISHED"
).split()
TABLE = """
IDLE        STARTING .       .          .        .         .          .    .       .       .      .       .
STARTING    .        .       .          .        CANCELING .          HUNG .       RUNNING PAUSED .       IDLE
RUNNING     .        PAUSING .          STOPPING CANCELING .          HUNG .       .       PAUSED .       IDLE
PAUSING     .        .       .          STOPPING CANCELING .          HUNG .       .       PAUSED .       IDLE
PAUSED      .        .       PROCEEDING STOPPING CANCELING .          .    .       .       .      RUNNING IDLE
PROCEEDING  .        .       .          STOPPING CANCELING .          HUNG .       .       PAUSED RUNNING IDLE
STOPPING    .        .       .          .        CANCELING .          HUNG .       .       .      .       IDLE
CANCELING   .        .       .          .        .         .          HUNG .       .       .      .       IDLE
HUNG        .        .       .          STOPPING CANCELING RESTARTING .    RUNNING RUNNING PAUSED RUNNING IDLE
RESTARTING  STARTING .       .          .        .         .          .    .       .       .      .       IDLE
"""  # noqa: E501 - a table is read in columns
EXPECTED = {
    (RunState[state], RunInput[column]): RunState[state if after == "." else after]
    for state, *cells in (line.split() for line in TABLE.strip().splitlines())
    for column, after in zip(COLUMNS, cells, strict=True)
}


def test_the_table_names_every_pair() -> None:
    assert set(EXPECTED) == set(itertools.product(RunState, RunInput))


@pytest.mark.parametrize(
    ("state", "moved_by"), EXPECTED, ids=lambda member: str(member.name).lower()
)
def test_every_pair_leads_where_the_table_says(state: RunState, moved_by: RunInput) -> None:
    assert next_state(state, moved_by) is EXPECTED[state, moved_by]


@pytest.mark.parametrize("state", [s for s in RunState if s is not RunState.IDLE])
def test_a_finished_run_is_idle_from_wherever_it_was(state: RunState) -> None:
    assert next_state(state, RunInput.FINISHED) is RunState.IDLE


@pytest.mark.parametrize("request_input", [RunInput.PAUSE, RunInput.STOP, RunInput.CANCEL])
def test_a_request_is_pending_until_the_engine_confirms(request_input: RunInput) -> None:
    assert next_state(RunState.RUNNING, request_input).is_pending


def test_every_state_but_idle_counts_as_busy() -> None:
    assert [s for s in RunState if not s.is_busy] == [RunState.IDLE]
