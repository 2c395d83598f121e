"""Writing what must not be lost: while the disk refuses, the run waits, and then goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from engine.contract.control import Control, JobCanceled
from engine.contract.errors import StorageError
from engine.contract.events import Event, RunPaused, RunResumed

_TRY_AGAIN_S: Final = 5.0
Written = TypeVar("Written")


def when_there_is_room(
    write: Callable[[], Written], *, run: str, emit: Callable[[Event], None], control: Control
) -> Written:
    """Write, and return what writing returns; while the disk refuses, say so and wait.

    Args:
        write: Can be repeated after it failed.
        run: Id of the run, for the events.
        emit: Receives ``RunPaused`` with the reason, and ``RunResumed`` once it worked.
        control: Ends the waiting.

    Raises:
        JobCanceled: If the run was asked to end while it waited.
    """
    is_paused = False
    while True:
        try:
            written = write()
            break
        except StorageError as error:
            if control.cancel_requested:
                raise JobCanceled from error
            if not is_paused:
                emit(RunPaused(run=run, reason=f"{error.message} {error.remedy}"))
            is_paused = True
            control.wait_for_request(_TRY_AGAIN_S)
    if is_paused:
        emit(RunResumed(run=run))
    return written
