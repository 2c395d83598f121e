"""The sample study: simulated images beside the project, in the user's documents."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from engine.contract.commands import MakeSample, Scan
from gui.dialogs.project_place import free_folder, projects_folder
from gui.import_flow import ImportPlan

__all__ = ["sample_plan"]


def sample_plan() -> ImportPlan:
    """Return the plan that makes, imports and splits the sample study."""
    place = projects_folder()
    name = QCoreApplication.translate("SampleStudy", "Sample study (simulated)")
    project = free_folder(place, name)
    images = project.with_name(f"{project.name.removesuffix('.radtune')} images")
    return ImportPlan(
        project=project,
        scan=Scan(source=str(images), project=str(project)),
        sample=MakeSample(out=str(images)),
        makes_split=True,
    )
