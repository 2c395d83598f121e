"""Runs that combine others."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bundle.read import read_bundle
from engine.contract.commands import (
    Combine,
    Crossval,
    Evaluate,
    Export,
    PrepareImages,
    Robustness,
    Train,
)
from engine.contract.control import Control
from engine.contract.events import FAILED, RunFinished
from engine.evaluate.score import load_run, score_validation
from engine.jobs.seen_before import seen_sentence
from engine.metrics.validation import validation_auroc
from engine.models.ensemble import EnsembleNetwork, member_tensors
from engine.models.registry import build_network
from engine.models.weights import weights_info
from engine.project.store import Project
from engine.run import execute
from tests.helpers.failing_disk import BrokenFolder
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


def test_no_network_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match="networks for the same classes"):
        EnsembleNetwork([])


def test_one_run_can_look_at_moved_copies_of_its_images(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, run = trained
    refused = execute(Combine(project=str(folder), runs=(run,)), lambda event: None, Control())
    assert refused.outcome == FAILED
    assert "more than one copy" in (refused.remedy or "")
    result = run_job(Combine(project=str(folder), runs=(run,), test_time_views=4))
    with Project.open(folder) as project:
        plain, looking = load_run(project, run), load_run(project, result["run"])
        table = project.training_table()
        before = project.run_summary(run).val_auroc
    rows = table.rows[table.split == 1]
    config = replace(plain.config, evaluation=replace(plain.config.evaluation, test_time_views=4))
    expected = replace(plain, config=config).probabilities(rows)
    found = looking.probabilities(rows)
    assert np.allclose(found, expected, atol=1e-6)
    assert not np.allclose(found, plain.probabilities(rows), atol=1e-6)
    assert f"AUROC of {result['val_auroc']:.3f}; it was {before:.3f} before" in result["sentence"]
    exported = run_job(Export(project=str(folder), run=result["run"], out=str(tmp_path / "b")))
    assert exported["max_difference"] < 1e-4
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "the mean over moved copies" in card


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


def test_a_classifier_that_sees_images_at_another_size_is_not_combined_with_other_runs(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, run = trained
    run_job(Export(project=str(folder), run=run, out=str(tmp_path / "bundle")))
    run_job(PrepareImages(project=str(folder), size_px=96))
    probe, _ = train(folder, small_config("linear_probe"))
    direct = small_config("direct_transfer")
    command = Train(project=str(folder), config=direct, bundle=str(tmp_path / "bundle"))
    applied = execute(command, lambda event: None, Control())
    assert isinstance(applied, RunFinished)
    both = Combine(project=str(folder), runs=(probe.run, applied.run))
    finished = execute(both, lambda event: None, Control())
    assert "prepare their images in different ways" in (finished.error or "")


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


def test_a_combination_that_the_disk_refuses_is_not_in_the_history(study: Path) -> None:
    config = small_config("linear_probe")
    crossval = run_job(Crossval(project=str(study), config=config, folds=2))["id"]
    before, at = sorted((study / "runs").iterdir()), 1
    while True:  # every step of writing is refused once, and all after it
        broken = BrokenFolder(study / "runs", errno.ENOSPC, at)
        with pytest.MonkeyPatch.context() as patch:
            broken.install(patch)
            command = Combine(project=str(study), crossval=crossval)
            finished = execute(command, lambda event: None, Control())
        if finished.outcome == "completed":
            break
        assert "full" in (finished.error or "")
        with Project.open(study, read_only=True) as project:
            assert project.runs() == ()
        assert sorted((study / "runs").iterdir()) == before
        at += 1
    assert at > 4


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_combined_folds_without_what_their_threshold_comes_from_are_damaged(
    study: Path, how: str
) -> None:
    config = small_config("linear_probe")
    crossval = run_job(Crossval(project=str(study), config=config, folds=2))["id"]
    run = run_job(Combine(project=str(study), crossval=crossval))["run"]
    file = study / "runs" / run / "held_out.json"
    changed = file.read_text(encoding="utf-8").replace("0.", "0.1", 1)
    file.unlink()
    if how == "changed":
        file.write_text(changed, encoding="utf-8")
    finished = execute(Evaluate(project=str(study), run=run), lambda event: None, Control())
    assert "damaged or missing" in (finished.error or "")


@pytest.mark.parametrize("how", ["runs", "folds"])
def test_a_combination_is_measured_with_the_views_that_it_answers_with(
    two_runs: tuple[Path, tuple[str, str]], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder, runs = two_runs
    command = Combine(project=str(folder), runs=runs, test_time_views=3)
    if how == "folds":
        config = small_config("linear_probe")
        crossval = run_job(Crossval(project=str(folder), config=config, folds=2))["id"]
        command = Combine(project=str(folder), crossval=crossval, test_time_views=3)

    def black(batch: torch.Tensor, n: int, **_: str) -> list[torch.Tensor]:
        assert n == 3
        return [torch.zeros_like(batch)] * n

    monkeypatch.setattr("engine.evaluate.score.test_time_views", black)
    result = run_job(command)
    # Who sees every image black tells none from another: an AUROC of 0.5.
    assert [member["val_auroc"] for member in result["members"]] == [0.5, 0.5]
    with Project.open(folder) as project:
        table = project.training_table()
        scored = score_validation(load_run(project, result["run"]), table)
        assert project.run_summary(result["run"]).val_auroc == result["val_auroc"]
    found = validation_auroc(scored.probabilities, scored.labels, table.positive)
    assert result["val_auroc"] == pytest.approx(found)
    # Of folds each network has its own answer to black, so at most two differ.
    assert len(np.unique(scored.probabilities.round(6), axis=0)) == (1 if how == "runs" else 2)


def test_combined_folds_name_the_weights_that_they_began_from(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_from = weights_info("efficientnet_lite0")
    crossval = run_job(Crossval(project=str(study), config=small_config("linear_probe"), folds=2))
    other = replace(began_from, digest="f" * 64)
    monkeypatch.setattr("engine.jobs.ensemble.weights_info", lambda *_: other)
    run = run_job(Combine(project=str(study), crossval=crossval["id"]))["run"]
    with Project.open(study) as project:
        loaded = load_run(project, run)
    assert [m.weights["digest"] for m in loaded.members] == [began_from.digest] * 2
    assert loaded.recipe["weights"]["digest"] == began_from.digest


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
