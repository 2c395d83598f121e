"""Slow, paused, starting, asleep and hanging jobs are told apart by their heartbeats."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from engine.contract.heartbeat import STARTING, WAITING, WORKING, Heartbeat
from gui.worker.hang_watch import IDLE_LIMIT_S, PATIENT_LIMIT_S, TICK_S, HangWatch

Beats = Iterable[Heartbeat | None]


def beats(state: str, *, moves: float = 0.0, cpu: float = 0.0, first: int = 7) -> Beats:
    """Give a heartbeat for every look, for ever: so many moves and seconds of processor a look."""
    for n in itertools.count():
        yield Heartbeat(state=state, n_moves=first + int(n * moves), cpu_s=n * cpu)


def silence() -> Beats:
    return itertools.repeat(None)


def hangs_after(watch: HangWatch, what: Beats, *, at_most_s: float = 3 * PATIENT_LIMIT_S) -> float:
    """Look every few seconds until the watch says that the job hangs; the seconds it took."""
    for n, beat in enumerate(what, start=1):
        if beat is not None:
            watch.take(beat)
        if watch.look():
            return n * TICK_S
        if n * TICK_S > at_most_s:
            return float("inf")
    raise AssertionError


@pytest.fixture
def watch() -> HangWatch:
    watch = HangWatch()
    watch.begin()
    return watch


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        (beats(WORKING, moves=1), float("inf")),
        (beats(WORKING, moves=0.05), float("inf")),  # a step of 100 seconds
        (beats(WORKING), IDLE_LIMIT_S),
        (beats(WORKING, cpu=0.9 * TICK_S), PATIENT_LIMIT_S),
        (beats(WORKING, cpu=0.02 * TICK_S), IDLE_LIMIT_S),
        (beats(WAITING), float("inf")),
        (beats(STARTING), PATIENT_LIMIT_S),
    ],
    ids=["moves", "slowly", "stands", "computes", "hardly", "paused", "starts"],
)
def test_a_job_hangs_when_it_stands_still_for_no_good_reason(watch, what, seconds):
    assert hangs_after(watch, what) == pytest.approx(seconds, abs=2 * TICK_S)


def test_a_worker_that_falls_silent_hangs_even_if_it_was_paused(watch):
    watch.take(Heartbeat(state=WAITING, n_moves=1, cpu_s=0.0))
    assert hangs_after(watch, silence()) == pytest.approx(IDLE_LIMIT_S, abs=2 * TICK_S)


def test_one_that_never_said_anything_gets_the_time_that_a_slow_start_takes(watch):
    assert hangs_after(watch, silence()) == PATIENT_LIMIT_S


def test_an_event_is_progress(watch):
    for _ in range(200):
        watch.take(Heartbeat(state=WORKING, n_moves=3, cpu_s=0.0))
        watch.take_event()
        assert not watch.look()


def test_the_end_of_a_pause_begins_the_count_anew(watch):
    assert hangs_after(watch, beats(WAITING), at_most_s=300) == float("inf")
    assert hangs_after(watch, beats(WORKING)) == pytest.approx(IDLE_LIMIT_S, abs=2 * TICK_S)


def test_what_moves_again_hangs_no_longer(watch):
    hangs_after(watch, beats(WORKING))
    assert watch.still_s >= IDLE_LIMIT_S
    watch.take(Heartbeat(state=WORKING, n_moves=8, cpu_s=0.0))
    assert not watch.look()
    assert watch.still_s <= TICK_S


def test_patience_doubles_the_time_from_now_on(watch):
    hangs_after(watch, beats(WORKING))
    watch.be_patient()
    assert hangs_after(watch, beats(WORKING)) == pytest.approx(2 * IDLE_LIMIT_S, abs=2 * TICK_S)


def test_a_job_that_waits_for_its_turn_does_not_hang():
    assert hangs_after(HangWatch(), silence()) == float("inf")
