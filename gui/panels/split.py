"""The split page: which patients are trained on, validated on and tested on."""

from __future__ import annotations

from collections import Counter

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from engine.contract.commands import MakeSplit
from engine.contract.events import COMPLETED, FAILED, JobFinished
from engine.contract.records import SPLITS, SplitSummary
from gui.icons import pixmap
from gui.messages import split_name
from gui.panels.panel import Panel
from gui.panels.split_details import SplitDetails
from gui.session import Session
from gui.stages import Stage
from gui.theme import theme
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.counts import patients_text
from gui.widgets.empty_state import EmptyState
from gui.widgets.painting import repolish, set_role
from gui.widgets.progress_row import ThinProgress
from gui.widgets.split_bars import SplitBars, SplitCount

__all__ = ["SplitPanel"]


class SplitPanel(Panel):
    """Makes the split, shows it, and proves that no patient is in two parts."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(session, self.tr("Split"), parent=parent)
        self._error = ("", "")
        self._again = self.header.add_button(self.tr("Make a new split"))
        self._again.clicked.connect(self._make)
        self._go = self.header.add_button(self.tr("Make the split"), is_primary=True)
        self._go.clicked.connect(self._on_go)
        self._proof = _Proof()
        self._bars = SplitBars()
        self._patients = _PatientBars()
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        set_role(self._notes, "secondary")
        self._source = QLabel()
        self._source.setWordWrap(True)
        set_role(self._source, "secondary")
        self.details = SplitDetails()
        self._empty = EmptyState(
            "split",
            self.tr("There is nothing to split yet."),
            self.tr("Go to the data"),
            self.tr("A split needs images of at least two classes."),
        )
        self._empty.action_requested.connect(self._on_data)
        self._content = self._build()
        self.body.addWidget(self._empty, 1)
        self.body.addWidget(self._content, 1)
        session.snapshot_changed.connect(self._refresh)
        session.jobs.started.connect(self._refresh_job)
        session.jobs.ended.connect(self._refresh_job)
        self._refresh()

    def _on_data(self) -> None:
        self.go_to(Stage.DATA)

    def _on_go(self) -> None:
        if self._is_ready():
            self.go_to(Stage.MODEL)
        else:
            self._make()

    def _is_ready(self) -> bool:
        snapshot = self.session.snapshot
        return (
            snapshot.split is not None
            and not snapshot.is_split_stale
            and snapshot.split.overlap == 0
            and not self._error[0]
        )

    def _make(self) -> None:
        folder = self.session.folder
        if folder is None or self.session.jobs.is_busy_with("split"):
            return
        self._error = ("", "")
        command = MakeSplit(
            project=str(folder), fractions=self.details.fractions, seed=self.details.seed
        )
        self.session.jobs.start(command, self._on_made)
        self._refresh()

    def _on_made(self, finished: JobFinished) -> None:
        if finished.outcome == FAILED:
            self._error = (finished.error or "", finished.remedy or "")
        elif finished.outcome == COMPLETED:
            self._go.setFocus()
        self._refresh()

    def _refresh_job(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        snapshot = self.session.snapshot
        is_possible = snapshot.can_split
        is_busy = self.session.jobs.is_busy_with("split")
        self._empty.setVisible(not is_possible)
        self._content.setVisible(is_possible)
        self._go.setVisible(is_possible)
        has_split = snapshot.split is not None
        is_ready = self._is_ready()
        self._again.setVisible(is_possible and has_split and is_ready)
        self._go.setEnabled(not is_busy)
        self._again.setEnabled(not is_busy)
        if is_busy:
            self._go.setText(self.tr("Splitting…"))
        elif is_ready:
            self._go.setText(self.tr("Choose a model"))
        else:
            self._go.setText(
                self.tr("Make a new split") if has_split else self.tr("Make the split")
            )
        if is_possible:
            self._show_split(snapshot.split)
            self._show_source()

    def _show_split(self, split: SplitSummary | None) -> None:
        has_split = split is not None
        self._bars_card.setVisible(has_split)
        self._patients_card.setVisible(has_split)
        self.header.set_subtitle(self._subtitle(split))
        self._show_proof(split)
        if split is None:
            return
        self._show_bars(split)
        self._patients.show_counts(split.n_patients)
        self._notes.setText("\n".join(split.notes))
        self._notes.setVisible(bool(split.notes))
        if split.fractions is not None:
            self.details.propose(split.fractions, split.seed)

    def _show_bars(self, split: SplitSummary) -> None:
        snapshot = self.session.snapshot
        is_multi = snapshot.is_multi
        self._bars_card.set_title(
            self.tr("Images by finding") if is_multi else self.tr("Images by class")
        )
        self._bars_card.set_secondary(self.tr("an image can have several") if is_multi else "")
        included = [r.split for r in snapshot.records if r.excluded is None] if is_multi else []
        totals = Counter(included)
        classes = list(dict.fromkeys(name for c in split.counts.values() for name in c))
        self._bars.set_counts(
            classes,
            [
                SplitCount(
                    name=split_name(part),
                    n_images=tuple(split.counts.get(part, {}).get(name, 0) for name in classes),
                    n_total=totals[part] if is_multi else None,
                )
                for part in SPLITS
            ],
        )

    def _subtitle(self, split: SplitSummary | None) -> str:
        if split is None:
            return self.tr("Patients are divided; all images of a patient stay together")
        if split.origin == "adopted":
            return self.tr("Adopted from the label sheet")
        return self.tr("Made here, seed %d") % (split.seed or 0)

    def _show_proof(self, split: SplitSummary | None) -> None:
        what, remedy = self._error
        snapshot = self.session.snapshot
        if what:
            self._proof.show_state("bad", what, remedy)
        elif split is None:
            self._proof.show_state(
                "",
                self.tr("There is no split yet."),
                self.tr("The classes are kept in balance, and no patient gets into two parts."),
            )
        elif split.overlap:
            self._proof.show_state(
                "bad",
                self.tr("Stop: %s in more than one part.") % patients_text(split.overlap),
                self.tr("Make a new split: results of this one would look better than they are."),
            )
        elif snapshot.is_split_stale:
            self._proof.show_state(
                "warning",
                self.tr("Images or labels have changed since this split was made."),
                self.tr("Make a new split before you train; earlier results are kept."),
            )
        else:
            self._proof.show_state("good", self._proof_text(split), "")

    def _proof_text(self, split: SplitSummary) -> str:
        n = patients_text(sum(split.n_patients.values()))
        if split.unit == "file":
            return self.tr("No image is in two parts: checked %s, one image each.") % n
        if split.unit == "study":
            return self.tr("No study is in two parts: checked %s.") % n
        return self.tr("No patient is in two parts: checked %s.") % n

    def _show_source(self) -> None:
        units = self.session.snapshot.patient_units
        n_file, n_study = units.get("file", 0), units.get("study", 0)
        n_known = units.get("patient", 0)
        lines = []
        if n_known:
            lines.append(self._known_text() % patients_text(n_known))
        if n_study:
            lines.append(
                self.tr("%s known only as one study: its images are kept together.")
                % patients_text(n_study)
            )
        if n_file:
            lines.append(
                self.tr(
                    "%s without any id: each file counts as its own patient. If they have several "
                    "images, results can look better than they are."
                )
                % patients_text(n_file)
            )
        self._source.setText("\n".join(lines))

    def _known_text(self) -> str:
        texts = {
            "dicom": self.tr("%s known by the id in the DICOM header."),
            "column": self.tr("%s known by the id in the label sheet."),
            "pattern": self.tr("%s known by the id in the file name."),
        }
        found = [texts[s] for s in self.session.snapshot.patient_sources if s in texts]
        if len(found) == 1:
            return found[0]
        return self.tr("%s known by an id from the file header, the label sheet or the file name.")

    def _build(self) -> QWidget:
        self._bars_card = Card(self.tr("Images by class"))
        self._bars_card.body.addWidget(self._bars)
        self._patients_card = Card(self.tr("Patients"))
        self._patients_card.body.addWidget(self._patients)
        self._source_card = Card(self.tr("How patients are told apart"))
        self._source_card.body.addWidget(self._source)
        self._source_card.body.addStretch(1)
        self._details_link = make_link(self.tr("Details"), icon="settings")
        self._details_link.setCheckable(True)
        self._details_link.toggled.connect(self.details.setVisible)
        self.details.hide()
        page = QWidget()
        page.setObjectName("page")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._proof)
        column.addWidget(self._bars_card)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._patients_card, 1)
        row.addWidget(self._source_card, 1)
        column.addLayout(row)
        column.addWidget(self._notes)
        column.addWidget(self._details_link, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.details)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(page)
        return scroll


class _PatientBars(QWidget):
    """Patients of the three parts, with bars that begin at the same place."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        self._rows: dict[str, tuple[ThinProgress, QLabel]] = {}
        for row, part in enumerate(SPLITS):
            bar, numbers = ThinProgress(), QLabel()
            bar.setAccessibleName(split_name(part))
            numbers.setAlignment(Qt.AlignmentFlag.AlignRight)
            set_role(numbers, "secondary")
            grid.addWidget(QLabel(split_name(part)), row, 0)
            grid.addWidget(bar, row, 1)
            grid.addWidget(numbers, row, 2)
            self._rows[part] = (bar, numbers)

    def show_counts(self, n_patients: dict[str, int]) -> None:
        """Show how many patients each part has."""
        total = max(1, sum(n_patients.values()))
        for part, (bar, numbers) in self._rows.items():
            n = n_patients.get(part, 0)
            text = f"{patients_text(n)} · {round(100 * n / total)} %"
            bar.set_fraction(n / total)
            bar.setAccessibleDescription(text)
            numbers.setText(text)


