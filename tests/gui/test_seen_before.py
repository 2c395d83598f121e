"""Where a network knows patients that it is measured on, each page says so before and after."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from engine.contract.config import BackboneConfig
from engine.contract.config_io import to_plain
from engine.contract.events import COMPLETED, JobFinished
from engine.project.store import Project
from gui.panels.evaluate import EvaluatePanel
from gui.panels.model import ModelPanel
from gui.panels.search import SearchPanel
from gui.panels.search_setup import Work
from gui.panels.seen_note import SeenNote
from gui.panels.train import TrainPanel
from gui.stages import Stage
from tests.gui.test_evaluate_page import of_test, two_classes
from tests.gui.test_search_page import found_crossval, keep
from tests.helpers.known_patients import (
    BUILT_IN,
    DEVICE,
    FROM_MADE,
    LISTED,
    NAME,
    WEIGHTS,
    add_run,
    make_known_project,
)

CHOSEN = BackboneConfig(key="efficientnet_lite0", weights=f"file:{WEIGHTS}")
IMAGES = "2 of the 4 validation images and of 2 of the 4 test images"


@pytest.fixture
def folder(tmp_path):
    folder = make_known_project(tmp_path / "study.radtune")
    add_run(folder, "plain", BUILT_IN, method="l2_sp")
    add_run(folder, "made", FROM_MADE, name=CHOSEN.weights)
    add_run(folder, "both", BUILT_IN, members=(("made", FROM_MADE), ("plain", BUILT_IN)))
    return folder


@pytest.fixture
def opened(open_session, folder):
    session = open_session(folder)
    take_device(session)
    return session


def take_device(session, **changes):
    device = DEVICE | {"added_weights": [LISTED | changes]}
    session.take_device(JobFinished(kind="doctor", outcome=COMPLETED, result=device))


def shown(qtbot, page):
    qtbot.addWidget(page)
    page.resize(1182, 700)
    page.show()
    page.on_shown()
    return page


def told(page) -> str:
    notes = (note for note in page.findChildren(SeenNote) if note.isVisible())
    return " ".join(note.text for note in notes)


def words(page) -> str:
    return " ".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


@pytest.mark.parametrize("run", ["made", "both"])
def test_before_the_look_it_is_said_how_many_test_patients_are_known(qtbot, opened, run):
    page = shown(qtbot, EvaluatePanel(opened))
    page.show_run(run)
    assert "learned from 1 of the 2 test patients" in told(page)
    assert "never seen" not in words(page)
    assert "measured on 4 images of 2 patients." in words(page)
    page.show_run("plain")
    assert told(page) == ""
    assert "that it has never seen" in words(page)


def test_where_nobody_can_know_nothing_is_claimed(qtbot, opened, folder):
    (folder / "pretrained" / f"{LISTED['digest']}.npz").unlink()
    page = shown(qtbot, EvaluatePanel(opened))
    with qtbot.waitSignal(opened.snapshot_changed):
        opened.reload()
    page.show_run("made")
    assert "damaged or missing" in told(page)
    assert "never seen" not in words(page)


def test_weights_of_an_earlier_version_are_told_as_soon_as_they_are_listed(qtbot, opened, folder):
    path = folder / "runs" / "made" / "recipe.json"
    recipe = json.loads(path.read_text(encoding="utf-8"))
    recipe["weights"]["digest"] = "c" * 64
    path.write_text(json.dumps(recipe), encoding="utf-8")
    with qtbot.waitSignal(opened.snapshot_changed):
        opened.reload()
    opened.device = {}
    page = shown(qtbot, EvaluatePanel(opened))
    page.show_run("made")
    assert "never seen" not in words(page)
    take_device(opened, digest="c" * 64, is_noted=False)
    assert "an earlier version pre-trained it" in told(page)
    take_device(opened, digest="c" * 64)
    assert "that it has never seen" in words(page)


@pytest.mark.parametrize(
    ("n_known", "text"),
    [(1, "learned from 1 of these 2 patients"), (None, "is not known"), (0, "")],
)
@pytest.mark.parametrize("run", ["plain", "both"])
def test_after_the_look_the_warning_stands_above_the_numbers(
    qtbot, open_session, folder, n_known, text, run
):
    if run == "both" and n_known == 0:
        n_known, text = 0, "learned from 1 of these 2 patients"  # by an earlier version
    result = replace(two_classes(of_test(folder), run), n_known=n_known)
    with Project.open(folder) as project:
        project.count_look(run)
        project.save_evaluation(run, result)
    session = open_session(folder)
    take_device(session)
    page = shown(qtbot, EvaluatePanel(session))
    page.show_run(run)
    assert text in told(page)
    assert bool(told(page)) == bool(text)
    if text:
        [note] = [note for note in page.findChildren(SeenNote) if note.isVisible()]
        assert "other weights" in words(note)
        assert (
            note.mapTo(page, note.rect().bottomLeft()).y()
            <= page.result.mapTo(page, page.result.rect().topLeft()).y()
        )
        with qtbot.waitSignal(page.stage_requested) as asked:
            note.pressed.emit()
        assert asked.args == [Stage.MODEL]


def test_the_runs_of_the_history_name_their_weights_and_carry_a_mark(qtbot, opened):
    page = shown(qtbot, TrainPanel(opened))
    table = page.findChild(type(page._history.table))
    rows = table.model()
    heads = [rows.headerData(c, Qt.Orientation.Horizontal) for c in range(rows.columnCount())]
    cells = {
        rows.run_at(row).id: dict(
            zip(heads, (rows.index(row, c).data() for c in range(len(heads))), strict=True)
        )
        for row in range(rows.rowCount())
    }
    assert cells["made"]["Backbone"] == f"EfficientNet-Lite0 ({NAME})"
    assert cells["plain"]["Backbone"] == "EfficientNet-Lite0"
    assert cells["both"]["Backbone"] == NAME
    for run, text in (("made", IMAGES), ("both", IMAGES), ("plain", "")):
        page._history.choose(run)
        assert text in page._history.seen_text
        assert bool(page._history.seen_text) == bool(text)


def test_a_run_that_knows_patients_carries_a_sign_and_says_what_it_means(qtbot, opened):
    page = shown(qtbot, TrainPanel(opened))
    rows = page._history.table.model()
    of_run = {rows.run_at(row).id: row for row in range(rows.rowCount())}
    heads = [rows.headerData(c, Qt.Orientation.Horizontal) for c in range(rows.columnCount())]
    for run, is_marked in (("made", True), ("both", True), ("plain", False)):
        cell = rows.index(of_run[run], heads.index("State"))
        assert (cell.data(Qt.ItemDataRole.DecorationRole) is not None) is is_marked
        assert ("knows patients" in cell.data(Qt.ItemDataRole.AccessibleTextRole)) is is_marked
        assert (IMAGES in cell.data(Qt.ItemDataRole.ToolTipRole)) is is_marked


def test_the_next_run_names_the_chosen_weights(qtbot, opened):
    page = shown(qtbot, TrainPanel(opened))
    opened.choose(replace(opened.config, backbone=CHOSEN))
    assert f"EfficientNet-Lite0 ({NAME}) · Linear probe" in words(page)


def test_runs_are_told_apart_by_method_and_weights(qtbot, opened):
    page = shown(qtbot, EvaluatePanel(opened))
    titles = [page._runs.itemText(row) for row in range(page._runs.count())]
    combined, made, plain = (title.split(" · ", 1)[1] for title in titles)
    assert combined == f"Combined · {NAME}"
    assert made == f"Linear probe · EfficientNet-Lite0 ({NAME}) · Quick"
    assert plain == "Pull to the start (L2-SP) · EfficientNet-Lite0 · Quick"


@pytest.mark.parametrize("panel", [TrainPanel, ModelPanel])
def test_whom_the_chosen_weights_know_is_said_before_the_start(qtbot, opened, panel):
    page = shown(qtbot, panel(opened))
    config = opened.config
    assert "The chosen weights" not in told(page)
    opened.choose(replace(config, backbone=CHOSEN))
    assert f"The chosen weights were pre-trained on the patients of {IMAGES}" in told(page)
    opened.choose(config)
    assert "The chosen weights" not in told(page)


def test_a_cross_validation_counts_the_training_patients_too(qtbot, opened):
    page = shown(qtbot, SearchPanel(opened))
    page.choose(Work.CROSSVAL)
    assert told(page) == ""
    opened.choose(replace(opened.config, backbone=CHOSEN))
    assert "4 of the 10 patients who are held out in turn" in told(page)


def test_a_cross_validation_to_combine_says_whom_its_networks_know(qtbot, opened):
    page = shown(qtbot, SearchPanel(opened))
    page.choose(Work.COMBINE)
    plain = found_crossval()
    config = replace(opened.config, backbone=CHOSEN)
    made = replace(plain, id="crossval-2", config=to_plain(config))
    page.setup.set_members((), (made, plain))
    of_made, of_plain = (page.setup.members.item(row) for row in range(2))
    assert f"({NAME})" in of_made.text() and of_made.text().endswith(" · knows patients")
    assert "knows" not in of_plain.text()
    of_plain.setCheckState(Qt.CheckState.Checked)
    assert page.setup.caution() == ""
    of_plain.setCheckState(Qt.CheckState.Unchecked)
    of_made.setCheckState(Qt.CheckState.Checked)
    assert "4 of the 10 patients who were held out in turn" in told(page)


def test_the_result_of_a_cross_validation_names_the_weights(qtbot, opened, folder):
    config = replace(opened.config, backbone=CHOSEN)
    result = replace(found_crossval(), config=to_plain(config))
    keep(folder, result)
    page = shown(qtbot, SearchPanel(opened))
    page.choose(Work.CROSSVAL)
    qtbot.waitUntil(lambda: f"EfficientNet-Lite0 ({NAME}), Linear probe: " in words(page))


def test_runs_to_combine_name_their_weights_and_say_whom_they_know(qtbot, opened):
    page = shown(qtbot, SearchPanel(opened))
    page.choose(Work.COMBINE)
    members = page.setup.members
    texts = {members.item(row).text().split(" · ", 1)[1]: row for row in range(members.count())}
    of_made = f"EfficientNet-Lite0 ({NAME}), Linear probe · AUROC 1.000 · knows patients"
    of_plain = "EfficientNet-Lite0, Pull to the start (L2-SP) · AUROC 1.000"
    assert set(texts) == {of_made, of_plain}
    assert told(page) == ""
    members.item(texts[of_made]).setCheckState(Qt.CheckState.Checked)
    assert (
        f"A marked run began from a network that had learned from the patients of {IMAGES}"
        in told(page)
    )
