"""Choosing what direct transfer answers with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton, QRadioButton, QWidget

from engine.contract.results import ClassMatch
from engine.project.store import Project
from gui.panels.direct_source import DirectSource, same_names
from gui.panels.model import ModelPanel
from gui.panels.model_backbones import BackbonePicker
from gui.panels.train import TrainPanel
from gui.stages import Stage
from tests.helpers.findings_project import make_findings_project


def _bundle(folder: Path, classes: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True)
    facts = {"name": "Ward A", "classes": list(classes), "backbone": {"key": "resnet18"}}
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def _choose_direct_transfer(session) -> None:
    config = session.config
    session.choose(replace(config, method=replace(config.method, key="direct_transfer")))


@pytest.fixture
def session(open_session, split_folder):
    session = open_session(split_folder)
    _choose_direct_transfer(session)
    return session


@pytest.fixture
def source(qtbot, session):
    source = DirectSource(session)
    qtbot.addWidget(source)
    source.show()
    return source


def _bundle_that_says(folder: Path, **facts: object) -> Path:
    path = _bundle(folder, ("Pneumonia", "Effusion")) / "bundle.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(known | facts), encoding="utf-8")
    return folder


def _own(session) -> list[str]:
    return [kind.name for kind in session.snapshot.classes if kind.index is not None]


def test_averages_are_the_first_choice(source, session):
    assert session.next_run().bundle is None


def test_a_classifier_is_matched_by_name_and_started_with(source, session, tmp_path):
    own = _own(session)
    folder = _bundle(tmp_path / "ward", (own[1].upper(), "other", own[0]))
    assert source.take_bundle(folder)
    run = session.next_run()
    assert run.bundle == str(folder)
    expected = (
        ClassMatch(theirs=own[1].upper(), own=own[1]),
        ClassMatch(theirs=own[0], own=own[0]),
    )
    assert run.matches == expected
    assert not source.problem


def test_what_lacks_a_match_is_said(source, session, tmp_path):
    own = _own(session)
    source.take_bundle(_bundle(tmp_path / "ward", ("x", "y", "z")))
    assert own[0] in source.problem
    source.match("x", own[0])
    source.match("y", own[0])
    assert own[1] in source.problem
    source.match("z", own[1])
    assert not source.problem
    assert len(session.next_run().matches) == 3


def test_another_method_takes_no_classifier(source, session, tmp_path):
    own = _own(session)
    source.take_bundle(_bundle(tmp_path / "ward", tuple(own)))
    config = session.config
    session.choose(replace(config, method=replace(config.method, key="linear_probe")))
    assert session.next_run().bundle is None


def test_a_folder_without_a_classifier_is_refused(source, session, tmp_path):
    assert not source.take_bundle(tmp_path)
    assert session.next_run().bundle is None


def test_going_back_to_averages_forgets_the_classifier(source, session, tmp_path):
    source.take_bundle(_bundle(tmp_path / "ward", tuple(_own(session))))
    averages = source.findChildren(QRadioButton)[0]
    averages.click()
    assert session.next_run().bundle is None
    assert not any(box.isVisible() for box in source.findChildren(QComboBox))


def test_while_a_classifier_answers_no_backbone_can_be_chosen(qtbot, session, tmp_path):
    page, train = ModelPanel(session), TrainPanel(session)
    for panel in (page, train):
        qtbot.addWidget(panel)
        panel.show()
    (source,), (picker,) = page.findChildren(DirectSource), page.findChildren(BackbonePicker)
    assert picker.isEnabled()
    assert page.header.accessibleDescription() == "EfficientNet-Lite0 · Direct transfer"
    source.take_bundle(_bundle(tmp_path / "ward", tuple(_own(session))))  # it says resnet18
    assert not picker.isEnabled()
    assert page.header.accessibleDescription() == "ResNet-18 · Direct transfer"
    assert train.header.accessibleDescription().startswith("ResNet-18 · Direct transfer")
    assert "answers with its own: ResNet-18" in _texts(page)
    page.choose_method("linear_probe")
    assert picker.isEnabled()
    assert page.header.accessibleDescription() == "EfficientNet-Lite0 · Linear probe"
    _choose_direct_transfer(session)
    _radios(source)[0].click()
    assert picker.isEnabled()
    assert "answers with its own" not in _texts(page)


def test_names_match_whatever_their_capitals():
    assert same_names(("Normal", "TB"), ("normal", "tb", "flu")) == (
        ClassMatch(theirs="Normal", own="normal"),
        ClassMatch(theirs="TB", own="tb"),
    )


@pytest.fixture
def findings_session(qtbot, session, tmp_path):
    folder = make_findings_project(tmp_path / "findings.radtune", n_images=24)
    with qtbot.waitSignal(session.snapshot_changed):
        session.close_project()
    with qtbot.waitSignal(session.snapshot_changed):
        session.open_project(folder)
    _choose_direct_transfer(session)
    return session


def _learn(qtbot, session, name: str | None) -> None:
    kind = next((kind.id for kind in session.snapshot.classes if kind.name == name), None)
    with qtbot.waitSignal(session.snapshot_changed):
        session.change(Project.choose_finding, kind)


def _radios(parent: QWidget) -> tuple[QRadioButton, QRadioButton]:
    averages, classifier = parent.findChildren(QRadioButton)
    return averages, classifier


def _texts(page) -> str:
    return " ".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def test_no_classifier_is_offered_for_several_findings(qtbot, findings_session, tmp_path):
    folder = _bundle(tmp_path / "ward", ("Pneumonia", "Normal"))
    page = ModelPanel(findings_session)
    qtbot.addWidget(page)
    page.show()
    averages, classifier = _radios(page.findChildren(DirectSource)[0])
    assert averages.isChecked()
    assert not classifier.isEnabled()
    assert "Not for several findings at once" in _texts(page)
    assert not page.findChildren(DirectSource)[0].take_bundle(folder)
    assert findings_session.next_run().bundle is None


def test_one_finding_is_matched_until_all_are_learned_again(qtbot, findings_session, tmp_path):
    _learn(qtbot, findings_session, "Pneumonia")
    page = ModelPanel(findings_session)
    qtbot.addWidget(page)
    page.show()
    (source,) = page.findChildren(DirectSource)
    averages, classifier = _radios(page.findChildren(DirectSource)[0])
    assert classifier.isEnabled()
    assert "Not for several findings at once" not in _texts(page)
    assert source.take_bundle(_bundle(tmp_path / "ward", ("Pneumonia", "Normal")))
    source.match("Normal", "no Pneumonia")
    assert not source.problem
    assert findings_session.next_run().matches == (
        ClassMatch(theirs="Pneumonia", own="Pneumonia"),
        ClassMatch(theirs="Normal", own="no Pneumonia"),
    )

    _learn(qtbot, findings_session, None)
    assert averages.isChecked()
    assert not classifier.isEnabled()
    assert not any(box.isVisible() for box in source.findChildren(QComboBox))
    assert findings_session.next_run().bundle is None


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"thresholds": [0.5, 0.4]}, "answers for several findings"),
        ({"members": [{"key": "resnet18"}, {"key": "resnet18"}]}, "combines several networks"),
    ],
)
def test_what_can_not_be_matched_is_said_and_not_listed(session, qtbot, tmp_path, facts, said):
    source = DirectSource(session)
    qtbot.addWidget(source)
    source.show()
    _bundle_that_says(session.folder / "bundles" / "several", **facts)
    good = _bundle(session.folder / "bundles" / "one", tuple(_own(session)))
    _radios(source)[1].click()
    (choice,) = (b for b in source.findChildren(QComboBox) if b.accessibleName() == "Classifier")
    assert [choice.itemData(k) for k in range(choice.count())] == [good]
    assert not source.take_bundle(session.folder / "bundles" / "several")
    assert said in " ".join(label.text() for label in source.findChildren(QLabel))
    assert session.next_run().bundle == str(good)


def test_training_waits_until_every_class_is_matched(qtbot, source, session, tmp_path):
    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.show()
    asked: list[Stage] = []
    page.stage_requested.connect(asked.append)
    start = next(b for b in page.findChildren(QPushButton) if b.text() == "Start")
    own = _own(session)
    source.take_bundle(_bundle(tmp_path / "ward", (own[0], "other")))
    assert not start.isEnabled()
    texts = [label.text() for label in page.findChildren(QLabel) if label.isVisible()]
    assert f"No class of the chosen classifier stands for “{own[1]}”." in texts
    next(b for b in page.findChildren(QPushButton) if b.text() == "Go to the model").click()
    assert asked == [Stage.MODEL]
    source.match("other", own[1])
    assert start.isEnabled()
