"""What is recommended to try first, as a table of cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import MakeSplit, RecommendSetup
from engine.contract.config import ImageContract
from engine.contract.errors import ConfigError
from engine.contract.events import COMPLETED
from engine.contract.recommendation import (
    FEW_OF_A_CLASS,
    MANY_IMAGES,
    SetupFacts,
    estimated_minutes,
    estimated_seconds,
    recommend_setup,
)
from engine.project.setup_facts import data_facts
from engine.project.store import Project
from tests.helpers.tiny_study import run_job, small_config, train


def facts(**changes) -> SetupFacts:
    known: dict[str, Any] = {"n_train": (350, 350), "n_val": 150, "image_px": 384}
    return SetupFacts(**(known | changes))


CASES = {
    "few of each class": (facts(n_train=(20, 20)), "linear_probe", "quick", "none"),
    "hundreds of each": (facts(), "linear_probe", "quick", "none"),
    "hundreds of each, probe not enough": (
        facts(probe_auroc=0.94),
        "full_finetune",
        "standard",
        "none",
    ),
    "hundreds of each, probe enough": (facts(probe_auroc=0.995), "linear_probe", "quick", "none"),
    "too few for more than the probe": (
        facts(n_train=(249, 250), probe_auroc=0.85),
        "linear_probe",
        "quick",
        "none",
    ),
    "just too few": (facts(n_train=(MANY_IMAGES - 200, 199)), "linear_probe", "quick", "weights"),
    "just enough": (facts(n_train=(500, 500)), "full_finetune", "standard", "none"),
    "hardly any of one class": (
        facts(n_train=(2000, FEW_OF_A_CLASS - 1)),
        "linear_probe",
        "quick",
        "logit_adjustment",
    ),
    "thousands": (facts(n_train=(4000, 4000)), "full_finetune", "standard", "none"),
    "one class three times as large": (
        facts(n_train=(900, 300)),
        "full_finetune",
        "standard",
        "weights",
    ),
    "no time": (facts(n_train=(600, 600), minutes=0.5), "linear_probe", "quick", "none"),
    "a night": (facts(n_train=(600, 600), minutes=600), "full_finetune", "thorough", "none"),
    "tiny pictures, nothing tried": (facts(image_px=28), "linear_probe", "quick", "none"),
    "tiny pictures, probe not enough": (
        facts(image_px=28, probe_auroc=0.95),
        "full_finetune",
        "standard",
        "none",
    ),
    "tiny pictures, probe enough": (
        facts(image_px=64, probe_auroc=0.999),
        "linear_probe",
        "quick",
        "none",
    ),
    "no images at all": (facts(n_train=()), "linear_probe", "quick", "none"),
}


@pytest.mark.parametrize("case", CASES)
def test_rules(case):
    known, method, preset, imbalance = CASES[case]
    found = recommend_setup(known)
    assert (found.method.value, found.preset.value, found.imbalance.value) == (
        method,
        preset,
        imbalance,
    )


@pytest.mark.parametrize("case", CASES)
def test_every_part_says_why_in_a_sentence_or_two(case):
    found = recommend_setup(CASES[case][0])
    for choice in (found.backbone, found.method, found.size_px, found.preset, found.imbalance):
        assert choice.why.endswith(".")
        assert choice.why[0].isupper()
        assert choice.why.count(". ") <= (choice is found.imbalance)


def test_the_same_facts_give_the_same_answer():
    assert recommend_setup(facts()) == recommend_setup(facts())


def test_a_backbone_with_weights_goes_before_one_without():
    weights = {"efficientnet_lite0": "missing", "resnet18": "missing", "densenet121": "added"}
    assert recommend_setup(facts(weights=weights)).backbone.value == "densenet121"


def test_the_shipped_backbone_stays_the_first_choice_beside_others():
    weights = {"efficientnet_lite0": "embedded", "densenet121": "added"}
    assert recommend_setup(facts(weights=weights)).backbone.value == "efficientnet_lite0"


def test_the_settings_are_those_that_were_recommended():
    config = recommend_setup(facts(n_train=(900, 300), size_px=112)).config(
        seed=7, image=ImageContract(fit="center_crop")
    )
    assert config.method.key == "full_finetune"
    assert config.loss.imbalance == "weights"
    assert config.image == ImageContract(fit="center_crop", size_px=112)
    assert config.seed == 7


@pytest.mark.parametrize(
    ("image_px", "prepared_px", "size_px"),
    [(28, 224, 112), (64, 224, 112), (65, 224, 224), (512, 224, 224), (28, 96, 96), (0, 224, 224)],
)
def test_small_images_are_enlarged_less(image_px, prepared_px, size_px):
    known = facts(image_px=image_px, size_px=prepared_px)
    assert recommend_setup(known).size_px.value == size_px


def test_less_enlarged_images_leave_time_for_more():
    few_minutes = {"n_train": (500, 500), "minutes": 3.0}
    assert recommend_setup(facts(image_px=28, **few_minutes)).method.value == "full_finetune"
    assert recommend_setup(facts(image_px=384, **few_minutes)).method.value == "linear_probe"


def test_what_was_not_measured_is_said():
    assert not recommend_setup(facts()).notes
    for unlike in (
        facts(task="multi"),
        facts(task="ordinal"),
        facts(device="cuda"),
        facts(n_train=(5000, 5000)),
        facts(n_train=(100,) * 9),
        facts(n_train=(5000, 100)),
    ):
        assert recommend_setup(unlike).notes


def test_time_grows_with_images_and_size_and_shrinks_with_cores():
    one = estimated_minutes(facts(), "full_finetune", "standard")
    assert estimated_minutes(facts(n_train=(700, 700)), "full_finetune", "standard") > one
    assert estimated_minutes(facts(size_px=448), "full_finetune", "standard") > 3 * one
    assert estimated_minutes(facts(threads=2), "full_finetune", "standard") < one
    assert estimated_minutes(facts(), "full_finetune", "thorough") > 2 * one
    assert estimated_minutes(facts(), "linear_probe", "quick") < one / 5


def test_a_project_gets_its_recommendation_with_the_facts_behind_it(study: Path):
    result = run_job(RecommendSetup(project=str(study)))
    assert result["facts"]["n_train"] == [22, 22]  # of 15 patients of a class 11, two images each
    assert result["facts"]["image_px"] == 36  # of 40 x 36
    assert result["facts"]["weights"]["efficientnet_lite0"] == "embedded"
    assert result["method"]["value"] == "linear_probe"
    assert any(result["method"]["why"] in sentence for sentence in result["sentences"])


def test_applying_changes_the_image_size_of_the_project_and_nothing_else(study: Path):
    with Project.open(study) as project:  # tiny images, prepared large
        before = project.image_contract = ImageContract(size_px=128, padding="edge_mean")
    looked = run_job(RecommendSetup(project=str(study)))
    assert looked["size_px"]["value"] == 112
    with Project.open(study, read_only=True) as project:
        assert project.image_contract == before
    assert any("--apply" in sentence for sentence in looked["sentences"])
    run_job(RecommendSetup(project=str(study), apply=True))
    with Project.open(study, read_only=True) as project:
        assert project.image_contract == replace(before, size_px=112)
    finished, _ = train(study, small_config("linear_probe"))
    assert finished.outcome == COMPLETED


def test_a_probe_that_was_tried_counts_until_the_data_change(trained: tuple[Path, str]):
    project, run = trained
    with Project.open(project, read_only=True) as opened:
        reached = opened.run_summary(run).val_auroc
    facts = run_job(RecommendSetup(project=str(project)))["facts"]
    assert facts["probe_auroc"] == reached
    run_job(MakeSplit(project=str(project), seed=9))
    assert run_job(RecommendSetup(project=str(project)))["facts"]["probe_auroc"] is None


def test_a_training_that_was_done_corrects_the_estimates(study: Path):
    finished, _ = train(study, small_config(max_epochs=1))
    assert finished.outcome == COMPLETED
    run = finished.run
    with Project.open(study) as project:
        (past,) = data_facts(project).past
        summary = project.run_summary(run)
        assert (past.backbone, past.method) == (summary.backbone, summary.method)
        assert past.device == "cpu"
        project.db.execute("UPDATE runs SET seconds = 3 * seconds")
        (slower,) = data_facts(project).past
        assert slower.slowness == pytest.approx(3 * past.slowness)
        known = replace(data_facts(project), device="cpu", threads=1)
        config = project.run_config(run)
        taken = 3 * summary.seconds * config.method.max_epochs / summary.epochs
        assert estimated_seconds(known, config) - 5 == pytest.approx(taken)
        (project.run_folder(run) / "recipe.json").unlink()
        assert data_facts(project).past == ()


def test_no_time_at_all_is_refused():
    with pytest.raises(ConfigError):
        RecommendSetup(project="p", minutes=0)
    with pytest.raises(ConfigError):
        RecommendSetup(project="p", minutes=float("nan"))


def test_a_size_that_the_recommended_backbone_cannot_take_is_changed():
    weights = {"efficientnet_lite0": "missing", "dinov2_vits14": "added"}
    found = recommend_setup(facts(weights=weights, size_px=250))
    assert found.backbone.value == "dinov2_vits14"
    assert found.size_px.value == 252  # the next multiple of 14
    assert "14 px" in found.size_px.why
    assert recommend_setup(facts(weights=weights, size_px=224)).size_px.value == 224


def test_images_count_once_where_they_show_several_findings():
    known = facts(n_train=(700, 700, 700), n_images=900, task="multi")
    assert (known.total, known.smallest) == (900, 700)
    found = recommend_setup(known)
    assert found.method.value == "linear_probe"  # nothing was tried yet
    assert found.imbalance.value == "none"


def test_a_project_without_anything_to_tell_apart_has_no_facts_that_break_the_rules(tmp_path):
    with Project.create(tmp_path / "empty.radtune") as project:
        known = data_facts(project)
    assert (known.total, known.image_px) == (0, 0)
    assert recommend_setup(known).method.value == "linear_probe"
