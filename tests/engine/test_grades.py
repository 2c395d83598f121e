"""Grades with an order, from import to evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from engine.contract.commands import Evaluate, MakeSplit, Scan
from engine.contract.events import COMPLETED
from engine.contract.import_rules import LabelRule, PatientRule
from engine.project.store import Project
from tests.helpers.tiny_study import CONTRACT, run_job, small_config, train, write_images


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grades")
    source = write_images(folder / "images", n_patients=42, classes=("mild", "none", "severe"))
    project = folder / "graded.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    rule = LabelRule(task="ordinal", order=("none", "mild", "severe"))
    patients = PatientRule(source="pattern", pattern=r"p\d+")
    run_job(Scan(source=str(source), project=str(project), label_rule=rule, patient_rule=patients))
    run_job(MakeSplit(project=str(project)))
    return project


def test_the_table_of_a_run_says_that_its_classes_have_an_order(graded: Path, study: Path) -> None:
    with Project.open(graded) as project:
        table = project.training_table()
        assert table.is_ordinal
        assert table.class_names == ("none", "mild", "severe")
    with Project.open(study) as project:
        assert not project.training_table().is_ordinal


@pytest.mark.parametrize("method", ["linear_probe", "full_finetune"])
def test_a_run_on_grades_reports_weighted_kappa_with_its_interval(
    graded: Path, method: str
) -> None:
    finished, _ = train(graded, small_config(method, max_epochs=1))
    assert finished.outcome == COMPLETED
    result = run_job(Evaluate(project=str(graded), run=finished.run))
    labels = [case["label"] for case in result["cases"]]
    calls = [max(range(3), key=case["probabilities"].__getitem__) for case in result["cases"]]
    kappa = result["intervals"]["weighted_kappa"]
    assert kappa["value"] == pytest.approx(cohen_kappa_score(labels, calls, weights="quadratic"))
    assert kappa["low"] <= kappa["value"] <= kappa["high"]
