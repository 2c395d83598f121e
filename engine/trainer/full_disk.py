"""Writing what must not be lost, and reading what a run can't do without.

While the disk refuses, the run waits, and then goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.contract.control import Control
from engine.contract.errors import (
    DamagedFileError,
    ProjectBusyError,
    ReadOnlyError,
    StorageError,
)
from engine.contract.events import Event, RunPaused, RunResumed, Warned
from engine.models.features import PixelRows

_TRY_AGAIN_S: Final = 5.0
_HOW_TO_END: Final = "Stop ends it with what was saved last."
Done = TypeVar("Done")


def when_there_is_room(
    act: Callable[[], Done], *, run: str, emit: Callable[[Event], None], control: Control
) -> Done:
    """Write or read, and return what that returns; while the disk refuses, say so and wait.

    A request to end is honoured after one more try, so that nothing is lost if there is room by
    then. Stopping ends the run as an interruption does: with what was saved last, to go on from.

    Args:
        act: Writes or reads; can be repeated after it failed.
        run: Id of the run, for the events.
        emit: Receives ``RunPaused`` with the reason, and ``RunResumed`` once it worked.
        control: Ends the waiting.

    Raises:
        DamagedFileError: If a file is damaged: to wait doesn't mend it.
        ReadOnlyError: If a project was opened where nothing can be written: likewise.
        JobCanceled: If the run was asked to end in any way while it waited.
    """
    is_paused = False
    while True:
        n_requests = control.n_requests
        try:
            done = act()
            break
        except (DamagedFileError, ReadOnlyError):
            raise
        except (StorageError, ProjectBusyError) as error:
            if is_paused or control.cancel_requested:
                control.raise_if_ending()
            if not is_paused:
                emit(RunPaused(run=run, reason=f"{error.message} {error.remedy} {_HOW_TO_END}"))
            is_paused = True
            control.wait_for_request(_TRY_AGAIN_S, since=n_requests)
    if is_paused:
        emit(RunResumed(run=run))
    return done


def waiting_as_warning(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return what tells of waiting in a job that is no run: as a warning, until it goes on."""

    def tell(event: Event) -> None:
        if isinstance(event, RunPaused) and event.reason:
            emit(Warned(message=event.reason, is_waiting=True))
        elif isinstance(event, RunResumed):
            emit(RunResumed(run=""))

    return tell


class PatientPixels:
    """Reads a project's pixels for a run, and waits while their disk can't be read."""

    def __init__(
        self, pixels: PixelRows, *, run: str, emit: Callable[[Event], None], control: Control
    ) -> None:
        """Prepare; arguments as those of :func:`when_there_is_room`."""
        self._pixels, self._run, self._emit, self._control = pixels, run, emit, control

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return what the pixels' own ``read`` does.

        Raises:
            JobCanceled: If the run was asked to end while it waited.
            ProjectError: If pixels are missing or damaged.
        """
        return when_there_is_room(
            lambda: self._pixels.read(rows), run=self._run, emit=self._emit, control=self._control
        )
