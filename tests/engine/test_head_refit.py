"""The decision layer alone, fitted while labels change; and what runs say of their methods."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.commands import ListMethods, RefitHead
from engine.contract.config import preset_config
from engine.contract.control import Control
from engine.contract.events import COMPLETED, FAILED, Event, JobFinished, JobProgressed
from engine.contract.methods import METHODS
from engine.jobs import head_refit
from engine.project import labels
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train


def test_a_refit_gives_the_validation_result_of_a_linear_probe(study: Path) -> None:
    finished, _ = train(study, small_config("linear_probe"))
    refit = run_job(RefitHead(project=str(study)))
    assert refit["val_auroc"] == pytest.approx(finished.result["val_auroc"], abs=1e-6)
    with Project.open(study) as project:
        table = project.training_table()
        assert refit["n_train"] == (table.split == 0).sum()
        assert refit["n_val"] == (table.split == 1).sum()
        assert [run.id for run in project.runs()] == [finished.run]  # it isn't a run


def test_a_refit_starts_from_the_weights_that_the_run_started_from(study: Path) -> None:
    config = small_config("linear_probe")
    scratch = replace(config.backbone, weights="scratch")
    config = replace(config, backbone=scratch, seed=preset_config("quick").seed)
    finished, _ = train(study, config)
    with Project.open(study) as project:
        assert project.runs()[0].weights == "scratch"
    refit = run_job(RefitHead(project=str(study), weights="scratch"))
    assert refit["val_auroc"] == pytest.approx(finished.result["val_auroc"], abs=1e-6)


def test_a_refit_follows_labels_that_changed_after_the_split(study: Path) -> None:
    before = run_job(RefitHead(project=str(study)))
    with Project.open(study) as project:
        table = project.training_table()
        _, b = (summary.id for summary in project.classes())
        wrong = [int(r) for r in table.record_ids[(table.split == 0) & (table.labels == 0)]]
        labels.set_labels(project, wrong[: len(wrong) * 3 // 4], b)
        assert project.split_is_stale()
    after = run_job(RefitHead(project=str(study)))
    assert after["n_train"] == before["n_train"]
    assert after["val_auroc"] <= before["val_auroc"]


def test_a_refit_names_the_labels_that_it_contradicts_and_no_test_image(tmp_path: Path) -> None:
    study = make_study(tmp_path, n_patients=60)
    assert run_job(RefitHead(project=str(study)))["doubted"] == []
    with Project.open(study) as project:
        table = project.training_table()
        _, b = (summary.id for summary in project.classes())
        wrong = []
        for part in (0, 1, 2):  # one mislabelled patient of each part
            mine = (table.split == part) & (table.labels == 0)
            patient = table.patients[mine][0]
            wrong.append([int(r) for r in table.record_ids[table.patients == patient]])
        labels.set_labels(project, [record for records in wrong for record in records], b)
    doubted = run_job(RefitHead(project=str(study)))["doubted"]
    assert set(wrong[0]) | set(wrong[1]) == set(doubted)


def test_a_refit_tells_its_result_before_it_looks_for_labels_in_doubt(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    told: list[float] = []

    def look(*args: object) -> tuple[int, ...]:
        told.extend(e.facts["val_auroc"] for e in events if isinstance(e, JobProgressed) if e.facts)
        return ()

    monkeypatch.setattr(head_refit, "_doubted", look)
    finished = execute(RefitHead(project=str(study)), events.append, Control())
    assert finished.outcome == COMPLETED
    assert told == [finished.result["val_auroc"]]


def test_where_images_are_not_described_yet_a_quick_refit_says_so(study: Path) -> None:
    command = RefitHead(project=str(study), described_only=True)
    finished = execute(command, lambda event: None, Control())
    assert finished.outcome == FAILED
    assert "described" in (finished.error or "")
    whole = run_job(RefitHead(project=str(study)))
    quick = run_job(command)
    assert quick["val_auroc"] == whole["val_auroc"]


def test_a_refit_without_all_classes_says_what_is_missing(study: Path) -> None:
    with Project.open(study) as project:
        a, _ = (summary.id for summary in project.classes())
        labels.set_labels(project, [record.id for record in project.records()], a)
    finished = execute(RefitHead(project=str(study)), lambda event: None, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == FAILED
    assert finished.remedy


def test_the_cards_of_the_methods_can_be_listed() -> None:
    finished = execute(ListMethods(), lambda event: None, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == COMPLETED
    cards = finished.result["methods"]
    assert [card["key"] for card in cards] == [card.key for card in METHODS]
    assert all(card["advice"] and card["how"] and card["reference"] for card in cards)
    assert len(finished.result["sentences"]) == len(METHODS)
    json.dumps(finished.result)


def test_a_project_knows_what_a_runs_method_said(study: Path) -> None:
    finished, _ = train(study, small_config("lora", max_epochs=1))
    with Project.open(study) as project:
        facts = project.method_facts(finished.run)
        assert facts == finished.result["method_facts"]
        assert 0 < facts["added"]["share"] < 1
        assert project.method_facts("another") == {}
