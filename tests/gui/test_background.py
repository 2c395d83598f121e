"""Slow work off the window's thread."""

from __future__ import annotations

import threading

import pytest
from PySide6.QtCore import QObject

from engine.contract.errors import ProjectError
from gui.background import Background


class Taker(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[object, threading.Thread]] = []

    def take(self, result: object) -> None:
        self.taken.append((result, threading.current_thread()))


@pytest.fixture
def background(qapp) -> Background:
    return Background()


def test_work_runs_elsewhere_in_order_and_results_come_home(qtbot, background):
    taker = Taker()
    for _ in range(5):
        background.do(threading.current_thread, taker.take)
    assert background.is_busy
    qtbot.waitUntil(lambda: not background.is_busy)
    assert len(taker.taken) == 5
    assert {home for _, home in taker.taken} == {threading.main_thread()}
    assert len({where for where, _ in taker.taken} - {threading.main_thread()}) == 1


def test_what_goes_wrong_is_told_and_the_next_goes_on(qtbot, background):
    failures: list[object] = []
    taker = Taker()
    background.failed.connect(failures.append)

    def fail() -> None:
        raise ProjectError("The disk is gone.", remedy="Plug it in.")

    background.do(fail, taker.take)
    background.do(lambda: 1, taker.take)
    qtbot.waitUntil(lambda: not background.is_busy)
    assert [str(failure) for failure in failures] == ["The disk is gone."]
    assert [result for result, _ in taker.taken] == [1]


def test_a_page_that_is_gone_gets_nothing(qtbot, background):
    taker, other = Taker(), Taker()
    background.do(lambda: 1, taker.take)
    background.do(lambda: 2, other.take)
    taker.deleteLater()
    background.wait()
    qtbot.waitUntil(lambda: not background.is_busy)
    assert taker.taken == []
    assert [result for result, _ in other.taken] == [2]
