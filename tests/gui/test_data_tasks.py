"""The data page's menu: label sheets in and out, and copies without identifiers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QWidget

from engine.contract.config_io import to_plain
from engine.contract.events import FAILED, JobFinished, JobStarted
from engine.contract.records import DeidentifyResult, RelabelResult, SkippedFile
from gui.panels.data_tasks import DataTasks
from gui.widgets.message_bar import MessageKind


class Menu:
    """The menu on a project, what is selected, and what it told."""

    def __init__(self, qtbot, session) -> None:
        self._window = QWidget()
        qtbot.addWidget(self._window)
        self.selected: list[int] = []
        self.told: list[tuple[MessageKind, str, str]] = []
        self._tasks = DataTasks(session, lambda: self.selected, self._window)
        self._tasks.told.connect(self._listen)

    def choose(self, start: str) -> None:
        self._tasks.menu.aboutToShow.emit()
        [action] = [a for a in self._tasks.menu.actions() if a.text().startswith(start)]
        assert action.isEnabled()
        action.trigger()

    def texts(self) -> list[str]:
        self._tasks.menu.aboutToShow.emit()
        return [a.text() for a in self._tasks.menu.actions() if a.text()]

    def _listen(self, kind, what, remedy, _actions) -> None:
        self.told.append((kind, what, remedy))


@pytest.fixture
def menu(qtbot, open_session, project_folder):
    return Menu(qtbot, open_session(project_folder))


def test_a_sheet_changes_labels_and_the_message_says_how_to_take_it_back(
    qtbot, menu, engine, monkeypatch
):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/x/new.csv", ""))
    result = RelabelResult(
        n_changed=3, n_same=20, matched=23, rows_without_file=2, files_without_row=1, conflicts=0
    )
    engine.completes("relabel", **to_plain(result))
    menu.choose("Change labels")
    qtbot.waitUntil(lambda: bool(menu.told))
    assert engine.asked("relabel")[0].labels == "/x/new.csv"
    assert menu.told == [
        (
            MessageKind.SUCCESS,
            "3 images have another label now.",
            "Undo takes it back. 2 rows name no image here.",
        )
    ]


def test_labels_are_saved_as_csv_even_if_the_suffix_was_left_away(
    qtbot, menu, engine, monkeypatch, tmp_path: Path
):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    engine.completes("export_labels", out="", n_images=24)
    menu.choose("Save the labels")
    qtbot.waitUntil(lambda: bool(menu.told))
    assert engine.asked("export_labels")[0].out == str(tmp_path / "mine.csv")
    assert "file names, which may identify" in menu.told[0][2]


@pytest.mark.parametrize(("selected", "records"), [([], None), ([4], None), ([4, 7], (4, 7))])
def test_a_selection_of_several_is_copied_else_everything(
    qtbot, menu, engine, monkeypatch, selected, records
):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/x/copies")
    engine.completes(
        "deidentify", **to_plain(DeidentifyResult(out="", n_images=2, n_skipped=0, skipped=()))
    )
    menu.selected = selected
    start = "Copy 2 images" if records else "Copy all images"
    menu.choose(start)
    qtbot.waitUntil(lambda: bool(menu.told))
    assert engine.asked("deidentify")[0].records == records


def test_what_was_not_copied_is_a_warning_with_the_first_reason(qtbot, menu, engine, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/x/copies")
    skipped = (SkippedFile(path="a.png", reason="Not a DICOM file: only those are copied."),)
    result = DeidentifyResult(out="", n_images=23, n_skipped=1, skipped=skipped)
    engine.completes("deidentify", **to_plain(result))
    menu.choose("Copy all images")
    qtbot.waitUntil(lambda: bool(menu.told))
    kind, what, _ = menu.told[0]
    assert kind is MessageKind.WARNING
    assert what.endswith("1 left out; the first: Not a DICOM file: only those are copied.")


def test_a_failure_says_what_to_do(qtbot, menu, engine, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/x/full")
    engine.plays(
        "deidentify",
        JobStarted(kind="deidentify"),
        JobFinished(
            kind="deidentify",
            outcome=FAILED,
            error="The folder for the copies isn't empty.",
            remedy="Choose a new one.",
        ),
    )
    menu.choose("Copy all images")
    qtbot.waitUntil(lambda: bool(menu.told))
    assert menu.told == [
        (MessageKind.ERROR, "The folder for the copies isn't empty.", "Choose a new one.")
    ]


def test_a_closed_dialog_does_nothing(menu, engine, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    menu.choose("Copy all images")
    assert engine.commands == []
