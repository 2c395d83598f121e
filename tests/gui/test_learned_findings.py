"""Which finding a run learned: said wherever runs are listed, in projects that have several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox

from engine.contract.config import preset_config
from engine.contract.events import COMPLETED
from engine.contract.records import SplitSummary
from engine.project.store import Project
from gui.itemmodels.run_words import findings_text
from gui.panels.evaluate import EvaluatePanel
from gui.panels.train import TrainPanel
from gui.panels.train_history import TrainHistory
from tests.helpers.findings_project import make_findings_project

LONG = "Pleural effusion with passive atelectasis of the lower lobe, right or left, any amount"


def add_run(folder: Path, run: str, **recipe: object) -> None:
    """Enter a finished run with the recipe that the engine would have left."""
    with Project.open(folder) as project:
        project.add_run(run, preset_config("standard"))
        project.update_run(run, outcome=COMPLETED, val_auroc=0.9, epochs=3, seconds=40)
        place = project.run_folder(run)
        place.mkdir(parents=True, exist_ok=True)
        (place / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")


@pytest.fixture
def findings_folder(tmp_path):
    folder = make_findings_project(tmp_path / "p.radtune", n_images=72)
    with Project.open(folder) as project:
        assignment = {r.id: ("train", "val", "test")[r.patient_id % 3] for r in project.records()}
        summary = SplitSummary(
            origin="made",
            counts={part: {"Effusion": 6} for part in ("train", "val", "test")},
            n_patients=dict.fromkeys(("train", "val", "test"), 12),
            overlap=0,
            unit="patient",
            seed=0,
            fractions=(0.4, 0.3, 0.3),
            digest="0123456789abcdef",
        )
        project.save_split(assignment, summary)
    one = {"positive": 1, "activation": "softmax"}
    add_run(folder, "one", classes=("no Effusion", "Effusion"), **one)
    add_run(folder, "long", classes=(f"no {LONG}", LONG), **one)
    add_run(folder, "all", classes=("Pneumonia", "Effusion"), activation="sigmoid")
    add_run(folder, "old")
    return folder


@pytest.fixture
def page_of(qtbot, open_session):
    def shown(kind, folder):
        page = kind(open_session(folder))
        qtbot.addWidget(page)
        page.resize(1182, 656)
        page.show()
        return page

    return shown


def heads(history):
    model = history.table.model()
    orientation = Qt.Orientation.Horizontal
    return [model.headerData(column, orientation) for column in range(model.columnCount())]


def cell(history, run, head):
    model = history.table.model()
    rows = {model.run_at(row).id: row for row in range(model.rowCount())}
    return model.index(rows[run], heads(history).index(head))


def test_the_history_has_a_column_for_it(page_of, findings_folder):
    history = page_of(TrainPanel, findings_folder).findChildren(TrainHistory)[0]
    shown = {run: cell(history, run, "Learned").data() for run in ("one", "all", "long", "old")}
    assert shown == {"one": "Effusion", "all": "2 findings at once", "long": LONG, "old": "–"}
    tip = cell(history, "all", "Learned").data(Qt.ItemDataRole.ToolTipRole)
    assert tip == "Pneumonia\nEffusion"
    assert cell(history, "one", "State").data() == "completed"
    assert cell(history, "one", "Epochs").data() == "3"


def test_a_long_name_leaves_room_for_the_other_columns(page_of, findings_folder):
    history = page_of(TrainPanel, findings_folder).findChildren(TrainHistory)[0]
    table = history.table
    learned = heads(history).index("Learned")
    assert table.columnWidth(learned) < table.viewport().width() / 2
    assert table.columnWidth(learned) < table.fontMetrics().horizontalAdvance(LONG)


def test_a_project_with_one_class_an_image_has_no_such_column(page_of, split_folder):
    add_run(split_folder, "r", classes=("Normal", "Pneumonia"), positive=1, activation="softmax")
    page = page_of(TrainPanel, split_folder)
    history = page.findChildren(TrainHistory)[0]
    assert "Learned" not in heads(history)
    assert cell(history, "r", "State").data() == "completed"
    assert "Pneumonia" not in page.header.accessibleDescription()
    runs = page_of(EvaluatePanel, split_folder).findChildren(QComboBox)[0]
    assert "Pneumonia" not in runs.itemText(0)


def test_the_train_page_says_what_the_next_run_learns(qtbot, page_of, findings_folder):
    page = page_of(TrainPanel, findings_folder)
    assert page.header.accessibleDescription().endswith(" · 2 findings at once")
    effusion = next(c for c in page.session.snapshot.classes if c.name == "Effusion")
    with qtbot.waitSignal(page.session.snapshot_changed):
        page._learn.chosen.emit(effusion.id)
    assert page.header.accessibleDescription().endswith(" · Effusion")


def test_a_run_that_goes_on_says_what_it_learns_whatever_is_chosen_meanwhile(
    qtbot, engine, page_of, findings_folder
):
    page = page_of(TrainPanel, findings_folder)
    page.start()
    qtbot.waitUntil(lambda: page._last is not None)
    assert page.header.accessibleDescription().endswith(" · 2 findings at once")
    effusion = next(c for c in page.session.snapshot.classes if c.name == "Effusion")
    with qtbot.waitSignal(page.session.snapshot_changed):
        page._learn.chosen.emit(effusion.id)
    assert page.header.accessibleDescription().endswith(" · 2 findings at once")


def test_runs_are_told_apart_by_it_on_the_evaluate_page(page_of, findings_folder):
    page = page_of(EvaluatePanel, findings_folder)
    runs = page.findChildren(QComboBox)[0]
    titles = {runs.itemData(row): runs.itemText(row) for row in range(runs.count())}
    assert titles["one"].endswith(" · Effusion")
    assert titles["all"].endswith(" · 2 findings at once")
    assert titles["old"].endswith(" · EfficientNet-Lite0 · Standard")
    page.show_run("one")
    assert page.header.accessibleDescription() == titles["one"]
    assert runs.width() < 0.7 * page.width()  # however long the names of findings are


@pytest.mark.parametrize(
    ("findings", "text"), [((), ""), (("肺炎",), "肺炎"), (("a", "b", "c"), "3 findings at once")]
)
def test_words(findings, text):
    assert findings_text(findings) == text
