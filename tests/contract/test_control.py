"""Requests are honoured at safe points."""

import threading

import pytest

from engine.contract.control import Control, JobCanceled


def test_a_safe_point_without_requests_does_nothing() -> None:
    Control().safe_point(on_pause=pytest.fail)


def test_cancel_raises_at_the_next_safe_point() -> None:
    control = Control()
    control.cancel()
    with pytest.raises(JobCanceled):
        control.safe_point()
    assert not control.interrupted


def test_interrupt_is_a_cancel_that_keeps_the_state() -> None:
    control = Control()
    control.interrupt()
    with pytest.raises(JobCanceled):
        control.safe_point()
    assert control.interrupted


def test_pause_blocks_until_the_job_may_proceed() -> None:
    control, happened = Control(), []
    control.pause()

    def on_pause() -> None:
        happened.append("paused")
        threading.Timer(0.05, control.proceed).start()

    control.safe_point(on_pause, lambda: happened.append("resumed"))
    assert happened == ["paused", "resumed"]


@pytest.mark.parametrize("request_name", ["stop", "cancel"])
def test_a_paused_job_can_be_ended(request_name: str) -> None:
    control = Control()
    control.pause()
    threading.Timer(0.05, getattr(control, request_name)).start()
    if request_name == "cancel":
        with pytest.raises(JobCanceled):
            control.safe_point()
    else:
        control.safe_point()
        assert control.stop_requested
