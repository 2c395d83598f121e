"""The first page and the way from it to a project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from engine.contract.config_io import to_plain
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    JobFinished,
    JobProgressed,
    JobStarted,
)
from engine.contract.import_rules import ColumnMapping
from engine.contract.records import ScanResult, SkippedFile, SourcePreview
from gui.dialogs import project_place
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.stages import Stage
from tests.helpers.made_project import make_project

SHEET = SourcePreview(
    source="",
    n_files=24,
    tables=("labels.csv",),
    table="labels.csv",
    columns=("file", "diagnosis", "person"),
    rows=(("a_1.png", "Normal", "7"), ("b_2.png", "Pneumonia", "8")),
    guess=ColumnMapping(path="file", label="diagnosis"),
    patients=(("a_1.png", "a"), ("b_2.png", "b")),
)
FOLDERS = SourcePreview(
    source="",
    n_files=24,
    class_folders=(("Normal", 12), ("Pneumonia", 12)),
    patients=(("a_1.png", "a"), ("b_2.png", "b")),
)
ONE_FOLDER = replace(FOLDERS, class_folders=(("normal", 24),))
RESULT = ScanResult(
    n_images=24,
    n_skipped=1,
    skipped=(SkippedFile(path="broken.png", reason="The file is cut off."),),
    n_patients=12,
    classes={"Normal": 12, "Pneumonia": 12},
    positive="Pneumonia",
    split=None,
    patient_source="file",
    notes=("No patient ids were found: each file is its own patient.",),
)


@pytest.fixture
def preferences(qapp):
    preferences = Preferences()
    preferences._settings.clear()
    yield preferences
    preferences._settings.clear()


@pytest.fixture
def window(qtbot, engine, preferences, tmp_path, monkeypatch):
    place = tmp_path / "documents"
    monkeypatch.setattr(project_place, "projects_folder", lambda: place)
    monkeypatch.setattr("gui.sample_study.projects_folder", lambda: place)
    window = MainWindow(engine.client(), preferences)
    window.show()
    yield window
    window.close()
    window.deleteLater()


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "chest X-rays 胸部"
    folder.mkdir()
    return folder


def scans_into_project(engine, **changes):
    """Let an import make the project that its command names."""

    def script(command, control):
        del control
        yield JobStarted(kind="scan")
        yield JobProgressed(kind="scan", stage="Reading images", done=12, total=24, per_s=50.0)
        if not Path(command.project).exists():
            make_project(Path(command.project), **changes)
        yield JobFinished(kind="scan", outcome=COMPLETED, result=to_plain(RESULT))

    engine.runs("scan", script)


def look_at(qtbot, window, engine, source, preview):
    plain = {**to_plain(preview), "source": str(source)}
    engine.completes("preview", **plain)
    window.open_paths([source])
    page = window._import_page
    qtbot.waitUntil(lambda: page._stack.currentWidget() is page._form)
    return page


def choose_column(page, role, column):
    box = page._labels.columns._boxes[role]
    box.setCurrentIndex(box.findData(column))
    box.activated.emit(box.currentIndex())


def test_sample_study_is_one_click_to_data_with_a_split(qtbot, window, engine):
    scans_into_project(engine)
    qtbot.mouseClick(window.start_page.try_sample, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.current_page is window.page(Stage.DATA), timeout=10_000)
    kinds = [type(command).__name__ for command in engine.commands]
    assert [k for k in kinds if k != "ViewImage"] == ["MakeSample", "Scan", "MakeSplit"]
    assert "simulated" in window.session.name


def test_sample_study_says_that_it_is_simulated(window):
    description = window.start_page.try_sample.accessibleDescription()
    assert "simulated" in description
    assert "No patient data" in description


def test_two_sample_studies_get_two_folders(qtbot, window, engine, tmp_path):
    first = project_place.free_folder(tmp_path, "Sample")
    first.mkdir()
    assert project_place.free_folder(tmp_path, "Sample") != first


def test_recent_projects_open_with_the_keyboard(qtbot, window, preferences, split_folder):
    preferences.add_recent(split_folder)
    window.show_start()
    row = window.start_page._recent.itemAt(0).widget()
    with qtbot.waitSignal(window.session.snapshot_changed):
        qtbot.keyClick(row, Qt.Key.Key_Return)
    assert window.session.folder == split_folder


def test_a_recent_project_that_is_gone_says_so_and_can_be_forgotten(
    qtbot, window, preferences, tmp_path
):
    preferences.add_recent(tmp_path / "gone.radtune")
    window.show_start()
    row = window.start_page._recent.itemAt(0).widget()
    qtbot.keyClick(row, Qt.Key.Key_Return)
    assert window.messages.n_messages == 1
    qtbot.keyClick(row, Qt.Key.Key_Delete)
    assert preferences.recent_projects == []


def test_sheet_columns_found_by_name_are_filled_in(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, SHEET)
    assert page._labels.mapping == ColumnMapping(path="file", label="diagnosis")
    assert page._labels.sheet == str(source / "labels.csv")
    assert page._go.isEnabled()


def test_import_waits_until_the_class_column_is_named(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, SHEET)
    choose_column(page, "label", "")
    assert not page._go.isEnabled()
    assert "class" in page._problem.text()
    choose_column(page, "label", "diagnosis")
    assert page._go.isEnabled()


def test_column_of_patients_is_offered_only_with_a_sheet(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)
    model, box = page._patients._source.model(), page._patients._source
    assert not model.item(box.findData("column")).isEnabled()


def test_pattern_shows_what_it_gives(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)
    patients = page._patients
    patients._source.setCurrentIndex(patients._source.findData("pattern"))
    assert "a_1.png  →  a" in patients._example.text()
    patients._kind.setCurrentIndex(patients._kind.findData("own"))
    patients._pattern.setText(r"(\d+)")
    assert "b_2.png  →  2" in patients._example.text()
    patients._pattern.setText("(")
    assert not page._go.isEnabled()


def test_each_file_its_own_patient_comes_with_a_warning(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)
    patients = page._patients
    patients._source.setCurrentIndex(patients._source.findData("file"))
    assert "better than they are" in patients._advice.text()


def test_import_sends_what_was_chosen_and_sums_up(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, SHEET)
    scans_into_project(engine)
    qtbot.mouseClick(page._go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page._stack.currentWidget() is page._summary, timeout=10_000)
    [command] = engine.asked("scan")
    assert command.source == str(source)
    assert command.labels == str(source / "labels.csv")
    assert command.columns.label == "diagnosis"
    assert not Path(command.project).is_relative_to(source)
    assert page._summary._skipped.text() == "broken.png\tThe file is cut off."
    qtbot.mouseClick(page._go, Qt.MouseButton.LeftButton)
    assert window.current_page is window.page(Stage.DATA)


def test_project_inside_the_source_is_refused(qtbot, window, engine, source, monkeypatch):
    page = look_at(qtbot, window, engine, source, FOLDERS)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(source))
    page._place._choose_place()
    assert not page._go.isEnabled()
    assert "inside" in page._place.problem


def test_empty_folder_says_what_to_choose(qtbot, window, engine, source):
    engine.completes("preview", **to_plain(SourcePreview(source=str(source), n_files=0)))
    window.open_paths([source])
    page = window._import_page
    qtbot.waitUntil(lambda: page._stack.currentWidget() is page._trouble)
    assert "no images" in page._trouble.accessibleName()
    assert page._trouble.accessibleDescription().startswith("Choose a folder")


def test_failed_import_returns_to_the_form_with_the_reason(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)
    engine.plays(
        "scan",
        JobStarted(kind="scan"),
        JobFinished(kind="scan", outcome=FAILED, error="All alike.", remedy="Add another class."),
    )
    page._go.click()
    qtbot.waitUntil(lambda: page._problem.text() == "All alike. Add another class.")
    assert page._stack.currentWidget() is page._form
    assert window.session.folder is None


def test_import_can_be_canceled(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)

    def script(command, control):
        yield JobStarted(kind="scan")
        while not control.cancel_requested:
            yield JobProgressed(kind="scan", stage="Reading images", done=1, total=24)
            control.wait_for_request(0.05)
        yield JobFinished(kind="scan", outcome=CANCELED)

    engine.runs("scan", script)
    page._go.click()
    qtbot.waitUntil(lambda: len(engine.asked("scan")) == 1)
    qtbot.mouseClick(page._back, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.current_page is window.start_page)
    assert not Path(engine.asked("scan")[0].project).exists()


def test_closing_during_an_import_cancels_it(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)

    def script(command, control):
        yield JobStarted(kind="scan")
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="scan", outcome=CANCELED)

    engine.runs("scan", script)
    page._go.click()
    qtbot.waitUntil(lambda: len(engine.asked("scan")) == 1)
    assert window.close()
    assert set(engine.requests) == {"cancel"}


def test_a_single_class_folder_is_named(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, ONE_FOLDER)
    assert page._problem.text().startswith("There is one class only, 'normal';")
    assert not page._go.isEnabled()


def test_the_keyboard_starts_at_the_button_that_goes_on(qtbot, window, engine, source):
    page = look_at(qtbot, window, engine, source, FOLDERS)
    assert page._go.hasFocus()
