"""The results page: the test set is looked at only when asked, and every number can be traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton

from engine.contract.commands import Evaluate, Export
from engine.contract.config import preset_config
from engine.contract.config_io import to_plain
from engine.contract.events import CANCELED, COMPLETED, FAILED, JobFinished, JobStarted
from engine.contract.results import (
    CasePrediction,
    ClassResult,
    Estimate,
    EvaluationResult,
    RocCurve,
)
from engine.project.labels import exclude
from engine.project.store import Project
from gui.panels.evaluate import EvaluatePanel
from gui.panels.evaluate_numbers import cases_of_cell, largest_errors, predicted_class, rates_at
from gui.panels.evaluate_result import EvaluateResult
from gui.panels.warning_note import WarningNote
from gui.stages import Stage
from gui.widgets.figure_menu import FigureMenu
from gui.widgets.message_bar import MessageKind
from gui.widgets.stat_tile import StatTile

# Four images; from 0.5 on they count as Pneumonia, so one of each class is recognised.
CURVE = RocCurve(
    fpr=(0.0, 0.0, 0.5, 0.5, 1.0),
    tpr=(0.0, 0.5, 0.5, 1.0, 1.0),
    thresholds=(2.0, 0.9, 0.8, 0.3, 0.1),
)


def two_classes(records: list[int], run: str = "new") -> EvaluationResult:
    rows = zip(records, (0, 0, 1, 1), (0.1, 0.8, 0.9, 0.3), strict=True)
    return EvaluationResult(
        run=run,
        auroc=0.75,
        auroc_low=0.55,
        auroc_high=0.95,
        accuracy=0.5,
        balanced_accuracy=0.5,
        sensitivity=0.5,
        specificity=0.5,
        f1=0.5,
        threshold=0.5,
        n_images=4,
        n_patients=2,
        classes=("Normal", "Pneumonia"),
        positive="Pneumonia",
        confusion=((1, 1), (1, 1)),
        per_class=(),
        looks=1,
        intervals={"sensitivity": Estimate(value=0.5, low=0.25, high=0.75)},
        roc={"Pneumonia": CURVE},
        val_roc={"Pneumonia": CURVE},
        cases=tuple(
            CasePrediction(record=r, label=label, probabilities=(1 - p, p)) for r, label, p in rows
        ),
        sentence="Of two random images the right one wins 75 times in 100.",
    )


def three_classes(records: list[int]) -> EvaluationResult:
    names = ("Normal", "Opacity", "Effusion")
    return EvaluationResult(
        run="new",
        auroc=0.9,
        auroc_low=0.8,
        auroc_high=1.0,
        accuracy=2 / 3,
        balanced_accuracy=2 / 3,
        sensitivity=2 / 3,
        specificity=5 / 6,
        f1=0.6,
        threshold=None,
        n_images=3,
        n_patients=3,
        classes=names,
        positive=None,
        confusion=((1, 0, 0), (0, 1, 0), (1, 0, 0)),
        per_class=tuple(
            ClassResult(
                name=name, n_images=1, auroc=0.9, sensitivity=1.0, specificity=0.5, precision=0.5,
                f1=0.625,
            )
            for name in names
        ),
        looks=3,
        roc=dict.fromkeys(names, CURVE),
        val_roc=dict.fromkeys(names, CURVE),
        cases=tuple(
            CasePrediction(record=r, label=i, probabilities=p)
            for i, (r, p) in enumerate(
                zip(records, ((0.8, 0.1, 0.1), (0.2, 0.6, 0.2), (0.7, 0.1, 0.2)), strict=True)
            )
        ),
    )  # fmt: skip


def of_test(folder: Path) -> list[int]:
    with Project.open(folder, read_only=True) as project:
        return [record.id for record in project.records() if record.split == "test"]


@pytest.fixture
def folder(split_folder):
    with Project.open(split_folder) as project:
        for run, config in (("old", "quick"), ("new", "standard")):
            project.add_run(run, preset_config(config))
            project.update_run(run, outcome=COMPLETED, val_auroc=0.9, epochs=8, seconds=64.0)
    return split_folder


@pytest.fixture
def page(qtbot, open_session, folder):
    page = EvaluatePanel(open_session(folder))
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    page.on_shown()
    return page


def press(page: EvaluatePanel, text: str) -> None:
    shown = next(b for b in page.findChildren(QPushButton) if b.text() == text)
    assert shown.isVisible() and shown.isEnabled()
    shown.click()


def messages(page: EvaluatePanel) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    return heard


def measured(qtbot, engine, page: EvaluatePanel, result: EvaluationResult) -> EvaluateResult:
    engine.completes("evaluate", **to_plain(result))
    page.measure()
    qtbot.waitUntil(page.result.isVisible)
    return page.result


def tile(page: EvaluatePanel, name: str) -> StatTile:
    return next(t for t in page.findChildren(StatTile) if t.accessibleName().startswith(name))


def test_opening_the_page_does_not_look_at_the_test_set(qtbot, engine, page):
    qtbot.wait(30)

    assert not engine.asked("evaluate")
    assert not page.result.isVisible()
    texts = " ".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())
    assert "each look is counted" in texts
    assert "4 images of 2 patients" in texts


def test_measuring_asks_once_and_shows_the_result(qtbot, engine, page, folder):
    result = two_classes(of_test(folder))
    engine.completes("evaluate", **to_plain(result))

    press(page, "Measure on the test set")
    qtbot.waitUntil(page.result.isVisible)

    assert engine.asked("evaluate") == [Evaluate(project=str(folder), run="new")]
    assert tile(page, "AUROC").accessibleName() == "AUROC: 0.750"
    assert tile(page, "AUROC").accessibleDescription() == "95 % interval 0.55\u00a0–\u00a00.95"
    assert tile(page, "Sensitivity").accessibleDescription() == "0.25\u00a0–\u00a00.75 · 1 of 2"
    assert "looked at once" in page.header.accessibleDescription()
    assert "4 images of 2 patients" in page.header.accessibleDescription()
    assert page.header.primary.text() == "Export…"


@pytest.mark.parametrize("caution", ["", "Among the test images there are only 2 patients."])
def test_a_result_on_too_few_patients_is_marked_above_its_figures(
    qtbot, engine, page, folder, caution
):
    shown = measured(qtbot, engine, page, replace(two_classes(of_test(folder)), caution=caution))
    notes = [note for note in page.findChildren(WarningNote) if note.isVisible()]
    assert [note.text for note in notes] == [caution] * bool(caution)
    for note in notes:
        top = shown.mapTo(page, shown.rect().topLeft()).y()
        assert note.mapTo(page, note.rect().bottomLeft()).y() <= top


def test_a_kept_result_is_shown_without_another_look(qtbot, engine, open_session, folder):
    with Project.open(folder) as project:
        project.count_look("old")
        project.save_evaluation("old", two_classes(of_test(folder), "old"))
    page = EvaluatePanel(open_session(folder))
    qtbot.addWidget(page)
    page.show()

    page.show_run("old")

    assert page.result.isVisible()
    assert not engine.asked("evaluate")


def test_the_run_that_another_page_asked_for_is_shown(page):
    page.session.shown_run = "old"
    page.on_shown()

    runs = page.findChild(QComboBox)
    assert runs.currentData() == "old"
    assert runs.count() == 2


def test_a_cell_of_the_confusion_matrix_opens_its_images(qtbot, engine, page, folder):
    records = of_test(folder)
    view = measured(qtbot, engine, page, two_classes(records))
    assert [cell.caption for cell in view.gallery.cells] == ["Pneumonia 0.80", "Pneumonia 0.30"]

    view.confusion.cell_clicked.emit(1, 1)

    assert [cell.caption for cell in view.gallery.cells] == ["Pneumonia 0.90"]
    assert view.gallery.cells[0].is_right
    assert "1 image" in view.gallery_text
    view.show_errors()
    assert "Largest errors" in view.gallery_text


def test_the_worst_images_come_first():
    result = two_classes([11, 12, 13, 14])

    assert [case.record for case in largest_errors(result)] == [12, 14]
    assert [predicted_class(result, case) for case in result.cases] == [0, 1, 1, 0]
    assert [case.record for case in cases_of_cell(result, 0, 0)] == [11]


@pytest.mark.parametrize(
    ("threshold", "rates"),
    [
        (0.95, (0.0, 1.0)),
        (0.9, (0.5, 1.0)),
        (0.5, (0.5, 0.5)),
        (0.3, (1.0, 0.5)),
        (0.0, (1.0, 0.0)),
    ],
)
def test_rates_at_a_threshold_count_scores_from_it_on(threshold, rates):
    assert rates_at(CURVE, threshold) == rates


def test_another_threshold_is_a_preview_on_validation_only(qtbot, engine, page, folder):
    view = measured(qtbot, engine, page, two_classes(of_test(folder)))
    slider = view.threshold.slider
    assert slider.value() == slider.maximum() // 2

    slider.setValue(round(slider.maximum() * 0.25))

    assert "sensitivity 100\u00a0%, specificity 50\u00a0%" in view.threshold.text
    assert tile(page, "Sensitivity").accessibleName() == "Sensitivity: 0.500"
    press(page, "Back to 0.50")
    assert "sensitivity 50\u00a0%, specificity 50\u00a0%" in view.threshold.text


def test_more_than_two_classes_have_a_table_and_no_threshold(qtbot, engine, page, folder):
    view = measured(qtbot, engine, page, three_classes(of_test(folder)[:3]))

    assert not view.threshold.isVisible()
    table = view._classes
    assert table.isVisible()
    assert tile(page, "Sensitivity").accessibleDescription() == "mean of the classes"
    assert [cell.caption for cell in view.gallery.cells] == ["Normal 0.70"]


def test_every_figure_explains_itself_and_can_be_saved(page):
    menus = page.result.findChildren(FigureMenu)

    assert len(menus) == 2
    assert all(menu._explanation.count(".") >= 1 for menu in menus)


def test_a_failed_measurement_says_what_to_do(qtbot, engine, page):
    heard = messages(page)
    failed = JobFinished(kind="evaluate", outcome=FAILED, error="Weights gone.", remedy="Train.")
    engine.plays("evaluate", JobStarted(kind="evaluate"), failed)

    press(page, "Measure on the test set")
    qtbot.waitUntil(lambda: bool(heard))

    assert heard == [(MessageKind.ERROR, "Weights gone.", "Train.", [])]
    assert page.header.primary.text() == "Measure on the test set"


def test_canceling_shows_as_pending_and_leaves_no_result(qtbot, engine, page):
    def patient(command, control):
        yield JobStarted(kind="evaluate")
        while not control.cancel_requested:
            control.wait_for_request(0.02)
        yield JobFinished(kind="evaluate", outcome=CANCELED)

    engine.runs("evaluate", patient)
    press(page, "Measure on the test set")
    qtbot.waitUntil(lambda: bool(engine.asked("evaluate")))
    press(page, "Cancel")
    cancel = next(b for b in page.findChildren(QPushButton) if b.text() == "Canceling…")
    assert not cancel.isEnabled()
    qtbot.waitUntil(page.header.primary.isEnabled)
    assert not page.result.isVisible()


def test_a_page_that_nobody_saw_yet_opens_with_the_newest_run(qtbot, open_session, folder):
    session = open_session(folder)
    page = EvaluatePanel(session)
    qtbot.addWidget(page)
    with Project.open(folder) as project:
        project.add_run("newest", preset_config("quick"))
        project.update_run("newest", outcome=COMPLETED, val_auroc=0.9)
    with qtbot.waitSignal(session.snapshot_changed):
        session.reload()
    page.show()
    assert page._run == session.snapshot.finished_runs[0].id


def test_an_export_without_any_difference_says_identical(qtbot, engine, page, folder, tmp_path):
    measured(qtbot, engine, page, two_classes(of_test(folder)))
    heard = messages(page)
    engine.completes("export", bundle=str(tmp_path), max_difference=0.0, n_verified=32)

    page.export_to(tmp_path)
    qtbot.waitUntil(lambda: bool(heard))

    assert "on 32 images the bundle's probabilities are identical" in heard[0][1]


def test_a_hidden_page_reads_nothing_until_it_is_shown(qtbot, open_session, folder):
    result = two_classes(of_test(folder))
    with Project.open(folder) as project:
        project.save_evaluation("new", result)
    page = EvaluatePanel(open_session(folder))
    qtbot.addWidget(page)
    assert page._view is None

    page.show()
    page.show_run("new")
    assert page.result.isVisible()


def test_an_export_shows_how_it_was_verified(qtbot, engine, page, folder, tmp_path):
    measured(qtbot, engine, page, two_classes(of_test(folder)))
    heard = messages(page)
    out = tmp_path / "bundle"
    engine.completes("export", bundle=str(out), max_difference=1.5e-6, n_verified=32)

    page.export_to(out)
    qtbot.waitUntil(lambda: bool(heard))

    assert engine.asked("export") == [Export(project=str(folder), run="new", out=str(out))]
    kind, what, _, actions = heard[0]
    assert kind is MessageKind.SUCCESS
    assert "32 images" in what and "1.5" in what
    assert page.session.exported_bundle == str(out)
    with qtbot.waitSignal(page.stage_requested) as asked:
        actions[1].run()
    assert asked.args == [Stage.APPLY]


def test_a_stale_run_is_marked_and_not_measured(qtbot, open_session, folder):
    with Project.open(folder) as project:
        exclude(project, [project.records()[0].id], "blurred")
    page = EvaluatePanel(open_session(folder))
    qtbot.addWidget(page)
    page.show()

    texts = [label.text() for label in page.findChildren(QLabel) if label.isVisible()]
    assert any("stale" in text for text in texts)
    with qtbot.waitSignal(page.stage_requested) as asked:
        press(page, "Go to training")
    assert asked.args == [Stage.TRAIN]


def test_without_a_run_the_page_leads_to_training(qtbot, session):
    page = EvaluatePanel(session)
    qtbot.addWidget(page)
    page.show()

    with qtbot.waitSignal(page.stage_requested) as asked:
        press(page, "Go to training")
    assert asked.args == [Stage.TRAIN]


def test_the_page_says_that_it_is_not_for_clinical_use(qtbot, engine, page, folder):
    view = measured(qtbot, engine, page, two_classes(of_test(folder)))

    assert any("Not for clinical use" in label.text() for label in view.findChildren(QLabel))
    assert any("75 times in 100" in label.text() for label in view.findChildren(QLabel))


def test_the_confusion_matrix_opens_cells_by_keyboard(qtbot, engine, page, folder):
    view = measured(qtbot, engine, page, two_classes(of_test(folder)))

    qtbot.keyClick(view.confusion, Qt.Key.Key_Right)
    qtbot.keyClick(view.confusion, Qt.Key.Key_Return)

    assert [cell.caption for cell in view.gallery.cells] == ["Pneumonia 0.80"]


def test_an_export_of_the_difference_alone_says_how_large_it_is(
    qtbot, engine, page, folder, tmp_path
):
    measured(qtbot, engine, page, two_classes(of_test(folder)))
    heard = messages(page)
    out = tmp_path / "bundle"
    engine.completes(
        "export",
        bundle=str(out),
        max_difference=0.0,
        n_verified=32,
        weights_bytes=4_480_000,
        is_difference=True,
    )

    page.export_to(out, difference_only=True)
    qtbot.waitUntil(lambda: bool(heard))

    assert engine.asked("export")[0].difference_only
    assert "What differs from the backbone takes 4.5 MB." in heard[0][1]


def test_a_grade_has_its_weighted_kappa_and_other_classes_have_none(qtbot, engine, page, folder):
    plain = two_classes(of_test(folder))
    view = measured(qtbot, engine, page, plain)
    assert not view._kappa.isVisibleTo(view)
    kappa = Estimate(value=0.62, low=0.5, high=0.71)
    view.set_result(replace(plain, intervals=plain.intervals | {"weighted_kappa": kappa}))
    assert view._kappa.isVisibleTo(view)
    assert any(label.text() == "0.620" for label in view._kappa.findChildren(QLabel))
