"""Findings that are learned at once: chosen, watched, looked at one by one, applied."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import pytest
from PySide6.QtCore import Qt

from engine.contract.events import SamplePrediction
from engine.contract.records import SplitSummary
from engine.contract.results import (
    CasePrediction,
    Estimate,
    EvaluationResult,
    FindingResult,
    PredictionResult,
    PredictionRow,
    RocCurve,
)
from engine.project.labels import set_finding
from engine.project.store import Project
from gui.itemmodels.prediction_table import PRESENT_ROLE, PredictionTableModel
from gui.panels.evaluate_result import EvaluateResult
from gui.panels.learn_choice import LearnMenu
from gui.panels.sample_findings import findings_cell
from gui.panels.search_setup import SearchSetup, Work
from gui.panels.train import TrainPanel
from gui.snapshot import read_snapshot
from tests.helpers.findings_project import make_findings_project

NAMES = ("Pneumonia", "Effusion")
CURVE = RocCurve(fpr=(0.0, 0.5, 1.0), tpr=(0.0, 1.0, 1.0), thresholds=(2.0, 0.4, 0.1))


def of_two(**facts: Any) -> EvaluationResult:
    plain: dict[str, Any] = {
        "run": "r1",
        "auroc_low": 0.5,
        "auroc_high": 0.95,
        "accuracy": 0.7,
        "balanced_accuracy": 0.7,
        "sensitivity": 0.7,
        "specificity": 0.7,
        "f1": 0.7,
        "n_images": 4,
        "n_patients": 4,
        "looks": 1,
        "per_class": (),
    }
    return EvaluationResult(**plain | facts)


@pytest.fixture
def result():
    """Four images; Effusion is unknown of the last. Both are measured at their own threshold."""
    findings = tuple(
        FindingResult(
            name=name,
            result=of_two(
                auroc=auroc,
                threshold=threshold,
                classes=(f"no {name}", name),
                positive=name,
                confusion=confusion,
                roc={name: CURVE},
                val_roc={name: CURVE},
                sentence=f"About {name}.",
            ),
            n_present=2,
            n_absent=2 - n_unknown,
            n_unknown=n_unknown,
            average_precision=Estimate(value=0.8, low=0.6, high=0.9),
            brier=0.125,
            calibration_error=0.25,
        )
        for name, auroc, threshold, confusion, n_unknown in (
            ("Pneumonia", 0.75, 0.4, ((1, 1), (0, 2)), 0),
            ("Effusion", 0.5, 0.6, ((0, 1), (1, 1)), 1),
        )
    )
    cases = (
        ((0.9, 0.7), (1, 1)),
        ((0.5, 0.2), (0, 1)),
        ((0.45, 0.75), (1, 0)),
        ((0.1, 0.9), (0, -1)),
    )
    return of_two(
        auroc=0.625,
        threshold=None,
        classes=NAMES,
        positive=None,
        confusion=(),
        roc=dict.fromkeys(NAMES, CURVE),
        val_roc=dict.fromkeys(NAMES, CURVE),
        cases=tuple(
            CasePrediction(record=i + 1, label=-1, probabilities=p, findings=reference)
            for i, (p, reference) in enumerate(cases)
        ),
        findings=findings,
    )


@pytest.fixture
def project(tmp_path):
    """Enough images that two findings can be learned, divided into thirds."""
    folder = make_findings_project(tmp_path / "p.radtune", n_images=72)
    with Project.open(folder) as opened:
        assignment = {r.id: ("train", "val", "test")[r.patient_id % 3] for r in opened.records()}
        summary = SplitSummary(
            origin="made",
            counts={part: dict.fromkeys(NAMES, 6) for part in ("train", "val", "test")},
            n_patients=dict.fromkeys(("train", "val", "test"), 12),
            overlap=0,
            unit="patient",
            seed=0,
            fractions=(0.4, 0.3, 0.3),
            digest="0123456789abcdef",
        )
        opened.save_split(assignment, summary)
    return folder


@pytest.fixture
def view(qtbot, open_session, project, result):
    view = EvaluateResult(open_session(project))
    qtbot.addWidget(view)
    view.resize(1142, 900)
    view.show()
    view.set_result(result)
    return view


def captions(view):
    return [(cell.caption, cell.label, cell.is_right) for cell in view.gallery.cells]


def test_a_row_a_finding_of_which_the_first_is_shown_in_full(view):
    table = view.findings
    assert table.isVisible()
    assert [[c.replace("\u00a0", " ") for c in row[:5]] for row in table.texts()] == [
        ["Pneumonia", "2", "2", "0", "0.750 (0.50 – 0.95)"],
        ["Effusion", "2", "1", "1", "0.500 (0.50 – 0.95)"],
    ]
    assert table.current == "Pneumonia"
    assert view.confusion.to_csv().splitlines()[1:] == ["no Pneumonia,1,1", "Pneumonia,0,2"]
    assert captions(view) == [("Pneumonia 0.50", "labelled no Pneumonia", False)]


def test_choosing_a_finding_shows_its_numbers_curves_and_images(qtbot, view):
    index = view.findings.table.model().index(1, 0)
    place = view.findings.table.visualRect(index).center()
    qtbot.mouseClick(view.findings.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert view.findings.current == "Effusion"
    assert view._sentence.text() == "About Effusion."
    assert view._auroc.accessibleName().startswith("AUROC: 0.500")
    # Of the last image it isn't known, so that it is neither right nor wrong.
    assert captions(view) == [
        ("Effusion 0.20", "labelled Effusion", False),
        ("Effusion 0.75", "labelled no Effusion", False),
    ]
    qtbot.keyClick(view.findings.table, Qt.Key.Key_Up)
    assert view._auroc.accessibleName().startswith("AUROC: 0.750")


def test_the_chosen_finding_stays_when_the_run_is_measured_again(view, result):
    view.findings.choose(1)
    view.set_result(replace(result, looks=2))
    assert view.findings.current == "Effusion"
    assert view._sentence.text() == "About Effusion."


def test_the_table_is_saved_whole_or_the_reason_is_said(qtbot, view, tmp_path):
    path = tmp_path / "findings.csv"
    view.findings.save_to(path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["finding"] for row in rows] == [*NAMES, "mean of the findings"]
    assert (rows[1]["unknown"], rows[1]["threshold"], rows[1]["brier"]) == ("1", "0.6", "0.125")
    with qtbot.waitSignal(view.figure_failed) as failed:
        view.findings.save_to(tmp_path / "nowhere" / "findings.csv")
    assert failed.args[0].startswith("The table could not be saved")


def test_the_training_page_says_what_is_learned_and_changes_it(qtbot, open_session, project):
    session = open_session(project)
    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    assert session.snapshot.trained_names == NAMES
    assert page._learn.isVisible()
    text = page._learn._meaning.text()
    assert text.startswith("2 at once, each present or absent")
    assert "Nodule" not in text  # it is in no image, so not among the findings in use
    menu = page._learn._button.menu()
    assert isinstance(menu, LearnMenu)
    menu._fill()
    with qtbot.waitSignal(session.snapshot_changed):
        next(a for a in menu.actions() if a.text().startswith("Effusion")).trigger()
    assert session.snapshot.trained_names == ("no Effusion", "Effusion")
    assert page._learn._meaning.text() == "18 present, 36 absent. 18 unknown, left out of training."


def test_a_sample_is_right_when_all_that_is_known_of_it_is():
    sample = SamplePrediction(
        record=1, label=-1, probabilities=(0.2, 0.8, 0.9), findings=(0, 1, -1)
    )
    names = ("Pneumonia", "Effusion", "Nodule")
    cell = findings_cell(sample, names, row=3, patient="P1")
    assert (cell.predicted, cell.label, cell.is_right) == ("Nodule, Effusion", "Effusion", True)
    assert (cell.class_index, cell.probability) == (2, 0.9)
    wrong = replace(sample, probabilities=(0.2, 0.4, 0.1))
    cell = findings_cell(wrong, names, row=3, patient="P1")
    assert (cell.predicted, cell.is_right) == ("Effusion", False)  # nearest to counting as there


def test_predictions_name_the_findings_and_mark_them(qtbot):
    model = PredictionTableModel()
    model.set_result(
        PredictionResult(
            out="p.csv",
            n_images=2,
            n_skipped=0,
            skipped=(),
            classes=NAMES,
            thresholds=(0.3, 0.6),
            rows=(
                PredictionRow(
                    path="a.png",
                    patient="P0001",
                    label="Pneumonia",
                    probabilities=(0.4, 0.5),
                    findings=(True, False),
                ),
                PredictionRow(
                    path="b.png",
                    patient="P0002",
                    label="No Finding",
                    probabilities=(0.1, 0.5),
                    findings=(False, False),
                ),
            ),
        )
    )
    heads = [model.headerData(c, Qt.Orientation.Horizontal) for c in range(5)]
    assert heads == ["File", "Patient", "Findings", *NAMES]
    assert [model.index(row, 2).data() for row in range(2)] == ["Pneumonia", "none"]
    assert [model.index(0, c).data(PRESENT_ROLE) for c in (3, 4)] == [True, False]
    assert model.index(0, 4).data(Qt.ItemDataRole.ToolTipRole) == (
        "Probability of Effusion; it counts as present from 0.60 on"
    )


def test_what_the_window_says_can_be_learned_is_what_a_run_learns(project):
    for expected in (NAMES, ("Pneumonia",)):
        with Project.open(project) as opened:
            table = opened.training_table()
            assert table.class_names == expected
            snapshot = read_snapshot(project)
            assert snapshot.trained_names == expected
            assert snapshot.findings_left_out == table.left_out
            effusion = opened.class_named("Effusion")
            assert effusion is not None
            of_val = [record.id for record in opened.records() if record.split == "val"]
            set_finding(opened, of_val, effusion, 0)
    assert list(table.left_out.values()) == ["no validation images show it; at least 2 must."]


def test_settings_are_sought_and_runs_combined_for_all_findings_at_once(
    qtbot, open_session, project
):
    session = open_session(project)
    assert session.snapshot.is_multi and session.snapshot.learned is None
    setup = SearchSetup(session)
    qtbot.addWidget(setup)
    for work in (Work.SEARCH, Work.CROSSVAL):
        setup.set_work(work)
        assert setup.problem() == ""
    setup.set_work(Work.COMBINE)
    assert setup.problem().startswith("Nothing can be combined yet")
