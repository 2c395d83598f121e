"""What is said while a job goes on."""

from __future__ import annotations

import time
from typing import Any

from engine.data.progress import Progress, SilenceWatch


def test_files_read_by_an_earlier_part_count_as_done_but_not_for_the_rate(monkeypatch):
    events: list[Any] = []
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(events.append, "scan", "Reading images", 100, n_before=60)
    now[0] += 10
    progress.step(20)
    progress.say("Waiting for the disk")
    first, later, said = events
    assert (first.done, first.per_s, first.seconds_left) == (60, None, None)
    assert (later.done, later.total, later.per_s, later.seconds_left) == (80, 100, 2.0, 10.0)
    assert (said.stage, said.done) == ("Waiting for the disk", 80)


def test_a_silent_disk_is_said_once_for_each_silence():
    events: list[Any] = []
    with SilenceWatch(events.append, after_s=0.1) as watch:
        time.sleep(0.5)
        assert len(events) == 1
        watch.sign_of_life()
        time.sleep(0.5)
    assert len(events) == 2
    assert "RadTune waits" in events[0].message
