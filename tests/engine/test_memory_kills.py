"""A run that Linux ended for its memory goes on in smaller parts; one that a user killed not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from engine.contract.commands import Resume, Train
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    BatchFinished,
    Event,
    Recovered,
    RunFinished,
    RunStarted,
)
from engine.jobs import memory_kills
from engine.jobs.memory_kills import MemoryKills
from engine.run import execute
from tests.engine.test_out_of_memory import _own_cache
from tests.helpers.killable import kept_bytes
from tests.long.disk_faults import fault_config

__all__ = ["_own_cache"]


class Kernel:
    """What the kernel tells of its kills; ``/proc/vmstat`` holds a name and a number a line."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._vmstat, self._boot = folder / "vmstat", folder / "boot_id"
        patch.setattr(memory_kills, "_VMSTAT", self._vmstat)
        patch.setattr(memory_kills, "_BOOT", self._boot)

    def tells(self, kills: int, boot: str = "one") -> None:
        self._vmstat.write_text(f"nr_free_pages 9\noom_kill {kills}\n", encoding="ascii")
        self._boot.write_text(f"{boot}\n", encoding="ascii")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(tmp_path, monkeypatch)
    kernel.tells(3)
    return kernel


def there() -> None:
    pass


@pytest.mark.parametrize(
    ("kills", "boot", "expected"), [(3, "one", False), (4, "one", True), (4, "two", False)]
)
def test_only_a_kill_since_the_run_began_counts(
    tmp_path: Path, kernel: Kernel, kills: int, boot: str, expected: bool
) -> None:
    notes = MemoryKills(tmp_path, there)
    cut_off = notes.noted()
    cut_off.__enter__()
    kernel.tells(kills, boot)
    assert MemoryKills(tmp_path, there).have_ended_it() is expected


def test_a_run_that_ended_in_order_was_not_killed(tmp_path: Path, kernel: Kernel) -> None:
    notes = MemoryKills(tmp_path, there)
    with contextlib.suppress(KeyboardInterrupt), notes.noted():
        raise KeyboardInterrupt
    kernel.tells(4)
    assert not notes.have_ended_it()


def test_a_system_that_counts_no_kills_tells_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Kernel(tmp_path / "none", monkeypatch)
    notes = MemoryKills(tmp_path, there)
    with notes.noted():
        assert not notes.have_ended_it()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_note_tells_of_nothing(tmp_path: Path, kernel: Kernel) -> None:
    (tmp_path / "training.json").write_text("[3]", encoding="utf-8")
    assert not MemoryKills(tmp_path, there).have_ended_it()


@pytest.mark.parametrize("kills", [3, 4])
def test_a_killed_run_goes_on_with_the_same_bits_unless_memory_was_the_reason(
    study: Path, untouched: dict[str, bytes], kernel: Kernel, kills: int
) -> None:
    run, left = _cut_off(study)
    (study / "runs" / run / "training.json").write_bytes(left)  # as a kill leaves it
    kernel.tells(kills)
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Recovered):
            told.append(event.message)

    finished = execute(Resume(project=str(study), run=run), listen, Control())
    assert finished.outcome == COMPLETED, finished.error
    last = study / "runs" / run / "checkpoints" / "last" / "state.json"
    micro_batch = json.loads(last.read_text(encoding="utf-8"))["micro_batch"]
    size = fault_config().optimizer.batch_size
    if kills == 3:
        assert (micro_batch, told) == (size, [])
        assert kept_bytes(study, run) == untouched
    else:
        assert micro_batch == size // 2
        assert len(told) == 1 and "memory was used up" in told[0] and "4 at a time" in told[0]
    assert not (study / "runs" / run / "training.json").exists()


def _cut_off(study: Path) -> tuple[str, bytes]:
    """Interrupt a run, and return its id and the note that it kept while it trained."""
    control, notes, runs = Control(), [], []

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            runs.append(event.run)
        if isinstance(event, BatchFinished) and event.step == 3:
            notes.append((study / "runs" / runs[0] / "training.json").read_bytes())
            control.interrupt()

    finished = execute(Train(project=str(study), config=fault_config()), listen, control)
    assert isinstance(finished, RunFinished) and finished.outcome == CANCELED
    return runs[0], notes[0]
