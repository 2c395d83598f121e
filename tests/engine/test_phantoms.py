from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from engine.contract.errors import ConfigError, DatasetError, StorageError
from engine.data.phantoms import StudyPlan, simulate_radiograph, write_sample_study

N_IMAGES = 15
CLASSES = ("normal", "opacity", "effusion")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sample_study(tmp_path_factory.mktemp("sample") / "study", n_images=N_IMAGES)


@pytest.fixture(scope="module")
def datasets(written: list[Path]) -> dict[Path, pydicom.Dataset]:
    return {path: pydicom.dcmread(path) for path in written}


def shown(dataset: pydicom.Dataset) -> NDArray[np.float64]:
    """The picture on a screen, 0 black to 1 white (PS3.3 C.11.2.1.2, linear window)."""
    values = dataset.pixel_array.astype(float)
    center, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    unit = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)
    return 1.0 - unit if dataset.PhotometricInterpretation == "MONOCHROME1" else unit


def part(
    image: NDArray[np.float64], rows: tuple[float, float], cols: tuple[float, float]
) -> NDArray[np.float64]:
    n_rows, n_cols = image.shape
    row, col = (int(rows[0] * n_rows), int(rows[1] * n_rows)), [int(c * n_cols) for c in cols]
    return image[row[0] : row[1], col[0] : col[1]]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    write_sample_study(tmp_path / "many", n_images=9, seed=5)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    write_sample_study(tmp_path / "one", n_images=9, seed=5)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_another_seed_gives_another_patient():
    first, second = (simulate_radiograph("normal", seed=seed) for seed in (1, 2))
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_a_folder_per_class_holds_the_images_and_a_readme(written: list[Path]):
    root = written[0].parent.parent
    assert Counter(path.parent.name for path in written) == dict.fromkeys(CLASSES, N_IMAGES // 3)
    assert sorted(written) == sorted(root.rglob("*.dcm"))
    assert {path.name for path in root.iterdir()} == {*CLASSES, "README.txt"}
    readme = (root / "README.txt").read_text(encoding="utf-8")
    assert "simulated; not for clinical use" in readme.lower()


def test_file_name_and_header_name_the_same_patient(datasets: dict[Path, pydicom.Dataset]):
    for path, dataset in datasets.items():
        patient, film = path.stem.rsplit("_", 1)
        assert dataset.PatientID == patient
        assert patient.startswith("SIM-")
        assert 1 <= int(film) <= 4


def test_films_are_12_bit_in_16_bit_words_for_presentation(datasets: dict[Path, pydicom.Dataset]):
    for dataset in datasets.values():
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 12, 11)
        assert dataset.PixelRepresentation == 0
        assert dataset.Modality == "DX"
        assert dataset.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
        assert dataset.pixel_array.max() <= 4095
        assert dataset.pixel_array.dtype == np.uint16
        assert 450 <= min(dataset.pixel_array.shape) <= max(dataset.pixel_array.shape) <= 560
        assert (float(dataset.RescaleSlope), float(dataset.RescaleIntercept)) == (1.0, 0.0)
        assert 0 < float(dataset.WindowCenter) < 4096
        assert dataset.ViewPosition == "PA"


def test_every_header_says_that_no_patient_was_imaged(datasets: dict[Path, pydicom.Dataset]):
    for dataset in datasets.values():
        assert dataset.SeriesDescription == "SIMULATED - not a patient"
        assert dataset.ImageComments == "SIMULATED - not a patient"
        assert dataset.Manufacturer == "RadTune phantom"
        assert list(dataset.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert dataset.BurnedInAnnotation == "NO"
        assert dataset.PatientSex in ("F", "M")
        assert 18 <= int(dataset.PatientAge[:3]) <= 99
        assert dataset.StudyDate < "20030101"  # a fixed past, not the day of the run


def test_uids_are_valid_and_name_one_film_each(datasets: dict[Path, pydicom.Dataset]):
    for key in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        uids = [dataset[key].value for dataset in datasets.values()]
        assert len(set(uids)) == len(uids)
        assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)


def test_a_fifth_of_the_films_is_stored_inverted_and_looks_like_the_others(
    datasets: dict[Path, pydicom.Dataset],
):
    kinds = Counter(d.PhotometricInterpretation for d in datasets.values())
    assert set(kinds) == {"MONOCHROME1", "MONOCHROME2"}
    assert kinds["MONOCHROME1"] < kinds["MONOCHROME2"]
    for dataset in datasets.values():
        air, spine = (part(shown(dataset), (0.1, 0.2), c).mean() for c in ((0, 0.05), (0.48, 0.52)))
        assert air < 0.1 < 0.6 < spine


def test_the_marker_is_the_same_in_every_film(datasets: dict[Path, pydicom.Dataset]):
    corners = set()
    for dataset in datasets.values():
        stored = dataset.pixel_array[:36, :60]
        is_inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        corners.add((4095 - stored if is_inverted else stored).tobytes())
    assert len(corners) == 1
    corner = np.frombuffer(corners.pop(), np.uint16)
    assert corner.min() == 0 < 3000 < corner.max()


