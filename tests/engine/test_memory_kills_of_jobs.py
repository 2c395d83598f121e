"""Pre-trainings and folds that Linux ended for their memory go on in smaller parts, as runs do."""

from __future__ import annotations

import json
from pathlib import Path

from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, Recovered
from tests.engine.test_crossval_goes_on import _command, _cut_off, _finish
from tests.engine.test_memory_kills import Kernel, kernel
from tests.engine.test_out_of_memory import _own_cache
from tests.engine.test_pretraining_goes_on import asked, cut_off
from tests.engine.test_pretraining_job import _own_weights, _two, perform, two

__all__ = ["_own_cache", "_own_weights", "_two", "kernel", "two"]


def leave_note(folder: Path) -> None:
    """Leave what a kill leaves: the count of the time when training began."""
    note = {"boot": "one", "kills": 3}
    (folder / "training.json").write_text(json.dumps(note), encoding="utf-8")


def test_a_pretraining(two: list[Path], kernel: Kernel) -> None:
    cut_off(two)
    [folder] = [path for project in two for path in (project / "runs").iterdir()]
    assert not (folder / "training.json").exists()
    leave_note(folder)
    kernel.tells(4)
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Recovered):
            told.append(event.message)

    finished = perform(asked(two), Control(), listen)
    assert finished.outcome == COMPLETED, finished.error
    [message] = told
    assert "memory was used up, so images are computed 8 at a time" in message


def test_a_fold(study: Path, kernel: Kernel) -> None:
    command = _command(study, "full_finetune")
    folder = _cut_off(command, "Part 1 of 2: training", after=0.4)
    leave_note(folder / "fold-1")
    kernel.tells(4)
    _, told = _finish(command)
    assert len([text for text in told if text.startswith("Part 1: The system ended")]) == 1
    assert not [text for text in told if text.startswith("Part 2: The system ended")]
    assert not list(folder.rglob("training.json"))
