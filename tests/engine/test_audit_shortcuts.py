"""Clues that give the class away, and those that don't."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.audit.borders import find_telling_borders, flat_edges
from engine.audit.clues import Clue, corner_clue, header_clues, sheet_clues
from engine.audit.folds import patient_folds
from engine.audit.label_errors import find_label_errors
from engine.audit.shortcuts import (
    find_corner_shortcuts,
    find_header_shortcuts,
    flagged_targets,
    measure,
)
from engine.audit.study import Target
from engine.project.store import Project
from tests.helpers.audit_study import Made, import_study, only, opened_study, scene, study_of


def answering(is_positive: np.ndarray, groups: np.ndarray | None = None) -> Any:
    """Return what a clue is tried on."""
    n = len(is_positive)
    target = Target(
        name="ill", other="well", is_positive=is_positive, is_known=np.ones(n, dtype=np.bool_)
    )
    return SimpleNamespace(targets=(target,), groups=np.arange(n) if groups is None else groups)


def test_a_number_counts_in_whichever_direction_it_points():
    random = np.random.default_rng(0)
    is_ill = np.arange(200) % 2 == 0
    values = random.normal(size=200) - 1.5 * is_ill
    study = answering(is_ill)
    found = measure(
        study, Clue(key="x", name="x", numbers=values, advice=""), study.targets[0], n_tests=1
    )
    assert found is not None
    assert found.interval.estimate == pytest.approx(roc_auc_score(is_ill, -values))
    assert found.interval.low < found.interval.estimate < found.interval.high


def test_useless_clues_are_rarely_taken_for_shortcuts():
    random = np.random.default_rng(1)
    n_alarms = 0
    for _ in range(20):
        is_ill = np.repeat(random.random(40) < 0.5, 2)
        study = answering(is_ill, np.repeat(np.arange(40), 2))
        clues = [
            Clue(key="n", name="n", numbers=np.repeat(random.normal(size=40), 2), advice=""),
            Clue(key="w", name="w", words=[str(v) for v in random.integers(0, 4, 80)], advice=""),
            Clue(key="m", name="m", numbers=random.normal(size=(80, 8)), advice=""),
        ]
        n_alarms += sum(bool(flagged_targets(study, clue, n_clues=3)) for clue in clues)
    assert n_alarms <= 3  # of 60; one study in twenty may have one


def test_words_are_judged_on_patients_they_weren_t_learned_from():
    """A word of its own for each patient predicts nothing, though it fits perfectly."""
    is_ill = np.repeat(np.arange(60) % 2 == 0, 3)
    groups = np.repeat(np.arange(60), 3)
    study = answering(is_ill, groups)
    names = Clue(key="w", name="w", words=[f"device {g}" for g in groups], advice="")
    telling = Clue(key="w", name="w", words=["A" if ill else "B" for ill in is_ill], advice="")
    assert flagged_targets(study, names, n_clues=1) == []
    assert flagged_targets(study, telling, n_clues=1)[0].interval.estimate == 1.0


def test_too_few_patients_are_no_proof():
    is_ill = np.arange(16) % 2 == 0
    study = answering(is_ill)
    clue = Clue(key="x", name="x", numbers=is_ill.astype(np.float64), advice="")
    assert flagged_targets(study, clue, n_clues=1) == []


def test_folds_keep_patients_whole_and_classes_in_proportion():
    groups = np.repeat(np.arange(50), 3)
    labels = (groups < 20).astype(np.int64)
    folds = patient_folds(groups, labels)
    assert all(len(set(folds[groups == group])) == 1 for group in range(50))
    assert [int(labels[folds == fold].sum()) for fold in range(5)] == [12] * 5


def with_shapes(tall: bool) -> list[Made]:
    """Return a study in which the images of class a are wider than those of class b, or not."""
    made = study_of(40, seed=3)
    return [
        replace(image, values=scene(number, (64 if image.label == "a" and tall else 90, 96)))
        for number, image in enumerate(made)
    ]


def test_the_height_and_the_shape_give_the_class_away(tmp_path):
    with opened_study(import_study(tmp_path, with_shapes(tall=True))) as study:
        findings = find_header_shortcuts(study)
        for key in ("height", "aspect_ratio"):
            finding = only(findings, "shortcut", key=key)
            assert finding.severity == "high"
            assert finding.figures["auroc"] == 1.0
            assert finding.remedy == "crop"
        height = only(findings, "shortcut", key="height").sentence
        assert "The image height alone tells b from a with an AUROC of 1.00" in height
        assert "Its median is 90 pixels in b and 64 in a." in height
        assert not [f for f in findings if f.key == "width"]


def test_a_sound_study_has_no_shortcut(tmp_path):
    with opened_study(import_study(tmp_path, with_shapes(tall=False))) as study:
        assert find_header_shortcuts(study) == []
        assert find_corner_shortcuts(study) == []
        assert find_telling_borders(study) == []


def test_borders_of_whatever_grey_tell_and_cropping_ends_it(tmp_path):
    folder = import_study(tmp_path, with_shapes(tall=True))
    with opened_study(folder) as study:
        finding = only(find_telling_borders(study), "shortcut", key="borders")
        assert finding.severity == "high"
        assert finding.figures["auroc"] > 0.99
        assert finding.figures["auroc_edge_mean"] > 0.99
        assert finding.figures["auroc_center_crop"] < 0.6
        assert "no better than guessing" in finding.sentence
        study.project.apply_remedy(finding)
        assert study.project.image_contract.fit == "center_crop"
    with opened_study(folder) as study:
        assert find_telling_borders(study) == []
        shape = only(find_header_shortcuts(study), "shortcut", key="aspect_ratio")
        assert (shape.severity, shape.remedy) == ("medium", "")


def test_flat_edges_are_counted_from_outside():
    square = np.full((20, 20), 7, dtype=np.uint8)
    square[4:18, 1:19] = np.random.default_rng(0).integers(50, 200, (14, 18))
    assert flat_edges(square) == pytest.approx((4 / 20, 2 / 20, 1 / 20, 1 / 20, 7))


def test_a_marker_in_the_corner_of_one_class_is_found_in_the_pixels_of_the_network(tmp_path):
    made = study_of(40)
    for number, image in enumerate(made):
        if image.label == "b":
            image.values[:10, :10] = 255
        made[number] = image
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_corner_shortcuts(study), "shortcut", key="corners")
        assert finding.severity == "high"
        assert corner_clue(study).numbers is not None


def test_numeric_columns_of_the_sheet_are_tried_and_ages_may_be_right(tmp_path):
    random = np.random.default_rng(0)
    made = study_of(60)
    made = [
        replace(
            image,
            columns={
                "dose": round(float(random.normal() + 2 * (image.label == "b")), 3),
                "noise": round(float(random.normal()), 3),
                "age": 40 + 20 * (image.label == "b") + int(random.integers(0, 8)),
            },
        )
        for image in made
    ]
    with opened_study(import_study(tmp_path, made)) as study:
        assert [clue.key for clue in sheet_clues(study)] == ["column/dose", "column/noise"]
        findings = find_header_shortcuts(study)
        assert (
            "“dose” alone tells b from a" in only(findings, "shortcut", key="column/dose").sentence
        )
        assert only(findings, "shortcut", key="age").severity == "low"
        assert len(findings) == 2


def test_a_device_that_goes_with_the_class_is_named(tmp_path):
    made = study_of(60)
    made = [
        replace(image, columns={"scanner": f"Scanner {'AB'[image.label == 'b']}"}) for image in made
    ]
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_header_shortcuts(study), "shortcut", key="device")
        assert finding.sentence.startswith("The device alone tells b from a")
        assert "makes up 100 % of b and 0 % of a" in finding.sentence


def test_more_than_two_classes_are_each_told_from_the_rest(tmp_path):
    made = study_of(60)
    made = [replace(image, label="abc"[n % 3]) for n, image in enumerate(made)]
    made = [
        replace(image, values=image.values[: 50 if image.label == "c" else 90]) for image in made
    ]
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_header_shortcuts(study), "shortcut", key="height")
        assert "tells c from the other classes" in finding.sentence


def test_each_of_several_findings_is_told_from_its_absence(tmp_path):
    random = np.random.default_rng(0)
    made = []
    for image in study_of(60):
        findings = [name for name in ("nodule", "fluid") if random.random() < 0.5]
        height = 60 if "fluid" in findings else 90
        label = "|".join(findings) or "none"
        made.append(replace(image, label=label, values=image.values[:height]))
    with opened_study(import_study(tmp_path, made)) as study:
        assert not study.has_one_class
        assert {target.name for target in study.targets} >= {"nodule", "fluid"}
        finding = only(find_header_shortcuts(study), "shortcut", key="height")
        assert "alone tells fluid from no fluid with an AUROC of 1.00" in finding.sentence
        assert find_label_errors(study) == []


@pytest.fixture(scope="module")
def chest_study(tmp_path_factory, shared_data):
    """Return the project of the paediatric chest radiographs."""
    from engine.contract.commands import Scan
    from tests.helpers.tiny_study import run_job

    folder = tmp_path_factory.mktemp("chest") / "chest.radtune"
    run_job(Scan(source=str(shared_data / "cxr_pneumonia"), project=str(folder)))
    return folder


def test_the_known_traps_of_the_chest_radiographs_are_named(chest_study):
    """Figures as its README gives them; the height of the original files alone gives 0.92."""
    with opened_study(chest_study) as study:
        findings = find_header_shortcuts(study)
        for key, expected in (
            ("column/orig_height", 0.92),
            ("height", 0.88),
            ("aspect_ratio", 0.88),
        ):
            finding = only(findings, "shortcut", key=key, severity="high")
            assert finding.figures["auroc"] == pytest.approx(expected, abs=0.005)
            assert f"with an AUROC of {expected:.2f} (95 % interval" in finding.sentence
        assert len(header_clues(study)) > 10


def test_letterboxing_the_chest_radiographs_tells_the_class_and_cropping_does_not(chest_study):
    with opened_study(chest_study) as study:
        finding = only(find_telling_borders(study), "shortcut", key="borders", severity="high")
        assert finding.figures["auroc"] > 0.85
        assert finding.figures["auroc_edge_mean"] > 0.85
        assert finding.figures["auroc_center_crop"] < 0.65
        assert finding.remedy == "crop"


def test_the_audit_never_writes_into_the_study(chest_study):
    with Project.open(chest_study, read_only=True) as project:
        assert project.audit() is None