def test_lungs_are_dark_beside_a_bright_mediastinum(datasets: dict[Path, pydicom.Dataset]):
    normal = [shown(d) for path, d in datasets.items() if path.parent.name == "normal"]
    for image in normal:
        right, middle, left = (
            part(image, (0.36, 0.5), cols).mean()
            for cols in ((0.24, 0.36), (0.47, 0.53), (0.64, 0.76))
        )
        assert max(right, left) + 0.2 < middle


def test_the_heart_lies_on_the_right_of_the_picture_and_the_liver_dome_is_the_higher_one():
    films = [simulate_radiograph("normal", patient=p).astype(float) for p in range(1, 7)]

    def brightness(rows: tuple[float, float], cols: tuple[float, float]) -> float:
        return float(np.mean([part(film, rows, cols).mean() for film in films]))

    assert brightness((0.55, 0.64), (0.6, 0.66)) > brightness((0.55, 0.64), (0.34, 0.4)) + 300
    # At this height the right dome has begun and the left one has not.
    assert brightness((0.7, 0.74), (0.3, 0.36)) > brightness((0.7, 0.74), (0.7, 0.76)) + 100


def test_fluid_whitens_the_bases_and_leaves_the_apices():
    at_base: list[float] = []
    at_apex: list[float] = []
    for patient in range(1, 7):
        normal, effusion = (
            simulate_radiograph(label, patient=patient).astype(float)
            for label in ("normal", "effusion")
        )
        for gains, rows in ((at_base, (0.66, 0.76)), (at_apex, (0.28, 0.36))):
            sides = [
                part(effusion, rows, cols).mean() - part(normal, rows, cols).mean()
                for cols in ((0.2, 0.28), (0.72, 0.8))
            ]
            gains.append(max(sides))
    assert np.mean(at_base) > 250
    assert np.mean(at_apex) < 0.5 * np.mean(at_base)


def test_films_of_a_patient_differ_but_a_little():
    first, second = (
        simulate_radiograph("normal", patient=3, image=image).astype(float) for image in (1, 2)
    )
    other = simulate_radiograph("normal", patient=4, image=1).astype(float)
    rows, cols = np.min([first.shape, second.shape, other.shape], axis=0)

    def middle(image: NDArray[np.float64]) -> NDArray[np.float64]:
        top, left = (image.shape[0] - rows) // 2, (image.shape[1] - cols) // 2
        return image[top : top + rows, left : left + cols].ravel()

    same = np.corrcoef(middle(first), middle(second))[0, 1]
    assert np.corrcoef(middle(first), middle(other))[0, 1] < same < 0.9999


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match="fracture"):
        simulate_radiograph("fracture")


def test_the_plan_spreads_images_evenly_over_classes_and_patients():
    plan = StudyPlan(n_images=361).patients()
    films = Counter(label for patient in plan for label in patient)
    assert films == {"normal": 121, "opacity": 120, "effusion": 120}
    assert {len(patient) for patient in plan} == {1, 2, 3, 4}
    assert 2.2 < 361 / len(plan) < 2.8
    mixed = [patient for patient in plan if len(set(patient)) > 1]
    assert 0 < len(mixed) < 0.1 * len(plan)
    assert all(patient[0] == "normal" and len(set(patient)) == 2 for patient in mixed)


@pytest.mark.parametrize("n_images", [9, 12, 30])
def test_a_small_study_still_has_three_patients_a_class(n_images: int):
    plan = StudyPlan(n_images=n_images).patients()
    assert sum(map(len, plan)) == n_images
    assert all(sum(label in patient for patient in plan) >= 3 for label in CLASSES)


def test_a_study_too_small_to_split_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="n_images"):
        write_sample_study(tmp_path / "study", n_images=8)
    assert not (tmp_path / "study").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        write_sample_study(tmp_path, n_images=9)
    assert "empty folder" in caught.value.remedy
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "study").write_bytes(b"")
    with pytest.raises(DatasetError):
        write_sample_study(tmp_path / "study", n_images=9)


def test_a_disk_that_fills_up_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_sample_study(tmp_path / "study", n_images=9)


def test_progress_counts_up_to_all_images(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    write_sample_study(tmp_path, n_images=9, progress=lambda *counts: seen.append(counts))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (9, 9)


def test_a_canceled_study_can_be_made_again(tmp_path: Path, written: list[Path]):
    def cancel(done: int, total: int) -> None:
        raise InterruptedError  # an OSError, yet the caller's own: it passes unchanged

    with pytest.raises(InterruptedError):
        write_sample_study(tmp_path / "study", n_images=N_IMAGES, progress=cancel)
    assert len(list((tmp_path / "study").rglob("*.dcm"))) < N_IMAGES
    write_sample_study(tmp_path / "study", n_images=N_IMAGES)
    assert contents(tmp_path / "study") == contents(written[0].parent.parent)


def test_a_smaller_study_replaces_a_larger_one_but_no_file_of_the_user(tmp_path: Path):
    out = tmp_path / "study"
    write_sample_study(out, n_images=12)
    (out / "normal" / "note.txt").write_text("mine", encoding="utf-8")
    (out / "normal" / "SIM-0001_1.partial").write_bytes(b"half")
    kept = write_sample_study(out, n_images=9, seed=3)
    assert sorted(out.rglob("*.dcm")) == sorted(kept)
    assert (out / "normal" / "note.txt").exists()
    assert not list(out.rglob("*.partial"))
