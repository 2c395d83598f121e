"""The sample study: which patient has what, and the folder with a file for every film."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import DatasetError
from engine.contract.limits import Between, check_limits
from engine.data.phantoms.anatomy import draw_anatomy
from engine.data.phantoms.dicom import NOTICE, FilmHeader, dicom_bytes
from engine.data.phantoms.film import expose
from engine.data.phantoms.findings import LABELS, extra_tissue
from engine.data.phantoms.projection import Projection, project
from engine.data.phantoms.solids import Map
from engine.files import long_path, make_folder, replace_file, require_space, storage_error

README_NAME: Final = "README.txt"
_TITLE = "RadTune sample study"
_README = f"""{_TITLE}
====================

{NOTICE}. Simulated; not for clinical use.

Every picture here was computed: a simple chest (lungs, heart, ribs, spine, vessels) drawn at
random, its X-ray shadow, scatter, quantum noise and detector blur. No person was imaged, and
nothing learned from these pictures holds for real ones.

A folder per class: {", ".join(LABELS)}. File names are PATIENT_NUMBER.dcm; a patient may
have several images, and a few have a normal film before the disease. 16-bit DICOM (12 bits
stored), some MONOCHROME1. The word SIM in the corner is the same in all of them.

RadTune writes this folder anew when the sample study is made again in the same place.
"""
_FOLLOW_UP_SHARE = 0.08
_BYTES_PER_IMAGE = 560_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """Size and seed of a sample study.

    Attributes:
        n_images: Films in all, spread evenly over the classes.
        seed: The same seed gives the same files, byte for byte.
    """

    n_images: Annotated[int, Between(9, 20_000)] = 360
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0

    def patients(self) -> list[tuple[str, ...]]:
        """Return the label of each film of each patient.

        One to four films a patient, 2.5 on average. A patient has one class, but for a few whose
        first film is normal.
        """
        rng = np.random.default_rng([self.seed, 0])
        share, rest = divmod(self.n_images, len(LABELS))
        left = {label: share + (i < rest) for i, label in enumerate(LABELS)}
        most = min(4, max(1, share // 3))  # three splits want three patients a class
        planned: list[tuple[str, ...]] = []
        while any(left.values()):
            for label in LABELS:
                n = min(int(rng.choice(4, p=[0.2, 0.3, 0.3, 0.2])) + 1, most, left[label])
                was_normal = rng.random() < _FOLLOW_UP_SHARE and label != "normal"
                if n == 0:
                    continue
                films = [label] * n
                if was_normal and n > 1 and left["normal"] > most:
                    films[0] = "normal"
                for film in films:
                    left[film] -= 1
                planned.append(tuple(films))
        return planned


@dataclass(frozen=True, slots=True)
class _Patient:
    """A patient ready to be imaged; films share the anatomy and the course of the disease."""

    projection: Projection
    tissue_cm: Map


def _see_patient(seed: int, patient: int, label: str) -> _Patient:
    rng = np.random.default_rng([seed, patient, 0])
    projection = project(draw_anatomy(rng), rng)
    finding_rng = np.random.default_rng([seed, patient, 1])
    return _Patient(projection, extra_tissue(label, projection, finding_rng))


def _take_film(patient: _Patient, label: str, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Take a film; the disease waxes and wanes a little between two films."""
    course = np.float32(rng.uniform(0.8, 1.15) if label != "normal" else 0.0)
    tissue = np.minimum(course * patient.tissue_cm, patient.projection.lung_cm)
    return expose(patient.projection, tissue, rng)


def _film_rng(seed: int, patient: int, image: int) -> np.random.Generator:
    return np.random.default_rng([seed, patient, 1 + image])


def simulate_radiograph(
    label: str, *, seed: int = 0, patient: int = 1, image: int = 1
) -> NDArray[np.uint16]:
    """Return one simulated chest film (PA).

    Args:
        label: ``normal``, ``opacity`` or ``effusion``.
        seed: Of the study.
        patient: Number of the patient; the same number has the same anatomy.
        image: Number of the film; differs in position, exposure and noise.

    Returns:
        Stored values 0 to 4095 with bone bright, about 512 x 512; row 0 is at the head, the
        patient's left is on the right.

    Raises:
        ValueError: If ``label`` is not one of the three.
    """
    return _take_film(_see_patient(seed, patient, label), label, _film_rng(seed, patient, image))


