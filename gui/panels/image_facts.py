"""What is known of an image: file, patient, study, covariates, and whitelisted header fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QWidget

from engine.contract.records import ImageRecord
from gui.itemmodels.image_query import study_name
from gui.messages import split_name
from gui.snapshot import Snapshot
from gui.theme import theme
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role

__all__ = ["FactsCard"]

_SHOWN_ABOVE: Final = frozenset({"Modality", "View", "Sex", "Age"})
"""Header fields that every image may have, and so stand before the others."""


class FactsCard(Card):
    """Names and values; the other images of the patient and of the study are one click away.

    Signals:
        images_requested: Ids of images to show alone, and what they are.
    """

    images_requested = Signal(object, str)

    def __init__(self) -> None:
        super().__init__(self.tr("This image"))
        self._records: Sequence[ImageRecord] = ()
        self._n_of_patient: Counter[int] = Counter()
        self._n_of_study: Counter[str | None] = Counter()
        self._shown: ImageRecord | None = None
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self.body.addLayout(self._grid)
        theme().changed.connect(self._show)  # links keep the colour they were made with

    def show_record(self, record: ImageRecord | None, snapshot: Snapshot) -> None:
        """Show a record, or nothing."""
        if snapshot.records is not self._records:
            self._count(snapshot.records)
        elif record is self._shown:
            return
        self._shown = record
        self._show()

    def _show(self) -> None:
        record = self._shown
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self.setVisible(record is not None)
        if record is None:
            return
        for row, (name, value) in enumerate(self._facts(record)):
            self._grid.addWidget(ElidedLabel(name, role="small"), row, 0)
            self._grid.addWidget(_text(value) if isinstance(value, str) else value, row, 1)

    def _count(self, records: Sequence[ImageRecord]) -> None:
        self._records = records
        self._n_of_patient = Counter([record.patient_id for record in records])
        self._n_of_study = Counter([record.study for record in records])

    def _facts(self, record: ImageRecord) -> list[tuple[str, str | QWidget]]:
        locale = QLocale()
        locale.setNumberOptions(QLocale.NumberOption.OmitGroupSeparator)
        size = f"{locale.toString(record.width)} × {locale.toString(record.height)}"
        name = record.path.rpartition("/")[2]
        if record.frame:
            name += self.tr(", frame %d") % (record.frame + 1)
        patient = _Linked(record.patient, self._n_of_patient[record.patient_id])
        patient.link.linkActivated.connect(self._ask_patient)
        facts: list[tuple[str, str | QWidget]] = [
            (self.tr("File"), name),
            (self.tr("Patient"), patient),
        ]
        if record.study is not None:
            study = _Linked(study_name(record.study), self._n_of_study[record.study])
            study.link.linkActivated.connect(self._ask_study)
            facts.append((self.tr("Study"), study))
        facts.append((self.tr("Part"), split_name(record.split)))
        facts += [(name, value) for name, value in self._covariates(record) if value]
        size = self.tr("%s, %d bit, %s") % (size, record.bits, record.format)
        facts.append((self.tr("Size"), size))
        fields = record.dicom.items()
        return facts + [(name, value) for name, value in fields if name not in _SHOWN_ABOVE]

    def _covariates(self, record: ImageRecord) -> list[tuple[str, str]]:
        age = record.dicom.get("Age", "")
        if not age and record.age is not None:
            age = self.tr("%s years") % QLocale().toString(round(record.age, 1), "g", 4)
        return [
            (self.tr("Site"), record.site or ""),
            (self.tr("Modality"), record.modality),
            (self.tr("View"), record.view or record.dicom.get("View", "")),
            (self.tr("Sex"), record.sex or record.dicom.get("Sex", "")),
            (self.tr("Age"), age),
        ]

    def _ask_patient(self) -> None:
        if (shown := self._shown) is not None:
            ids = [r.id for r in self._records if r.patient_id == shown.patient_id]
            self.images_requested.emit(ids, self.tr("Patient %s") % shown.patient)

    def _ask_study(self) -> None:
        if (shown := self._shown) is not None:
            ids = [r.id for r in self._records if r.study == shown.study]
            self.images_requested.emit(ids, self.tr("Study %s") % study_name(shown.study))


class _Linked(QWidget):
    """A name, and the number of its images as a link where there are several."""

    def __init__(self, name: str, n_images: int) -> None:
        super().__init__()
        words = images_text(n_images)
        self.link = QLabel(f'<a href="images">{words}</a>' if n_images > 1 else words)
        self.link.setTextFormat(Qt.TextFormat.RichText)
        self.link.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.link.setAccessibleName(f"{name}: {words}")
        set_role(self.link, "small")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(_text(name))
        row.addWidget(self.link)
        row.addStretch(1)


def _text(value: str) -> ElidedLabel:
    label = ElidedLabel(value, role="smallText", mode=Qt.TextElideMode.ElideMiddle)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
