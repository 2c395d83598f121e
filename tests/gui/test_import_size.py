"""The size at which tiny images are prepared, asked while they are imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QWidget

from engine.contract.config_io import to_plain
from engine.contract.events import COMPLETED, JobFinished, JobStarted
from engine.contract.import_rules import ColumnMapping, SheetFormat
from engine.contract.records import SourcePreview
from gui.dialogs import project_place
from gui.dialogs.size_choice import SizeChoiceCard
from gui.main_window import MainWindow
from gui.preferences import Preferences
from tests.helpers.made_project import make_project

TINY = SourcePreview(
    source="", n_files=5856, class_folders=(("normal", 1583), ("pneumonia", 4273)), image_px=28
)
SHEET = replace(
    TINY,
    tables=("labels.csv",),
    table="labels.csv",
    columns=("file", "diagnosis"),
    rows=(("a.png", "Normal"), ("b.png", "Mass")),
    guess=ColumnMapping(path="file", label="diagnosis", join="path"),
    format=SheetFormat(separator=",", encoding="utf-8", header_row=1),
    n_checked=2,
    n_matched=2,
    task="single",
    classes=(("Normal", 1), ("Mass", 1)),
)


@pytest.fixture
def window(qtbot, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(project_place, "projects_folder", lambda: tmp_path / "documents")
    preferences = Preferences()
    preferences._settings.clear()
    window = MainWindow(engine.client(), preferences)
    window.resize(1366, 768)
    window.show()
    yield window
    window.close()
    window.deleteLater()
    preferences._settings.clear()


@pytest.fixture
def form(qtbot, window, engine, tmp_path):
    """Return a function that shows the form for a preview."""
    source = tmp_path / "images"
    source.mkdir()

    def shown(preview: SourcePreview):
        plain = to_plain(replace(preview, source=str(source)))
        finished = JobFinished(kind="preview", outcome=COMPLETED, result=plain)
        engine.plays("preview", JobStarted(kind="preview"), finished)
        window.open_paths([source])
        page = window._import_page
        qtbot.waitUntil(lambda: page._stack.currentWidget() is page._form)
        return page

    return shown


def card(page: QWidget) -> SizeChoiceCard:
    return page.findChildren(SizeChoiceCard)[0]


def imported(qtbot, engine, page):
    page._go.click()
    qtbot.waitUntil(lambda: bool(engine.asked("scan")))
    return engine.asked("scan")[0]


def test_tiny_images_are_imported_at_the_recommended_size(qtbot, engine, form):
    page = form(TINY)
    assert card(page).isVisible()
    assert card(page)._size.currentText() == "112 px (recommended)"
    assert "28 px" in card(page)._why.text()
    assert imported(qtbot, engine, page).size_px == 112


def test_the_usual_size_can_be_kept_and_stays_when_the_sheet_is_looked_at_again(
    qtbot, engine, form
):
    page = form(SHEET)
    choice = card(page)._size
    choice.setCurrentIndex(choice.findData(224))
    page._want_look()
    qtbot.waitUntil(lambda: len(engine.asked("preview")) == 2)
    qtbot.waitUntil(lambda: page._inspection is None)
    assert choice.currentText() == "224 px (usual)"
    assert imported(qtbot, engine, page).size_px == 224


@pytest.mark.parametrize("image_px", [0, 65, 512])
def test_other_images_are_not_asked_about(qtbot, engine, form, image_px):
    page = form(replace(TINY, image_px=image_px))
    assert not card(page).isVisible()
    assert imported(qtbot, engine, page).size_px is None


def test_another_source_is_looked_at_anew(form):
    assert card(form(TINY)).isVisible()
    assert not card(form(replace(TINY, image_px=512))).isVisible()


def test_a_project_with_images_keeps_its_size(qtbot, engine, window, form, tmp_path: Path):
    folder = make_project(tmp_path / "p.radtune")
    assert window.open_project(folder)
    qtbot.waitUntil(lambda: bool(window.session.snapshot.records))
    page = form(TINY)
    assert page.project == folder
    assert not card(page).isVisible()
    assert imported(qtbot, engine, page).size_px is None
