"""What a job that is no run tells while it waits for a disk or a folder."""

from __future__ import annotations

from engine.contract.control import Control
from engine.contract.errors import StorageError
from engine.contract.events import Event, RunResumed, Warned
from engine.trainer.full_disk import waiting_as_warning, when_there_is_room


def test_it_says_that_it_waits_and_then_that_it_goes_on(tries_again_soon: None) -> None:
    told: list[Event] = []
    refusals = [StorageError("The disk is full.", remedy="Make room.")] * 2

    def act() -> str:
        if refusals:
            raise refusals.pop()
        return "written"

    emit = waiting_as_warning(told.append)
    assert when_there_is_room(act, run="r1", emit=emit, control=Control()) == "written"
    warned, resumed = told
    assert isinstance(warned, Warned) and warned.is_waiting
    assert warned.message.startswith("The disk is full. Make room.")
    assert isinstance(resumed, RunResumed) and resumed.run == ""
