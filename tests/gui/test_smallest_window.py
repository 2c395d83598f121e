"""No page is wider than the smallest window, also with larger text."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QScrollArea

from engine.contract.events import JobProgressed, JobStarted
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.stages import Stage
from gui.theme import theme

STAGES = (Stage.DATA, Stage.SPLIT, Stage.MODEL, Stage.TRAIN, Stage.EVALUATE, Stage.SEARCH)


@pytest.fixture
def window(qtbot, engine, split_folder, tmp_path):
    engine.completes("doctor", device="cpu", threads=2, weights={})
    settings = QSettings(str(tmp_path / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(engine.client(), Preferences(settings))
    window.resize(window.minimumSize())
    window.show()
    with qtbot.waitSignal(window.session.snapshot_changed, timeout=5_000):
        assert window.open_project(split_folder)
    yield window
    window.closing.save()
    window.close()
    window.deleteLater()


def too_wide(page) -> list[str]:
    """Return what reaches beyond the page."""
    areas = [area for area in page.findChildren(QScrollArea) if area.isVisible()]
    places = [(area, area.mapTo(page, area.rect().bottomRight()).x()) for area in areas]
    found = [type(area).__name__ for area, right in places if right > page.width()]
    found += [
        type(area.widget()).__name__
        for area in areas
        if area.widget().width() > area.viewport().width()
    ]
    return found


@pytest.mark.parametrize("scale", [1.0, 1.3])
@pytest.mark.parametrize("stage", STAGES)
def test_every_page_fits(qtbot, window, stage, scale):
    theme().set_text_scale(scale)
    window.show_stage(stage)
    page = window.page(stage)
    qtbot.waitUntil(lambda: page.isVisible() and page.width() > 0)
    qtbot.waitUntil(lambda: not too_wide(page))
    assert window.width() == window.minimumSize().width()


def test_a_search_that_tells_much_does_not_widen_its_page(qtbot, engine, window):
    def play(command, control):
        yield JobStarted(kind="search")
        stage = "Round 1 of 3: EfficientNet-Lite0, soft threshold, learning rate 0.0015, " * 2
        yield JobProgressed(kind="search", stage=stage, done=460, total=1800, seconds_left=1200)
        while not control.cancel_requested:
            control.wait_for_request(0.02)

    engine.runs("search", play)
    theme().set_text_scale(1.3)
    window.show_stage(Stage.SEARCH)
    page = window.page(Stage.SEARCH)
    page.start()
    qtbot.waitUntil(lambda: "Round 1" in page._progress.bar.accessibleName())
    qtbot.waitUntil(lambda: not too_wide(page))
