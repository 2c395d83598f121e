"""What is recommended to try first, as a table of cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import MakeSplit, RecommendSetup
from engine.contract.config import ImageContract
from engine.contract.errors import ConfigError
from engine.contract.events import COMPLETED
from engine.contract.methods import FEW_OF_A_CLASS
from engine.contract.recommendation import (
    MANY_IMAGES,
    SetupFacts,
    estimated_minutes,
    estimated_seconds,
    preset_advice,
    recommend_setup,
    shortage,
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
    "tiny pictures, hardly any of one class": (
        facts(n_train=(60, FEW_OF_A_CLASS - 1), image_px=28, probe_auroc=0.9),
        "linear_probe",
        "quick",
        "weights",
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
def test_what_is_recommended_is_never_called_too_much_for_the_images(case):
    known = CASES[case][0]
    assert shortage(known, str(recommend_setup(known).method.value)) is None


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
    config = recommend_setup(facts(n_train=(900, 300), image_px=112, size_px=112)).config(
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


@pytest.mark.parametrize(
    ("image_px", "prepared_px", "size_px", "says"),
    [
        (512, 64, 224, "originals have 512 px"),
        (512, 224, 224, "made for images of 224 px"),
        (512, 448, 448, "finer detail"),
        (128, 64, 128, "originals have 128 px"),
        (128, 128, 128, "more would add nothing"),
        (128, 224, 224, "made for images of 224 px"),
        (60, 32, 112, "only 60 px"),
        (28, 112, 112, "only 28 px"),
        (0, 128, 128, "prepared at 128 px"),
    ],
)
def test_an_image_size_uses_what_the_originals_have_up_to_that_of_the_backbone(
    image_px, prepared_px, size_px, says
):
    found = recommend_setup(facts(image_px=image_px, size_px=prepared_px)).size_px
    assert found.value == size_px
    assert says in found.why


@pytest.mark.parametrize(("image_px", "size_px"), [(28, 32), (28, 64), (64, 64)])
def test_a_small_size_that_stays_has_a_reason_that_is_about_it(image_px, size_px):
    found = recommend_setup(facts(image_px=image_px, size_px=size_px)).size_px
    assert found.value == size_px
    # Nothing below 112 px was measured; that nothing is cut off is plain arithmetic.
    assert f"{size_px} px show all of it" in found.why
    assert "wasn't measured" in found.why
    assert "measured no better" not in found.why


def test_how_long_to_train_is_advised_for_the_chosen_method_without_changing_it():
    few = facts(n_train=(34, 34))
    assert recommend_setup(few).method.value == "linear_probe"
    assert preset_advice(few, "linear_probe").value == "quick"
    assert preset_advice(few, "adversarial").value == "standard"
    assert "stops by itself" in preset_advice(few, "full_finetune").why
    assert "makes all of them" in preset_advice(few, "adversarial").why
    assert "every preset learns the same" in preset_advice(few, "direct_transfer").why


def test_another_backbone_wants_its_own_size():
    weights = {"efficientnet_lite0": "missing", "efficientnet_v2_s": "added"}
    known = facts(weights=weights, image_px=1024, size_px=224)
    assert recommend_setup(known).size_px.value == 384  # its input size in torchvision
    weights = {"efficientnet_lite0": "missing", "dinov2_vits14": "added"}
    known = facts(weights=weights, image_px=384, size_px=224)
    assert recommend_setup(known).size_px.value == 378  # 27 patches of 14 px


def test_fewer_pixels_are_kept_where_more_leave_no_time():
    known = facts(n_train=(500, 500), size_px=112, minutes=3.0)
    found = recommend_setup(known)
    assert (found.size_px.value, found.method.value) == (112, "full_finetune")
    assert "At 224 px" in found.size_px.why
    assert "3 min" in found.size_px.why
    for enough in (None, 60.0):
        assert recommend_setup(replace(known, minutes=enough)).size_px.value == 224


@pytest.mark.parametrize(
    ("method", "n_train", "is_short"),
    [
        ("adversarial", (69, 75), True),
        ("adversarial", (350, 350), False),
        ("full_finetune", (300, 19), True),
        ("full_finetune", (20, 20), False),
        ("linear_probe", (5, 5), False),
        ("direct_transfer", (3, 3), False),
        ("adversarial", (), False),
    ],
)
def test_a_method_that_needs_more_images_than_there_are_says_so(method, n_train, is_short):
    said = shortage(facts(n_train=n_train), method)
    assert (said is not None) == is_short
    if said is not None:
        assert f"the rarest class has {min(n_train)}" in said


def test_of_findings_the_rarest_counts_for_what_a_method_needs():
    said = shortage(facts(n_train=(16, 90), n_images=140, task="multi"), "adversarial")
    assert said is not None
    assert "the rarest finding has 16" in said


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


def test_a_probe_on_weights_of_a_file_does_not_count(trained: tuple[Path, str], monkeypatch):
    with Project.open(trained[0], read_only=True) as project:
        [own] = project.runs()
        others = replace(own, weights="file:0123", val_auroc=1.0)
        monkeypatch.setattr(Project, "runs", lambda _: (others, own))
        assert data_facts(project).probe_auroc == own.val_auroc
        monkeypatch.setattr(Project, "runs", lambda _: (others,))
        assert data_facts(project).probe_auroc is None


def test_a_training_that_was_done_corrects_the_estimates(study: Path):
    finished, _ = train(study, small_config(max_epochs=1))
    assert finished.outcome == COMPLETED
    run = finished.run
    with Project.open(study) as project:
        (past,) = data_facts(project).past
        said = (project.run_folder(run) / "events.jsonl").read_text(encoding="utf-8").splitlines()
        recipe = json.loads((project.run_folder(run) / "recipe.json").read_text(encoding="utf-8"))
        summary = project.run_summary(run)
        assert (past.backbone, past.method) == (summary.backbone, summary.method)
        assert past.device == "cpu"
        last = [e for e in map(json.loads, said) if e["type"] == "BatchFinished"][-1]
        assert (past.images_per_s, past.memory_mb) == (last["images_per_s"], last["memory_mb"])
        assert past.machine == recipe["hardware"]["cpu"] != ""
        assert past.size_px == recipe["config"]["image"]["size_px"]
        assert past.slowness >= 1.0  # of a few images starting up tells nothing of the pace
        project.db.execute("UPDATE runs SET seconds = 100")
        (past,) = data_facts(project).past
        project.db.execute("UPDATE runs SET seconds = 300")
        (slower,) = data_facts(project).past
        assert slower.slowness == pytest.approx(3 * past.slowness)
        known = replace(data_facts(project), device="cpu", threads=1)
        config = project.run_config(run)
        expected = estimated_seconds(replace(known, past=()), config)
        corrected = 5 + slower.slowness * (expected - 5)  # starting up stays as it was
        assert estimated_seconds(known, config) == pytest.approx(corrected)
        (project.run_folder(run) / "recipe.json").unlink()
        assert data_facts(project).past == ()


def test_no_time_at_all_is_refused():
    with pytest.raises(ConfigError):
        RecommendSetup(project="p", minutes=0)
    with pytest.raises(ConfigError):
        RecommendSetup(project="p", minutes=float("nan"))


def test_a_size_that_the_recommended_backbone_cannot_take_is_changed():
    weights = {"efficientnet_lite0": "missing", "dinov2_vits14": "added"}
    found = recommend_setup(facts(weights=weights, image_px=240, size_px=250))
    assert found.backbone.value == "dinov2_vits14"
    assert found.size_px.value == 252  # the next multiple of 14
    assert "14 px" in found.size_px.why
    assert recommend_setup(facts(weights=weights, image_px=224)).size_px.value == 224


def test_images_count_once_where_they_show_several_findings():
    known = facts(n_train=(700, 700, 700), n_images=900, task="multi")
    assert (known.total, known.smallest) == (900, 700)
    found = recommend_setup(known)
    assert found.method.value == "linear_probe"  # nothing was tried yet
    assert found.imbalance.value == "none"


def test_a_rare_finding_is_counted_more_and_said_to_be_rare():
    found = recommend_setup(facts(n_train=(16, 60), n_images=140, task="multi")).imbalance
    assert found.value == "weights"
    assert "16 of 140 images" in found.why


def test_a_project_without_anything_to_tell_apart_has_no_facts_that_break_the_rules(tmp_path):
    with Project.create(tmp_path / "empty.radtune") as project:
        known = data_facts(project)
    assert (known.total, known.image_px) == (0, 0)
    assert recommend_setup(known).method.value == "linear_probe"
