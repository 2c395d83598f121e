"""The states of a run as the window shows them: one pure table.

A request makes a pending state, and only the engine's event confirms it. A run that hangs forgets
what was asked of it: if it moves again after all, the engine's next event says where it stands.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class RunState(Enum):
    """Where a run stands."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    PROCEEDING = "proceeding"
    STOPPING = "stopping"
    CANCELING = "canceling"
    HUNG = "hung"
    RESTARTING = "restarting"

    @property
    def is_busy(self) -> bool:
        """Whether a run is under way, in whatever state."""
        return self is not RunState.IDLE

    @property
    def is_pending(self) -> bool:
        """Whether a request waits for the engine's confirmation."""
        return self in _PENDING


class RunInput(Enum):
    """What moves a run: requests of the user, events of the engine, and the watch on progress."""

    START = "start"
    PAUSE = "pause"
    PROCEED = "proceed"
    STOP = "stop"
    CANCEL = "cancel"
    RESTART = "restart"
    STOOD_STILL = "stood still"
    MOVED = "moved"
    STARTED = "RunStarted"
    PAUSED = "RunPaused"
    RESUMED = "RunResumed"
    FINISHED = "RunFinished"


_PENDING: Final = frozenset(
    {
        RunState.STARTING,
        RunState.PAUSING,
        RunState.PROCEEDING,
        RunState.STOPPING,
        RunState.CANCELING,
        RunState.RESTARTING,
    }
)
_CAN_HANG: Final = (
    RunState.STARTING,
    RunState.RUNNING,
    RunState.PAUSING,
    RunState.PROCEEDING,
    RunState.STOPPING,
    RunState.CANCELING,
)
_S, _I = RunState, RunInput
TRANSITIONS: Final[dict[tuple[RunState, RunInput], RunState]] = {
    (_S.IDLE, _I.START): _S.STARTING,
    (_S.STARTING, _I.STARTED): _S.RUNNING,
    (_S.STARTING, _I.PAUSED): _S.PAUSED,  # a full disk keeps a run from going on at all
    (_S.STARTING, _I.CANCEL): _S.CANCELING,
    (_S.RUNNING, _I.PAUSE): _S.PAUSING,
    (_S.RUNNING, _I.STOP): _S.STOPPING,
    (_S.RUNNING, _I.CANCEL): _S.CANCELING,
    (_S.RUNNING, _I.PAUSED): _S.PAUSED,  # the engine pauses by itself when the disk is full
    (_S.PAUSING, _I.PAUSED): _S.PAUSED,
    (_S.PAUSING, _I.STOP): _S.STOPPING,
    (_S.PAUSING, _I.CANCEL): _S.CANCELING,
    (_S.PAUSED, _I.PROCEED): _S.PROCEEDING,
    (_S.PAUSED, _I.RESUMED): _S.RUNNING,  # and goes on by itself when there is room
    (_S.PAUSED, _I.STOP): _S.STOPPING,
    (_S.PAUSED, _I.CANCEL): _S.CANCELING,
    (_S.PROCEEDING, _I.RESUMED): _S.RUNNING,
    (_S.PROCEEDING, _I.PAUSED): _S.PAUSED,
    (_S.PROCEEDING, _I.STOP): _S.STOPPING,
    (_S.PROCEEDING, _I.CANCEL): _S.CANCELING,
    (_S.STOPPING, _I.CANCEL): _S.CANCELING,
    (_S.HUNG, _I.MOVED): _S.RUNNING,
    (_S.HUNG, _I.STARTED): _S.RUNNING,
    (_S.HUNG, _I.RESUMED): _S.RUNNING,
    (_S.HUNG, _I.PAUSED): _S.PAUSED,
    (_S.HUNG, _I.STOP): _S.STOPPING,
    (_S.HUNG, _I.CANCEL): _S.CANCELING,
    (_S.HUNG, _I.RESTART): _S.RESTARTING,
    (_S.RESTARTING, _I.START): _S.STARTING,  # its worker has ended, and the next one goes on
    **{(state, _I.STOOD_STILL): _S.HUNG for state in _CAN_HANG},
    **{(state, _I.FINISHED): _S.IDLE for state in RunState if state is not _S.IDLE},
}


def next_state(state: RunState, moved_by: RunInput) -> RunState:
    """Return the state after an input; one that means nothing in this state changes nothing."""
    return TRANSITIONS.get((state, moved_by), state)
