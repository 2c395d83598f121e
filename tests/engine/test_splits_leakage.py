"""The proof of no overlap, and splits that come with a label sheet."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from engine.contract.errors import DatasetError
from engine.splits.adopted import check_adopted_split, read_split_values
from engine.splits.leakage import Overlap, check_no_overlap, keep_groups_whole
from engine.splits.stratify import split_groups

NAMES = ("normal", "pneumonia")


def adopt(values, labels, groups, **settings):
    pseudonyms = [f"P{group + 1:04}" for group in groups]
    return check_adopted_split(
        values,
        np.asarray(labels),
        np.asarray(groups),
        class_names=NAMES,
        pseudonyms=pseudonyms,
        seed=0,
        **settings,
    )


def sound_column():
    """Sixty single-image patients, 40 for training and 10 each for validation and test."""
    return ["train"] * 40 + ["val"] * 10 + ["test"] * 10, np.arange(60) % 2, np.arange(60)


def test_the_proof_counts_patients_by_split():
    proof = check_no_overlap([0, 0, 1, 2, 3, 3], [0, 0, 0, 1, 2, 2])
    assert proof.n_groups == {"train": 2, "val": 1, "test": 1}
    assert proof.n_overlapping == 0


def test_the_proof_names_patients_in_two_splits():
    proof = check_no_overlap([5, 5, 7, 7, 7, 8], [0, 2, 0, 1, 2, 2])
    assert proof.overlaps == (
        Overlap(group=5, splits=("train", "test")),
        Overlap(group=7, splits=("train", "val", "test")),
    )


def test_images_in_no_split_leak_nothing():
    proof = check_no_overlap([0, 0, 1], [0, -1, 1])
    assert (proof.n_groups["train"], proof.n_overlapping) == (1, 0)


def test_a_made_split_passes_the_proof():
    generator = np.random.default_rng(0)
    groups, labels = generator.integers(0, 80, 400), generator.integers(0, 3, 400)
    split = split_groups(labels, groups, seed=0)
    proof = check_no_overlap(groups, split)
    assert proof.n_overlapping == 0
    assert sum(proof.n_groups.values()) == len(np.unique(groups))


def test_patients_kept_whole_go_where_most_of_their_images_are():
    groups = [0, 0, 0, 1, 1, 2, 2, 3]
    split = [2, 2, 0, 1, 0, 1, -1, -1]
    assert keep_groups_whole(groups, split).tolist() == [2, 2, 2, 0, 0, 1, -1, -1]


def test_unknown_codes_are_refused():
    with pytest.raises(ValueError, match="codes"):
        check_no_overlap([0], [3])
    with pytest.raises(ValueError, match="differ"):
        keep_groups_whole([0, 1], [0])


@pytest.mark.parametrize(
    ("code", "spellings"),
    [
        (0, ["train", "Training", "TRAIN", " train_set ", "training data", "trn"]),
        (1, ["val", "valid", "Validation", "dev", "tuning", "validation-set", "tune"]),
        (2, ["test", "Testing", "holdout", "hold-out", "Held out", "TEST SET"]),
    ],
)
def test_many_spellings_are_understood(code, spellings):
    assert set(read_split_values(spellings).tolist()) == {code}


def test_rows_without_a_value_are_in_no_split():
    assert read_split_values(["train", None, " ", "nan", "N/A", "test"]).tolist() == [
        *(0, -1, -1, -1, -1, 2)
    ]


def test_an_unknown_word_is_refused_by_name():
    with pytest.raises(DatasetError, match="'exclude'") as caught:
        read_split_values(["train", "test", "exclude", "val"])
    assert "train, val and test" in caught.value.remedy


@pytest.mark.parametrize("ambiguous", ["development", "evaluation", "trainval"])
def test_words_that_authors_use_for_different_parts_are_not_guessed(ambiguous):
    with pytest.raises(DatasetError, match=ambiguous):
        read_split_values(["train", ambiguous, "test"])


def test_a_column_of_other_things_is_refused_without_repeating_them():
    for column in (["Doe^John", "Roe^Jane"], [f"patient {i}" for i in range(90)]):
        with pytest.raises(DatasetError, match="none can be read") as caught:
            read_split_values(column)
        assert "Doe" not in caught.value.message


def test_an_empty_column_is_refused():
    with pytest.raises(DatasetError, match="is empty"):
        read_split_values([None, "", "nan"])


def test_numbers_are_a_split_when_zero_is_most_and_folds_otherwise():
    assert read_split_values(["0"] * 7 + ["1.0", "2"]).tolist() == [0] * 7 + [1, 2]
    for folds in (["0", "1", "2"] * 5, ["0"] * 7 + ["1"] * 2, ["0"] * 9 + ["1", "2", "3"]):
        with pytest.raises(DatasetError, match=r"read as training"):
            read_split_values(folds)


def test_a_sound_column_is_adopted_as_it_is():
    values, labels, groups = sound_column()
    adopted = adopt(values, labels, groups)
    assert adopted.is_usable
    assert adopted.notes == ()
    assert adopted.require_usable().tolist() == [0] * 40 + [1] * 10 + [2] * 10
    assert adopted.proof.n_groups == {"train": 40, "val": 10, "test": 10}


def test_a_patient_in_two_parts_stops_the_split_and_is_named_by_pseudonym():
    values, labels, groups = sound_column()
    groups[59] = 3
    adopted = adopt(values, labels, groups)
    assert not adopted.is_usable
    (finding,) = adopted.findings
    assert finding.kind == "overlap"
    assert finding.patients == ("P0004",)
    assert finding.message == (
        "1 patient has images in more than one part of the given split: P0004."
    )
    assert "new split" in finding.remedy
    assert "whole" in finding.remedy
    with pytest.raises(DatasetError, match="P0004"):
        adopted.require_usable()


def test_many_patients_in_two_parts_are_counted_and_the_first_named():
    values, labels, groups = sound_column()
    groups[50:] = np.arange(10)
    (finding,) = adopt(values, labels, groups).findings
    assert len(finding.patients) == 10
    assert "10 patients have images" in finding.message
    assert "P0005 and 5 more" in finding.message


def test_without_pseudonyms_patients_in_two_parts_are_counted():
    values, labels, groups = sound_column()
    groups[59] = 3
    adopted = check_adopted_split(values, labels, groups, class_names=NAMES)
    assert adopted.findings[0].message == (
        "1 patient has images in more than one part of the given split."
    )


def test_patients_can_be_kept_whole_by_majority_on_request():
    values, labels, groups = sound_column()
    groups[[57, 59]] = 59  # two images in the test part
    groups[5] = 59  # and one in training
    adopted = adopt(values, labels, groups, keep_whole=True)
    assert adopted.is_usable
    assert adopted.split[5] == 2
    assert "1 patient was moved whole" in adopted.notes[0]


def test_a_missing_validation_part_is_carved_from_training_by_patients_and_said():
    values = ["train"] * 160 + ["test"] * 40
    labels = np.repeat(np.arange(100) % 2, 2)
    groups = np.repeat(np.arange(100), 2)
    adopted = adopt(values, labels, groups)
    assert adopted.is_usable
    assert np.bincount(adopted.split).tolist() == [136, 24, 40]
    assert (adopted.split[160:] == 2).all()
    assert check_no_overlap(groups, adopted.split).n_overlapping == 0
    assert adopted.notes == (
        "The given split has no validation part: 12 patients with 24 images were taken from "
        "training for it.",
    )


def test_a_validation_part_that_cannot_be_carved_stops_the_split():
    values = ["train"] * 21 + ["test"] * 4
    labels = [0] * 20 + [1] + [0, 1, 0, 1]
    (finding,) = adopt(values, labels, range(25)).findings
    assert finding.kind == "no_validation"
    assert "Class 'pneumonia' has 1 patient" in finding.message


def test_a_part_without_a_class_stops_the_split():
    values, labels, groups = sound_column()
    labels[50:] = 0
    (finding,) = adopt(values, labels, groups).findings
    assert finding.kind == "class_missing"
    assert finding.message == (
        "The test part of the given split has no image of class 'pneumonia'."
    )


@pytest.mark.parametrize(("present", "missing"), [("train", "test"), ("test", "training")])
def test_a_column_without_training_or_test_is_refused(present, missing):
    with pytest.raises(DatasetError, match=f"no {missing} images"):
        adopt([present, "val"] * 4, [0, 1] * 4, range(8))


def test_images_without_a_value_are_left_out_and_said():
    values, labels, groups = sound_column()
    values[0] = ""
    adopted = adopt(values, labels, groups)
    assert adopted.split[0] == -1
    assert adopted.notes == ("1 image has no value in the split column and belongs to no part.",)


def test_inputs_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        adopt(["train"], [0, 1], [0, 1])


@pytest.mark.parametrize("study", ["cxr_pneumonia", "nih_cxr"])
def test_the_splits_of_the_real_studies_are_sound(shared_data, study):
    with (shared_data / study / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    patients = sorted({row["patient_id"] for row in rows})
    groups = np.array([patients.index(row["patient_id"]) for row in rows])
    adopted = check_adopted_split(
        [row["split"] for row in rows],
        np.array([names.index(row["label"]) for row in rows]),
        groups,
        class_names=names,
        pseudonyms=[f"P{group + 1:04}" for group in groups],
        seed=0,
    )
    assert adopted.is_usable
    assert sum(adopted.proof.n_groups.values()) == len(patients)
