"""Where an exported classifier goes, what it is called, and what is said when it is there."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final, Protocol

from PySide6.QtCore import QCoreApplication, QLocale, Qt
from PySide6.QtWidgets import QFileDialog, QWidget

from engine.contract.events import JobFinished
from engine.contract.records import RunSummary
from gui.itemmodels.run_words import preset_name
from gui.session import Session
from gui.widgets.counts import images_text

__all__ = ["ask_for_place", "verified_text"]

_BYTES_PER_MB: Final = 1e6


class _ExportTo(Protocol):
    def __call__(self, out: Path, *, difference_only: bool) -> None: ...


def ask_for_place(
    parent: QWidget, session: Session, run: RunSummary | None, export_to: _ExportTo
) -> None:
    """Ask where a run's bundle shall go, and how much of it.

    Args:
        parent: Of the question.
        session: Whose project has the run.
        run: The run.
        export_to: Called with the answer, if there is one.
    """
    folder = _bundles_folder(session)
    dialog = QFileDialog(parent, _tr("Export the classifier"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setLabelText(QFileDialog.DialogLabel.Accept, _tr("Export"))
    if folder is not None:
        dialog.setDirectory(str(folder))
    dialog.selectFile(_bundle_name(session, run))
    changes = _tr("Only what differs from the backbone (small; needs its weights) (*)")
    dialog.setNameFilters([_tr("The whole classifier (*)"), changes])
    dialog.fileSelected.connect(
        lambda name: export_to(Path(name), difference_only=dialog.selectedNameFilter() == changes)
    )
    dialog.open()


def _bundles_folder(session: Session) -> Path | None:
    """Return where the project keeps its bundles, made if need be; None without a project."""
    if session.folder is None:
        return None
    folder = session.folder / "bundles"
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return session.folder.parent  # a read-only project
    return folder


def _bundle_name(session: Session, run: RunSummary | None) -> str:
    """Return a name for a run's bundle that every system accepts for a folder."""
    day = time.strftime("%Y-%m-%d", time.localtime(run.created if run else None))
    preset = preset_name(run.preset) if run else ""
    name = " ".join(part for part in (session.name, preset, day) if part)
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "-", name).strip(" .")


def verified_text(finished: JobFinished) -> str:
    """Return on how many images a bundle was checked, how far it is from its run, and its size."""
    return f"{_agreement_text(finished)} {_size_text(finished)}".strip()


def _size_text(finished: JobFinished) -> str:
    n_bytes = finished.result.get("weights_bytes")
    if not n_bytes:
        return ""
    size = QLocale().toString(int(n_bytes) / _BYTES_PER_MB, "f", 1)
    if finished.result.get("is_difference"):
        return _tr("What differs from the backbone takes {0} MB.").format(size)
    return _tr("Its weights take {0} MB.").format(size)


def _agreement_text(finished: JobFinished) -> str:
    n_images = images_text(int(finished.result.get("n_verified") or 0))
    largest = float(finished.result.get("max_difference") or 0.0)
    if largest == 0.0:
        text = _tr(
            "Exported and verified: on {0} the bundle's probabilities are identical to the run's."
        )
        return text.format(n_images)
    text = _tr(
        "Exported and verified: on {0} the bundle's probabilities differ by at most {1} from the "
        "run's."
    )
    return text.format(n_images, QLocale().toString(largest, "g", 2))


def _tr(text: str) -> str:
    return QCoreApplication.translate("EvaluateExport", text)