def write_sample_study(
    out: Path,
    *,
    n_images: int = 360,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write the sample study: ``out/CLASS/SIM-0001_1.dcm`` and so on, with a README.

    A run that was interrupted can be repeated: every file is written whole or not at all, and
    files of an earlier sample study that are not part of this one go.

    Args:
        out: A folder that is empty, absent, or holds a sample study.
        n_images: Films in all; see ``StudyPlan``.
        seed: The same seed gives the same files, byte for byte.
        progress: Called in this thread with the number of films written and the number of all.
            What it raises stops the work and reaches the caller.

    Returns:
        The files, by patient and film.

    Raises:
        ConfigError: If a setting is outside its limits.
        DatasetError: If ``out`` holds something else.
        StorageError: If ``out`` can't be written, or the disk is full.
    """
    plan = StudyPlan(n_images=n_images, seed=seed)
    check_limits(plan)
    require_space(out, n_images * _BYTES_PER_IMAGE)
    with _explained():
        _prepare_folder(out)
    written = _write_films(out, plan, progress)
    with _explained():
        _remove_others(out, set(written))
    return written


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, "the sample study") from error


def _prepare_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DatasetError(
            "The place chosen for the sample study is a file.", remedy="Choose a folder."
        )
    readme = out / README_NAME
    others = out.is_dir() and any(path.name != "README.partial" for path in out.iterdir())
    if others and not _is_sample_readme(readme):
        raise DatasetError(
            "The folder chosen for the sample study holds other files.",
            remedy="Choose an empty folder, or one that holds a sample study.",
        )
    make_folder(out)
    _write_whole(readme, _README.encode("utf-8"))
    for label in LABELS:
        make_folder(out / label)


def _is_sample_readme(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_TITLE)) == _TITLE.encode("ascii")


def _write_films(
    out: Path, plan: StudyPlan, progress: Callable[[int, int], None] | None
) -> list[Path]:
    """Write all films, a patient at a time per thread (NumPy and SciPy let go of the lock)."""
    # The C library keeps as much freed memory as the largest block it has seen; otherwise it
    # fetches every temporary array from the system anew, a third of the time on Linux.
    np.empty(30 * 2**20, np.uint8)
    patients = plan.patients()
    done, canceled = 0, Event()
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        jobs = [
            pool.submit(_write_patient, out, plan.seed, number, labels, canceled)
            for number, labels in enumerate(patients, start=1)
        ]
        for job in as_completed(jobs):
            done += len(job.result())
            if progress is not None:
                progress(done, plan.n_images)
        return [path for job in jobs for path in job.result()]
    finally:
        canceled.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _write_patient(
    out: Path, seed: int, number: int, labels: tuple[str, ...], canceled: Event
) -> list[Path]:
    if canceled.is_set():
        return []
    patient = _see_patient(seed, number, labels[-1])
    anatomy = patient.projection.anatomy
    paths = []
    for image, label in enumerate(labels, start=1):
        header = FilmHeader(
            seed=seed,
            patient=number,
            image=image,
            sex="F" if anatomy.is_female else "M",
            age_years=anatomy.age_years,
            # Every fifth patient; five and three classes have no common divisor.
            is_inverted=number % 5 == 3,
        )
        film = _take_film(patient, label, _film_rng(seed, number, image))
        path = out / label / f"{header.patient_id}_{image}.dcm"
        with _explained():
            _write_whole(path, dicom_bytes(header, film))
        paths.append(path)
    return paths


def _write_whole(path: Path, data: bytes) -> None:
    """Write under another name, then rename. Not flushed to disk: the study can be made again."""
    path = long_path(path)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    replace_file(partial, path)


def _remove_others(out: Path, wanted: set[Path]) -> None:
    for label in LABELS:
        for pattern in ("SIM-*_?.dcm", "SIM-*_?.partial"):
            for path in (out / label).glob(pattern):
                if path not in wanted:
                    path.unlink()
