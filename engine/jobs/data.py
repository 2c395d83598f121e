"""Jobs on images, labels and splits; nothing here loads torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.commands import (
    Deidentify,
    ExportLabels,
    InspectFile,
    MakeSample,
    MakeSplit,
    PrepareImages,
    Preview,
    Relabel,
    Scan,
    ViewImage,
)
from engine.contract.control import Control
from engine.contract.events import Event, JobProgressed
from engine.contract.records import (
    DeidentifyResult,
    FileReport,
    RelabelResult,
    ScanResult,
    SourcePreview,
    SplitSummary,
)
from engine.project.access import open_alone
from engine.project.store import Project

Emit = Callable[[Event], None]


def make_sample(command: MakeSample, emit: Emit, control: Control) -> dict[str, Any]:
    """Write the simulated sample study."""
    from engine.data.phantoms import write_sample_study

    def progress(done: int, total: int) -> None:
        control.safe_point()
        emit(JobProgressed(kind="sample", stage="Simulating images", done=done, total=total))

    paths = write_sample_study(
        Path(command.out), n_images=command.n_images, seed=command.seed, progress=progress
    )
    n_patients = len({path.stem.rsplit("_", 1)[0] for path in paths})
    return {"out": command.out, "n_images": len(paths), "n_patients": n_patients}


def prepare(command: PrepareImages, emit: Emit, control: Control) -> dict[str, Any]:
    """Prepare the images at another size."""
    from engine.jobs.image_size import prepare_images

    return prepare_images(command, emit, control)


def preview_source(command: Preview, emit: Emit, control: Control) -> SourcePreview:
    """Look at a source before importing it."""
    from engine.data.preview import preview

    return preview(command, emit, control)


def scan_source(command: Scan, emit: Emit, control: Control) -> ScanResult:
    """Import images and labels; adopt the sheet's split when it has a sound one."""
    from engine.data.scan import scan
    from engine.jobs.splitting import adopt_split

    outcome = scan(command, emit, control)
    if not outcome.split_words:
        return outcome.result
    with open_alone(Path(command.project), owner="an import") as project:
        return adopt_split(project, outcome)


def inspect_one_file(command: InspectFile, emit: Emit, control: Control) -> FileReport:
    """Say what one file is and holds."""
    from engine.data.inspect_file import inspect_file

    return inspect_file(command, emit, control)


def relabel(command: Relabel, emit: Emit, control: Control) -> RelabelResult:
    """Change labels from a sheet."""
    from engine.data.relabel import relabel_from_sheet

    return relabel_from_sheet(command, emit, control)


def write_label_sheet(command: ExportLabels, emit: Emit, control: Control) -> dict[str, Any]:
    """Write the labels as a sheet."""
    from engine.data.relabel import export_labels

    return export_labels(command, emit, control)


def copy_without_identifiers(command: Deidentify, emit: Emit, control: Control) -> DeidentifyResult:
    """Copy DICOM originals without identifiers."""
    from engine.data.deidentify import deidentify

    return deidentify(command, emit, control)


def make_split(command: MakeSplit, emit: Emit, control: Control) -> SplitSummary:
    """Divide the patients anew."""
    from engine.jobs.splitting import split_project

    with open_alone(Path(command.project), owner="a split") as project:
        return split_project(project, fractions=command.fractions, seed=command.seed)


def view_image(command: ViewImage, emit: Emit, control: Control) -> dict[str, Any]:
    """Write one image at full size and depth for the viewer."""
    from engine.data.viewing import write_view

    with Project.open(Path(command.project), read_only=True) as project:
        return write_view(project, command.record, Path(command.out))
