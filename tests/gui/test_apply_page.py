"""The page that applies a bundle: what is chosen, what is asked, what is shown."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton

from engine.contract.commands import Predict
from engine.contract.config_io import to_plain
from engine.contract.events import CANCELED, FAILED, JobFinished, JobStarted
from engine.contract.records import SkippedFile
from engine.contract.results import PredictionResult, PredictionRow
from gui.panels.apply import ApplyPanel
from gui.panels.apply_bundle import find_bundles, free_path, read_summary, source_of
from gui.widgets.message_bar import MessageKind


def make_bundle(folder: Path, name: str, *, written_at: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    facts = {
        "name": name,
        "classes": ["Normal", "Pneumonia"],
        "positive": 1,
        "threshold": 0.46,
        "backbone": {"key": "resnet18"},
        "metrics": {"validation_auroc": 0.95, "test": {"auroc": 0.912}},
    }
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    if written_at:
        os.utime(folder / "bundle.json", (written_at, written_at))
    return folder


def prediction(out: Path) -> PredictionResult:
    rows = (("b.png", "P0001", 0.9), ("a.png", "P0002", 0.1), ("c.png", "P0003", 0.5))
    return PredictionResult(
        out=str(out),
        n_images=3,
        n_skipped=1,
        skipped=(SkippedFile(path="notes.txt", reason="It is not an image."),),
        classes=("Normal", "Pneumonia"),
        rows=tuple(
            PredictionRow(
                path=path,
                patient=patient,
                label="Pneumonia" if p >= 0.46 else "Normal",
                probabilities=(1 - p, p),
            )
            for path, patient, p in rows
        ),
    )


@pytest.fixture
def page(qtbot, open_session, split_folder):
    make_bundle(split_folder / "bundles" / "one", "one", written_at=1_000_000.0)
    make_bundle(split_folder / "bundles" / "two", "two", written_at=2_000_000.0)
    page = ApplyPanel(open_session(split_folder))
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    page.on_shown()
    return page


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "ward 3"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"x")
    return folder


def press(page: ApplyPanel, text: str) -> None:
    shown = next(b for b in page.findChildren(QPushButton) if b.text() == text)
    assert shown.isVisible() and shown.isEnabled()
    shown.click()


def messages(page: ApplyPanel) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    return heard


def can_apply(page: ApplyPanel) -> bool:
    primary = page.header.primary
    return primary is not None and primary.isEnabled()


def shown_texts(page: ApplyPanel) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def test_the_projects_newest_bundle_is_chosen_and_described(page):
    assert page.bundle.name == "two"
    combo = page.findChild(QComboBox)
    assert [combo.itemText(i) for i in range(combo.count())] == ["two", "one"]
    texts = shown_texts(page)
    assert "ResNet-18" in texts and "0.912" in texts
    assert "counts as Pneumonia from a probability of 0.46 on" in texts
    assert "Not for clinical use" in texts


def test_a_bundle_that_was_just_exported_is_chosen(page, tmp_path):
    new = make_bundle(tmp_path / "elsewhere", "elsewhere")
    page.session.exported_bundle = str(new)

    page.on_shown()

    assert page.bundle.folder == new


def test_apply_waits_for_images(page, images):
    assert not can_apply(page)

    page.take_paths([images])

    assert can_apply(page)
    assert page.out == page.session.folder.parent / "ward 3 predictions.csv"


def test_applying_asks_the_engine_and_shows_a_table(qtbot, engine, page, images):
    engine.completes("predict", **to_plain(prediction(images / "out.csv")))
    page.take_paths([images])
    asked = Predict(
        bundle=str(page.session.folder / "bundles" / "two"),
        source=str(images),
        out=str(page.out),
    )

    press(page, "Apply")
    qtbot.waitUntil(page.result.isVisible)

    assert engine.asked("predict") == [asked]
    model = page.result.table.model()
    assert [model.index(row, 0).data() for row in range(3)] == ["b.png", "a.png", "c.png"]
    assert model.index(0, 4).data() == "0.900"
    texts = shown_texts(page)
    assert "notes.txt: It is not an image." in texts
    assert "1 file was left out" in texts
    assert "Not for clinical use" in texts


def test_images_unlike_those_of_the_training_are_marked(qtbot, engine, page, images):
    plain = prediction(images / "out.csv")
    rows = [replace(row, unusual=u) for row, u in zip(plain.rows, (0.99, 0.2, None), strict=True)]
    result = replace(plain, rows=tuple(rows), warnings=("1 of 3 images is unlike the others.",))
    engine.completes("predict", **to_plain(result))
    page.take_paths([images])
    press(page, "Apply")
    qtbot.waitUntil(page.result.isVisible)

    model = page.result.table.model()
    assert [model.index(row, 5).data() for row in range(3)] == ["99 %", "20 %", ""]
    marks = [model.index(row, 5).data(Qt.ItemDataRole.DecorationRole) for row in range(3)]
    assert [mark is not None for mark in marks] == [True, False, False]
    assert "unlike the others" in shown_texts(page)


def test_frames_of_a_file_are_told_apart(qtbot, engine, page, images):
    plain = prediction(images / "out.csv")
    rows = [
        replace(row, path="a.nii", frame=f) for row, f in zip(plain.rows, (9, 0, 10), strict=True)
    ]
    engine.completes("predict", **to_plain(replace(plain, rows=tuple(rows))))
    page.take_paths([images])
    press(page, "Apply")
    qtbot.waitUntil(page.result.isVisible)

    page.result.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    model = page.result.table.model()
    shown = [model.index(row, 0).data() for row in range(3)]
    assert shown == ["a.nii · frame 1", "a.nii · frame 10", "a.nii · frame 11"]


def test_the_table_sorts_probabilities_as_numbers(qtbot, engine, page, images):
    engine.completes("predict", **to_plain(prediction(images / "out.csv")))
    page.take_paths([images])
    press(page, "Apply")
    qtbot.waitUntil(page.result.isVisible)

    page.result.table.sortByColumn(4, Qt.SortOrder.AscendingOrder)

    model = page.result.table.model()
    assert [model.index(row, 0).data() for row in range(3)] == ["a.png", "c.png", "b.png"]


def test_canceling_shows_as_pending_and_writes_no_table(qtbot, engine, page, images):
    def patient(command, control):
        yield JobStarted(kind="predict")
        while not control.cancel_requested:
            control.wait_for_request(0.02)
        yield JobFinished(kind="predict", outcome=CANCELED)

    engine.runs("predict", patient)
    page.take_paths([images])
    press(page, "Apply")
    qtbot.waitUntil(lambda: bool(engine.asked("predict")))
    press(page, "Cancel")
    assert any(b.text() == "Canceling…" for b in page.findChildren(QPushButton))
    qtbot.waitUntil(page.header.primary.isEnabled)
    assert not page.result.isVisible()


def test_a_failure_says_what_to_do(qtbot, engine, page, images):
    heard = messages(page)
    failed = JobFinished(kind="predict", outcome=FAILED, error="It was changed.", remedy="Export.")
    engine.plays("predict", JobStarted(kind="predict"), failed)
    page.take_paths([images])

    press(page, "Apply")
    qtbot.waitUntil(lambda: bool(heard))

    assert heard == [(MessageKind.ERROR, "It was changed.", "Export.", [])]


def test_a_folder_that_is_no_bundle_is_refused(page, images):
    heard = messages(page)

    page.take_bundle(images)

    assert heard[0][0] is MessageKind.ERROR
    assert page.bundle.name == "two"


def test_a_dropped_bundle_is_taken_as_the_classifier(page, tmp_path):
    page.take_paths([make_bundle(tmp_path / "from afar", "from afar")])

    assert page.bundle.name == "from afar"
    assert not can_apply(page)


def test_several_images_stand_for_their_folder_and_that_is_said(page, images):
    heard = messages(page)

    page.take_paths([images / "a.png", images / "b.png"])

    assert heard[0][0] is MessageKind.INFO
    assert str(images) in shown_texts(page)


def test_the_page_works_without_a_project(qtbot, session, tmp_path, images):
    page = ApplyPanel(session)
    qtbot.addWidget(page)
    page.show()
    assert "no exported classifier here yet" in shown_texts(page)

    page.take_bundle(make_bundle(tmp_path / "b", "b"))
    page.take_paths([images])

    assert can_apply(page)
    assert page.out == images.parent / "ward 3 predictions.csv"


def test_an_existing_table_is_never_overwritten_by_default(tmp_path):
    (tmp_path / "x predictions.csv").write_text("kept", encoding="utf-8")

    assert free_path(tmp_path, "x predictions", ".csv") == tmp_path / "x predictions 2.csv"


def test_one_path_stands_for_itself_and_many_for_what_they_share(tmp_path):
    first, second = tmp_path / "a" / "1.png", tmp_path / "b" / "2.png"

    assert source_of([first]) == (first, False)
    assert source_of([first, second]) == (tmp_path, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classes": 3}', "not json"])
def test_what_does_not_look_like_a_bundle_is_none(tmp_path, text):
    (tmp_path / "bundle.json").write_text(text, encoding="utf-8")

    assert read_summary(tmp_path) is None
    assert find_bundles(tmp_path) == []