class _Proof(Card):
    """One sentence with a sign: green for the proof, red for a stop, amber for out of date."""

    def __init__(self) -> None:
        super().__init__()
        self._tone = ""
        self._icon = QLabel()
        self._what = QLabel()
        self._what.setWordWrap(True)
        set_role(self._what, "heading")
        self._remedy = QLabel()
        self._remedy.setWordWrap(True)
        set_role(self._remedy, "secondary")
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(self._what)
        texts.addWidget(self._remedy)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(texts, 1)
        self.body.addLayout(row)
        theme().changed.connect(self._paint_icon)

    def show_state(self, tone: str, what: str, remedy: str) -> None:
        """Show a sentence; ``tone`` is good, warning, bad or nothing."""
        self._tone = tone
        self._what.setText(what)
        self._what.setProperty("tone", tone)
        repolish(self._what)
        self._remedy.setText(remedy)
        self._remedy.setVisible(bool(remedy))
        self.setAccessibleName(what)
        self.setAccessibleDescription(remedy)
        self._paint_icon()

    def _paint_icon(self) -> None:
        names = {"good": "success", "warning": "warning", "bad": "error"}
        name = names.get(self._tone, "info")
        colors = theme().tokens.colors()
        color = colors[self._tone] if self._tone else colors["secondary"]
        self._icon.setPixmap(pixmap(name, size_px=theme().px(20), color=color))
