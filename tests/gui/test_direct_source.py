"""Choosing what direct transfer answers with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QComboBox, QRadioButton

from engine.contract.results import ClassMatch
from gui.panels.direct_source import DirectSource, same_names


def _bundle(folder: Path, classes: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True)
    facts = {"name": "Ward A", "classes": list(classes), "backbone": {"key": "resnet18"}}
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.fixture
def session(open_session, split_folder):
    session = open_session(split_folder)
    config = session.config
    session.choose(replace(config, method=replace(config.method, key="direct_transfer")))
    return session


@pytest.fixture
def source(qtbot, session):
    source = DirectSource(session)
    qtbot.addWidget(source)
    source.show()
    return source


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


def test_names_match_whatever_their_capitals():
    assert same_names(("Normal", "TB"), ("normal", "tb", "flu")) == (
        ClassMatch(theirs="Normal", own="normal"),
        ClassMatch(theirs="TB", own="tb"),
    )
