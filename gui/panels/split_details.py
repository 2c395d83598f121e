"""Shares of the three parts and the seed; nobody needs to open them."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QLabel, QSpinBox, QWidget

from engine.contract.commands import MakeSplit
from gui.widgets.card import Card
from gui.widgets.painting import set_role

__all__ = ["SplitDetails"]

_LEAST = 5
_SEED_MAX = 2**31 - 1


class SplitDetails(Card):
    """Three shares that always sum to 100 %, and the seed of the draw."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Details"), parent=parent)
        self._is_adjusting = False
        titles = (self.tr("Training"), self.tr("Validation"), self.tr("Test"))
        self._shares = [self._share_box(title) for title in titles]
        self._seed = QSpinBox()
        self._seed.setRange(0, _SEED_MAX)
        self._seed.lineEdit().setTextMargins(8, 0, 0, 0)
        self._seed.setAccessibleName(self.tr("Seed"))
        self._seed.setToolTip(self.tr("The same seed gives the same split; another one draws anew"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        for column, (title, box) in enumerate(
            zip((*titles, self.tr("Seed")), (*self._shares, self._seed), strict=True)
        ):
            label = QLabel(title)
            label.setBuddy(box)
            set_role(label, "small")
            grid.addWidget(label, 0, column)
            grid.addWidget(box, 1, column)
            grid.setColumnStretch(column, 1)
        hint = QLabel(
            self.tr(
                "Training images teach the network, validation images decide when to stop and "
                "where the threshold lies, test images are looked at once, at the end."
            )
        )
        hint.setWordWrap(True)
        set_role(hint, "small")
        self.body.addLayout(grid)
        self.body.addWidget(hint)
        self.propose(MakeSplit(project="").fractions, 0)

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of training, validation and test, summing to 1."""
        train, val, test = (box.value() / 100 for box in self._shares)
        return (train, val, test)

    @property
    def seed(self) -> int:
        """Seed of the draw."""
        return self._seed.value()

    def propose(self, fractions: tuple[float, float, float], seed: int | None) -> None:
        """Show the shares and the seed of a split that was made."""
        self._is_adjusting = True
        val, test = round(100 * fractions[1]), round(100 * fractions[2])
        for box, value in zip(self._shares, (100 - val - test, val, test), strict=True):
            box.setValue(value)
        self._seed.setValue(seed or 0)
        self._is_adjusting = False

    def _share_box(self, title: str) -> QSpinBox:
        box = QSpinBox()
        box.setRange(_LEAST, 100 - 2 * _LEAST)
        box.setSuffix(" %")
        box.lineEdit().setTextMargins(8, 0, 0, 0)
        box.setAccessibleName(title)
        box.valueChanged.connect(self._on_share_changed)
        return box

    def _on_share_changed(self) -> None:
        """Take what one share gained from the others: training first, then the larger one."""
        if self._is_adjusting:
            return
        self._is_adjusting = True
        changed = self.sender()
        others = [box for box in self._shares if box is not changed]
        if changed is self._shares[0]:
            others.sort(key=lambda box: -box.value())
        surplus = sum(box.value() for box in self._shares) - 100
        for box in others:
            before = box.value()
            box.setValue(before - surplus)
            surplus -= before - box.value()
        self._is_adjusting = False
