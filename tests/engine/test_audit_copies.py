"""Copies and near copies, across the split and within it, and labels that contradict each other."""

from __future__ import annotations

from dataclasses import replace

import imagehash
import numpy as np
import pytest
from PIL import Image

from engine.audit import near_duplicates
from engine.audit.exact_duplicates import find_exact_duplicates
from engine.audit.near_duplicates import close_pairs, find_near_duplicates, fine_detail
from engine.project.labels import undo
from tests.helpers.audit_study import (
    import_study,
    numbers_of,
    only,
    opened_study,
    scene,
    study_of,
)


def test_copies_on_two_sides_of_the_split_come_first_and_name_the_later_image(tmp_path):
    made = study_of(20)
    made[6] = replace(made[6], values=made[4].values)  # validation shows what training shows
    assert (made[4].split, made[6].split) == ("train", "val")
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_exact_duplicates(study), "exact_duplicates")
        assert finding.severity == "high"
        assert numbers_of(study, finding) == [4, 6]
        assert finding.remedy_records == study.ids(np.array([6]))
        assert finding.pairs == (finding.records,)
        assert "1 picture lies on two sides of the split" in finding.sentence


def test_the_same_pixels_in_files_with_other_bytes_are_copies(tmp_path):
    made = study_of(12)
    made[2] = replace(made[2], values=made[0].values, name="i002.bmp")
    with opened_study(import_study(tmp_path, made)) as study:
        assert len(set(study.facts.texts["sha256"])) == 12
        assert numbers_of(study, only(find_exact_duplicates(study), "exact_duplicates")) == [0, 2]


def test_copies_of_one_patient_on_one_side_are_only_worth_a_look(tmp_path):
    made = study_of(12, per_patient=2)
    made[1] = replace(made[1], values=made[0].values)
    with opened_study(import_study(tmp_path, made)) as study:
        assert only(find_exact_duplicates(study), "exact_duplicates").severity == "low"
        assert find_near_duplicates(study) == []


def test_one_picture_with_two_labels_is_serious_and_no_plain_copy(tmp_path):
    made = study_of(12)
    made[1] = replace(made[1], values=made[0].values)
    assert made[0].label != made[1].label
    with opened_study(import_study(tmp_path, made)) as study:
        findings = find_exact_duplicates(study)
        finding = only(findings, "label_conflict", severity="high")
        assert len(findings) == 1
        assert len(finding.remedy_records) == 2


def test_blank_images_are_not_copies_of_one_another(tmp_path):
    made = study_of(12)
    for number in (3, 4, 5):
        made[number] = replace(made[number], values=np.zeros((40 + number, 50), dtype=np.uint8))
    with opened_study(import_study(tmp_path, made)) as study:
        assert find_exact_duplicates(study) == []


def test_excluding_the_copies_can_be_undone(tmp_path):
    made = study_of(12)
    made[2] = replace(made[2], values=made[0].values)
    with opened_study(import_study(tmp_path, made)) as study:
        project = study.project
        finding = only(find_exact_duplicates(study), "exact_duplicates")
        assert project.apply_remedy(finding) == "1 image is now excluded."
        assert project.records(finding.remedy_records)[0].excluded == "copy of another image"
        undo(project)
        assert project.records(finding.remedy_records)[0].excluded is None


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: np.clip(picture * 0.7 + 30, 0, 255),
        lambda picture: 255 * (picture / 255) ** 0.7,
        lambda picture: np.asarray(Image.fromarray(picture).resize((61, 61))),
        lambda picture: picture[:, ::-1],
    ],
    ids=["another window", "another gamma", "another size", "mirrored"],
)
def test_another_version_of_an_image_under_another_patient_is_a_near_copy(tmp_path, change):
    made = study_of(20)
    made[6] = replace(made[6], values=np.rint(change(made[4].values)).astype(np.uint8))
    with opened_study(import_study(tmp_path, made)) as study:
        findings = find_near_duplicates(study)
        finding = only(findings, "near_duplicates", severity="high")
        assert numbers_of(study, finding) == [4, 6]
        assert finding.remedy == "link_patients"


def test_keeping_near_copies_together_makes_the_split_stale_and_the_next_one_whole(tmp_path):
    made = study_of(20)
    made[6] = replace(made[6], values=(made[4].values * 0.7).astype(np.uint8))
    folder = import_study(tmp_path, made)
    with opened_study(folder) as study:
        assert not study.project.split_is_stale()
        study.project.apply_remedy(only(find_near_duplicates(study), "near_duplicates"))
    with opened_study(folder) as study:
        assert study.project.split_is_stale()
        assert study.groups[4] == study.groups[6]
        assert find_near_duplicates(study) == []


def test_different_images_are_not_near_copies(tmp_path):
    with opened_study(import_study(tmp_path, study_of(60))) as study:
        assert find_near_duplicates(study) == []


def test_a_study_of_nothing_but_blank_images_has_no_copies(tmp_path):
    blank = np.zeros((40, 40), dtype=np.uint8)
    made = [replace(image, values=blank + n) for n, image in enumerate(study_of(8))]
    with opened_study(import_study(tmp_path, made)) as study:
        assert find_exact_duplicates(study) == []
        assert find_near_duplicates(study) == []


def test_hashes_are_those_of_imagehash(tmp_path):
    made = study_of(12)
    with opened_study(import_study(tmp_path, made)) as study:
        picture = Image.fromarray(made[3].values).resize((128, 128), Image.Resampling.BICUBIC)
        expected = int(str(imagehash.phash(picture)), 16)
        assert int(study.pictures.hashes[3] ^ np.uint64(expected)).bit_count() <= 2


def test_every_pair_with_few_differing_bits_is_found_once(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK", (4, 16))
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, 50, dtype=np.int64).astype(np.uint64)
    hashes[40] = hashes[7] ^ np.uint64(0b1011)
    hashes[41] = hashes[40]
    found = [
        pair
        for rows, columns in near_duplicates._blocks(50)
        for pair in zip(*close_pairs(hashes, hashes, rows, columns), strict=True)
    ]
    assert sorted((int(a), int(b)) for a, b in found) == [(7, 40), (7, 41), (40, 41)]


def test_fine_detail_doesn_t_see_brightness_and_contrast():
    picture = scene(1)
    changed = np.rint(picture * 0.5 + 100).astype(np.uint8)
    agreement = float((fine_detail(picture) * fine_detail(changed)).sum())
    assert agreement > 0.9
    assert abs(float((fine_detail(picture) * fine_detail(scene(2))).sum())) < 0.4
