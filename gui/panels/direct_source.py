"""What direct transfer answers with: averages of the classes, or a classifier that exists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from engine.contract.backbones import backbone_card
from engine.contract.results import ClassMatch
from gui.direct_choice import DirectChoice
from gui.panels.apply_bundle import BundleSummary, find_bundles, read_summary
from gui.session import Session
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.painting import set_role

__all__ = ["DirectSource", "same_names"]

_NOT_IN_TASK: Final = ""
_INDENT_PX: Final = 30  # where the text of a radio button begins


def same_names(theirs: Sequence[str], own: Sequence[str]) -> tuple[ClassMatch, ...]:
    """Return the matches of classes that are called the same but for capitals."""
    known = {name.casefold(): name for name in own}
    return tuple(
        ClassMatch(theirs=name, own=known[name.casefold()])
        for name in theirs
        if name.casefold() in known
    )


class DirectSource(Card):
    """Chooses the classifier and says what each of its classes stands for here."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.set_title(self.tr("What answers"))
        self._session = session
        self._bundle: BundleSummary | None = None
        self._averages = QRadioButton(self.tr("The class whose average description is nearest"))
        self._classifier = QRadioButton(self.tr("A classifier I already have"))
        self._group = QButtonGroup(self)
        self._group.addButton(self._averages)
        self._group.addButton(self._classifier)
        self._averages.setChecked(True)
        self._classifier_help = QLabel()
        self._group.buttonClicked.connect(self._on_kind)
        self._choice = QComboBox()
        self._choice.setAccessibleName(self.tr("Classifier"))
        self._choice.activated.connect(self._on_chosen)
        self._other = make_button(self.tr("Other bundle…"), icon="folder")
        self._other.clicked.connect(self.ask_bundle)
        self._facts = QLabel()
        self._facts.setWordWrap(True)
        set_role(self._facts, "secondary")
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        self._details = QWidget()
        self._grid = QGridLayout()
        self._boxes: dict[str, QComboBox] = {}
        self._build()
        self.refresh()

    @property
    def problem(self) -> str:
        """Why a run can't start with the present choice, or nothing."""
        return self._problem.text() if self._classifier.isChecked() else ""

    def refresh(self) -> None:
        """Show the project's classifiers and classes as they are now."""
        self._allow_classifier(is_possible=not self._learns_findings())
        names = self._own_classes()
        shown = [box.itemText(k) for box in self._boxes.values() for k in range(1, box.count())]
        if self._bundle is not None and shown[: len(names)] != list(names):
            self._show_matches(same_names(self._bundle.classes, names))
        self._list_bundles()
        self._details.setVisible(self._classifier.isChecked())

    def take_bundle(self, folder: Path) -> bool:
        """Take a classifier, and match its classes by name; return whether it is one."""
        summary = read_summary(folder)
        if (refusal := self._refusal(summary)) or summary is None:
            self._facts.setText(refusal)
            return False
        self._bundle = summary
        self._classifier.setChecked(True)
        self._show_matches(same_names(summary.classes, self._own_classes()))
        self.refresh()
        return True

    def ask_bundle(self) -> None:
        """Ask for the folder of a classifier."""
        dialog = QFileDialog(self, self.tr("Choose the folder of an exported classifier"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda name: self.take_bundle(Path(name)))
        dialog.rejected.connect(self._on_rejected)
        dialog.open()

    def match(self, theirs: str, own: str) -> None:
        """Say what one of the classifier's classes stands for; nothing for "not in my task"."""
        box = self._boxes[theirs]
        box.setCurrentIndex(max(0, box.findData(own)))

    def _build(self) -> None:
        averages_help = QLabel(
            self.tr(
                "Needs no classifier: the backbone describes every training image in numbers, and "
                "a new image gets the class whose average is nearest to its own description."
            )
        )
        for text in (averages_help, self._classifier_help):
            text.setWordWrap(True)
            text.setContentsMargins(_INDENT_PX, 0, 0, 0)
            set_role(text, "secondary")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._choice, 1)
        row.addWidget(self._other)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnStretch(2, 1)
        details = QVBoxLayout(self._details)
        details.setContentsMargins(_INDENT_PX, 0, 0, 0)
        details.setSpacing(10)
        details.addLayout(row)
        details.addWidget(self._facts)
        details.addLayout(self._grid)
        details.addWidget(self._problem)
        for part in (
            self._averages,
            averages_help,
            self._classifier,
            self._classifier_help,
            self._details,
        ):
            self.body.addWidget(part)

    def _own_classes(self) -> tuple[str, ...]:
        return self._session.snapshot.trained_names

    def _learns_findings(self) -> bool:
        """Return whether several findings are learned at once, which no matched class answers."""
        snapshot = self._session.snapshot
        return snapshot.is_multi and snapshot.learned is None

    def _allow_classifier(self, *, is_possible: bool) -> None:
        self._classifier.setEnabled(is_possible)
        if is_possible:
            text = self.tr(
                "It answers as it is. Say which of its classes stands for which of yours; how like "
                "its own images yours are is measured when you start."
            )
        else:
            text = self.tr(
                "Not for several findings at once: it would give each image one class. Choose a "
                "single finding to learn on the Train page, and a classifier can answer for it."
            )
        self._classifier_help.setText(text)
        self._classifier.setAccessibleDescription(text)
        if not is_possible and self._classifier.isChecked():
            self._averages.setChecked(True)
            self._tell()

    def _refusal(self, summary: BundleSummary | None) -> str:
        """Return why a classifier's classes can't be matched, or nothing."""
        if summary is None:
            return self.tr("This folder holds no exported classifier.")
        if self._learns_findings():
            return self._classifier_help.text()
        if summary.thresholds:
            return self.tr(
                "This classifier answers for several findings, each by itself; only one that gives "
                "each image one class can be matched."
            )
        if summary.is_combined:
            return self.tr(
                "This classifier combines several networks; choose the export of one of its runs."
            )
        return ""

    def _matchable(self) -> list[BundleSummary]:
        """Return the project's classifiers whose classes can be matched, newest first."""
        return [b for b in find_bundles(self._session.folder) if not self._refusal(b)]

    def _list_bundles(self) -> None:
        found = self._matchable()
        if self._bundle is not None and all(b.folder != self._bundle.folder for b in found):
            found = [self._bundle, *found]
        with QSignalBlocker(self._choice):
            self._choice.clear()
            for bundle in found:
                self._choice.addItem(f"{bundle.name} · {', '.join(bundle.classes)}", bundle.folder)
            self._choice.setPlaceholderText(self.tr("Choose an exported classifier"))
            chosen = -1 if self._bundle is None else self._choice.findData(self._bundle.folder)
            self._choice.setCurrentIndex(chosen)
        self._choice.setEnabled(bool(found))

    def _on_kind(self) -> None:
        if self._classifier.isChecked() and self._bundle is None:
            bundles = self._matchable()
            if bundles:
                self.take_bundle(bundles[0].folder)
            else:
                self.ask_bundle()
        self.refresh()
        self._tell()

    def _on_rejected(self) -> None:
        if self._bundle is None:
            self._averages.setChecked(True)
            self.refresh()
            self._tell()

    def _on_chosen(self, index: int) -> None:
        self.take_bundle(self._choice.itemData(index))

    def _show_matches(self, matches: Sequence[ClassMatch]) -> None:
        assert self._bundle is not None
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._boxes.clear()
        own_of = {match.theirs: match.own for match in matches}
        for column, text in enumerate((self.tr("Its class"), self.tr("stands for"))):
            head = QLabel(text)
            set_role(head, "small")
            self._grid.addWidget(head, 0, column)
        for row, theirs in enumerate(self._bundle.classes, start=1):
            box = QComboBox()
            box.addItem(self.tr("not in my task"), _NOT_IN_TASK)
            for own in self._own_classes():
                box.addItem(own, own)
            box.setCurrentIndex(max(0, box.findData(own_of.get(theirs, _NOT_IN_TASK))))
            box.setAccessibleName(self.tr("What its class %s stands for") % theirs)
            box.currentIndexChanged.connect(self._tell)
            self._boxes[theirs] = box
            self._grid.addWidget(QLabel(theirs), row, 0)
            self._grid.addWidget(box, row, 1)
        self._tell()

    def _matches(self) -> tuple[ClassMatch, ...]:
        return tuple(
            ClassMatch(theirs=theirs, own=box.currentData())
            for theirs, box in self._boxes.items()
            if box.currentData() != _NOT_IN_TASK
        )

    def _tell(self) -> None:
        """Pass the choice on, and say what it still lacks."""
        if not self._classifier.isChecked():
            self._session.choose_direct(None)
            return
        bundle = self._bundle
        choice = None
        if bundle is not None:
            choice = DirectChoice(bundle.folder, self._matches(), bundle.backbone)
        self._facts.setText("" if bundle is None else self._facts_text(bundle))
        missing = None if choice is None else choice.unmatched(self._own_classes())
        text = self.tr("None of its classes stands for “%s” yet.")
        self._problem.setText("" if missing is None else text % missing)
        self._problem.setVisible(missing is not None)
        self._session.choose_direct(choice)

    def _facts_text(self, bundle: BundleSummary) -> str:
        text = self.tr("%s classes") % len(bundle.classes)
        card = backbone_card(bundle.backbone)
        return f"{text} · {card.title if card else bundle.backbone}"
