"""Wrong labels, classes too small, and patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad

from engine.audit.class_counts import find_class_counts, find_class_imbalance
from engine.audit.features import N_COMPONENTS, principal_axes
from engine.audit.label_errors import cross_validated_logits, find_label_errors
from engine.audit.label_noise import _mixture_loss, calibrated_loss, estimate_label_noise
from engine.audit.patients import (
    find_patients_in_several_classes,
    find_split_leaks,
    find_unknown_patients,
)
from engine.audit.skipped_files import find_skipped_files, find_unlabelled
from engine.project.labels import set_labels
from tests.helpers.audit_study import import_study, numbers_of, only, opened_study, study_of


def told_apart(
    n: int, n_classes: int, *, seed: int, gap: float = 2.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return features of classes that overlap a little, and the true classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_classes, n)
    centres = random.normal(size=(n_classes, 12))
    centres *= gap / np.linalg.norm(centres, axis=1, keepdims=True) * 1.5
    return (centres[labels] + random.normal(size=(n, 12))).astype(np.float32), labels


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("gap", [1.0, 2.5])
def test_hard_images_alone_are_no_sign_of_wrong_labels(n_classes, gap):
    """Once in 200 studies the test errs; these seeds are not among those."""
    for seed in range(3):
        features, labels = told_apart(600, n_classes, seed=seed, gap=gap)
        logits = cross_validated_logits(features, labels, np.arange(600))
        assert estimate_label_noise(logits, labels).share == 0.0


def test_useless_features_are_no_sign_of_wrong_labels():
    random = np.random.default_rng(0)
    for _ in range(3):
        labels = (random.random(400) < 0.2).astype(np.int64)
        features = random.normal(size=(400, 20)).astype(np.float32)
        logits = cross_validated_logits(features, labels, np.arange(400))
        assert estimate_label_noise(logits, labels).share == 0.0


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("rate", [0.03, 0.1])
def test_the_number_of_wrong_labels_is_about_right_and_most_suspects_are(n_classes, rate):
    random = np.random.default_rng(3)
    features, truth = told_apart(1500, n_classes, seed=1)
    is_wrong = random.random(1500) < rate
    labels = np.where(is_wrong, (truth + random.integers(1, n_classes, 1500)) % n_classes, truth)
    noise = estimate_label_noise(cross_validated_logits(features, labels, np.arange(1500)), labels)
    assert noise.is_wrong.sum() == pytest.approx(is_wrong.sum(), rel=0.35)
    suspects = noise.is_wrong > 0.5
    assert is_wrong[suspects].mean() > 0.75
    assert suspects[is_wrong].mean() > 0.5


def test_no_model_sees_the_patient_that_it_judges():
    """Each patient has a feature of its own; only one who saw the patient could use it."""
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 5)
    features = np.eye(40, dtype=np.float32)[groups]
    logits = cross_validated_logits(features, labels, groups)
    assert calibrated_loss(logits, labels) > 0.6  # guessing is 0.69


def test_the_gradient_of_the_mixture_is_right():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(50, 3)), random.integers(0, 3, 50)
    at = np.array([0.3, 0.1, -0.2, 0.4, -2.0])
    error = check_grad(
        lambda x, *data: _mixture_loss(x, *data)[0],
        lambda x, *data: _mixture_loss(x, *data)[1],
        at,
        logits,
        labels,
    )
    assert error < 1e-4


def test_principal_axes_keep_angles_between_images():
    random = np.random.default_rng(0)
    scales = np.linspace(0.1, 5, 400, dtype=np.float32)
    features = random.normal(size=(50, 400)).astype(np.float32) * scales
    axes = principal_axes(features, (300, 100))
    projected = axes.project(features)
    assert projected.shape[1] < min(50, N_COMPONENTS)
    whole = (features - axes.mean) * axes.scale
    np.testing.assert_allclose(projected @ projected.T, whole @ whole.T, atol=1e-3)
    assert (np.diff((projected**2).sum(axis=0)) <= 1e-4).all()


def test_swapped_labels_are_found_in_a_project(tmp_path):
    """A real network looks at 32 × 32 pixels: class a has a bright corner, class b has none."""
    made = study_of(120, seed=5)
    for image in made:
        image.values[:48, :48] = image.values[:48, :48] // 2 + (120 if image.label == "a" else 0)
    swapped = [11, 40, 71, 90]
    for number in swapped:
        made[number] = replace(made[number], label="ba"["ab".index(made[number].label)])
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_label_errors(study), "label_suspects")
        assert set(swapped) <= set(numbers_of(study, finding))
        assert finding.n <= 6
        assert finding.figures["n_expected"] == pytest.approx(4, abs=2)
        assert finding.remedy == ""
        assert "of 120 labels" in finding.sentence


def test_classes_with_too_few_patients_for_a_split_are_serious(tmp_path):
    made = [replace(image, split=None) for image in study_of(20)]
    made[0] = replace(made[0], label="c")
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_class_counts(study), "class_counts", severity="high")
        assert "A class has fewer than 3 patients: c (1)." in finding.sentence


def test_the_width_of_the_interval_to_expect_is_that_of_wilson(tmp_path):
    """20 test patients of each class, 18 recognised: 0.699 to 0.972 (Newcombe's tables)."""
    with opened_study(import_study(tmp_path, study_of(200))) as study:
        finding = only(find_class_counts(study), "class_counts", severity="low")
        assert finding.figures["n_test"] == 20
        assert finding.figures["low"] == pytest.approx(0.699, abs=0.001)
        assert finding.figures["high"] == pytest.approx(0.972, abs=0.001)
        assert "recognised 18 of them" in finding.sentence


def test_imbalance_is_said_from_three_times_on(tmp_path):
    made = study_of(40)
    few = [replace(image, label="a" if n % 4 == 0 else "b") for n, image in enumerate(made)]
    with opened_study(import_study(tmp_path / "few", few)) as study:
        finding = only(find_class_imbalance(study), "class_imbalance", severity="low")
        assert "b has 3.0 times as many images as a (30 and 10)" in finding.sentence
    with opened_study(import_study(tmp_path / "even", made)) as study:
        assert find_class_imbalance(study) == []


def test_a_sound_split_is_proven_and_a_broken_one_is_serious(tmp_path):
    folder = import_study(tmp_path, study_of(20, per_patient=2))
    with opened_study(folder) as study:
        proof = only(find_split_leaks(study), "patients_apart", severity="info")
        assert proof.figures == {"n_train": 12, "n_val": 4, "n_test": 4}
        study.split[1] = 2  # as if someone had moved one of the two images of the first patient
        leak = only(find_split_leaks(study), "split_leak", severity="high")
        assert numbers_of(study, leak) == [0, 1]


def test_a_patient_in_both_classes_is_good_to_know(tmp_path):
    made = study_of(20, per_patient=2)
    made[1] = replace(made[1], label="b")
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_patients_in_several_classes(study), "patient_in_classes")
        assert finding.severity == "info"
        assert numbers_of(study, finding) == [0, 1]
        assert finding.sentence == "1 patient has images in both classes: 2 images."


def test_files_that_stand_in_for_patients_are_said(tmp_path):
    made = [replace(image, patient="") for image in study_of(12)]
    with opened_study(import_study(tmp_path, made)) as study:
        assert study.unit == "file"
        assert only(find_unknown_patients(study), "unknown_patients").severity == "medium"


def test_files_left_out_and_images_without_label_are_counted(tmp_path):
    source = tmp_path / "images"
    folder = import_study(tmp_path, study_of(12))
    with opened_study(folder) as study:
        assert find_skipped_files(study) == []
        assert find_unlabelled(study) == []
        project = study.project
        project.add_skipped(1, _skipped(3))
        set_labels(project, [int(study.record_ids[0])], None)
        finding = only(find_skipped_files(study), "unreadable", key="unreadable")
        assert finding.n == 3
        assert "3 files could not be read as an image" in finding.sentence
        assert "The file is cut off (2)" in finding.sentence
        assert only(find_unlabelled(study), "unlabelled").n == 1
    assert source.is_dir()


def _skipped(n: int):
    from engine.contract.records import SkippedFile

    reasons = ["The file is cut off.", "The file is cut off.", "It is empty."]
    return [SkippedFile(path=f"bad{k}.png", reason=reasons[k % 3]) for k in range(n)]
