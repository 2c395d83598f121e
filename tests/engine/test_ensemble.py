"""Runs that combine others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bundle.read import read_bundle
from engine.contract.commands import Combine, Crossval, Evaluate, Export, Robustness
from engine.contract.control import Control
from engine.evaluate.score import load_run, score_validation
from engine.jobs.source_bundle import seen_sentence
from engine.models.ensemble import EnsembleNetwork, member_tensors
from engine.models.registry import build_network
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job, small_config, train


@pytest.fixture
def two_runs(trained: tuple[Path, str]) -> tuple[Path, tuple[str, str]]:
    project, first = trained
    finished, _ = train(project, small_config("full_finetune", max_epochs=1, seed=1))
    return project, (first, finished.run)


def test_the_softmax_of_an_ensemble_is_the_mean_of_its_members() -> None:
    networks = [build_network("efficientnet_lite0", 3, weights="scratch", seed=s) for s in (0, 1)]
    ensemble = EnsembleNetwork(networks).eval()
    images = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = ensemble(images).softmax(1)
        apart = torch.stack([network(images).softmax(1) for network in networks]).mean(0)
    assert torch.allclose(together, apart, atol=1e-6)
    part = member_tensors(dict(ensemble.state_dict()), 1)
    assert part.keys() == networks[1].state_dict().keys()


def test_one_network_is_no_ensemble() -> None:
    network = build_network("efficientnet_lite0", 2, weights="scratch")
    with pytest.raises(ValueError, match="two or more"):
        EnsembleNetwork([network])


def test_a_combined_run_gives_the_mean_probability_of_its_runs(
    two_runs: tuple[Path, tuple[str, str]],
) -> None:
    folder, runs = two_runs
    result = run_job(Combine(project=str(folder), runs=runs))
    with Project.open(folder) as project:
        table = project.training_table()
        test = table.rows[table.split == 2]
        each = [load_run(project, run).probabilities(test) for run in (*runs, result["run"])]
    assert np.allclose(each[2], (each[0] + each[1]) / 2, atol=1e-6)


def test_a_combined_run_is_evaluated_and_exported_like_any_other(
    two_runs: tuple[Path, tuple[str, str]], tmp_path: Path
) -> None:
    folder, runs = two_runs
    run = run_job(Combine(project=str(folder), runs=runs, test_time_views=2))["run"]
    evaluation = run_job(Evaluate(project=str(folder), run=run))
    assert evaluation["looks"] == 1
    assert 0 <= evaluation["auroc"] <= 1
    exported = run_job(Export(project=str(folder), run=run, out=str(tmp_path / "bundle")))
    assert exported["max_difference"] < 1e-4
    bundle = read_bundle(tmp_path / "bundle")
    assert len(bundle.facts.members) == 2
    assert isinstance(bundle.network(), EnsembleNetwork)
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "training 2 networks apart" in card


def test_the_folds_of_a_cross_validation_answer_together(study: Path, tmp_path: Path) -> None:
    config = small_config("linear_probe")
    crossval = run_job(Crossval(project=str(study), config=config, folds=3))
    result = run_job(Combine(project=str(study), crossval=crossval["id"]))
    assert [member["name"] for member in result["members"]] == [
        f"{crossval['id']}/fold-{fold}" for fold in (1, 2, 3)
    ]
    assert result["val_auroc"] == pytest.approx(crossval["auroc"]["value"])
    with Project.open(study) as project:
        loaded = load_run(project, result["run"])
        scored = score_validation(loaded, project.training_table())
    # The threshold comes from predictions by networks that did not see the image.
    assert len(scored.labels) == crossval["n_images"]
    run_job(Evaluate(project=str(study), run=result["run"]))
    exported = run_job(Export(project=str(study), run=result["run"], out=str(tmp_path / "b")))
    assert exported["max_difference"] < 1e-4


def test_robustness_of_combined_folds_is_not_measured_on_images_they_learned_from(
    study: Path,
) -> None:
    config = small_config("linear_probe")
    crossval = run_job(Crossval(project=str(study), config=config, folds=2))
    run = run_job(Combine(project=str(study), crossval=crossval["id"]))["run"]
    command = Robustness(project=str(study), run=run, split="val")
    finished = execute(command, lambda event: None, Control())
    assert "learned from the validation images" in (finished.error or "")


@pytest.mark.parametrize("how", ["runs", "folds"])
def test_a_combined_classifier_that_knows_the_patients_is_noticed(
    two_runs: tuple[Path, tuple[str, str]], tmp_path: Path, how: str
) -> None:
    folder, runs = two_runs
    command = Combine(project=str(folder), runs=runs)
    if how == "folds":
        crossval = run_job(Crossval(project=str(folder), config=small_config("linear_probe")))
        command = Combine(project=str(folder), crossval=crossval["id"])
    run = run_job(command)["run"]
    run_job(Export(project=str(folder), run=run, out=str(tmp_path / "bundle")))
    facts = read_bundle(tmp_path / "bundle").facts
    with Project.open(folder) as project:
        table = project.training_table()
        anew = replace(table, split=np.full_like(table.split, 2))
        # Folds hold training and validation images; of runs, training ones alone are learned from.
        learned = table.split < (2 if how == "folds" else 1)
        n_known = np.isin(table.patients, table.patients[learned]).sum()
        found = seen_sentence(project, facts, anew)
        assert seen_sentence(project, facts, replace(table, split=anew.split * 0)) is None
    assert f"{n_known} of the {len(table.split)} test images" in (found or "")


@pytest.mark.parametrize("how", ["one", "twice", "unknown", "unknown crossval"])
def test_what_cannot_be_combined_is_refused(trained: tuple[Path, str], how: str) -> None:
    folder, run = trained
    runs = {"one": (run,), "twice": (run, run), "unknown": (run, "20200101-000000")}.get(how, ())
    crossval = "crossval-20200101-000000" if how == "unknown crossval" else ""
    command = Combine(project=str(folder), runs=runs, crossval=crossval)
    finished = execute(command, lambda event: None, Control())
    assert finished.outcome == "failed"
    assert finished.remedy
    with Project.open(folder, read_only=True) as project:
        assert len(project.runs()) == 1
