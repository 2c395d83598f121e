"""A plot on a card: title, legend, log and smooth switches, "?" and save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QToolButton, QWidget

from gui.plots.learning_curves import LearningCurves
from gui.plots.printable import PrintableWidget
from gui.tokens import ColorToken
from gui.widgets.card import Card
from gui.widgets.figure_menu import ExportableFigure, FigureMenu
from gui.widgets.painting import set_role

__all__ = ["PlotCard"]


class PlotCard(Card):
    """Frames any figure of `gui.plots`.

    Signals:
        saved: Path of a file that was written.
        failed: Sentence and remedy, for the message bar.
    """

    saved = Signal(Path)
    failed = Signal(str, str)

    def __init__(
        self,
        title: str,
        figure: PrintableWidget,
        *,
        explanation: str = "",
        file_name: str = "figure",
        legend: Sequence[tuple[str, ColorToken]] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(title, parent=parent)
        self._heading, self._figure = title, figure
        self.body.addWidget(figure, 1)
        self.set_legend(legend)
        if isinstance(figure, LearningCurves):
            self._add_switch(self.tr("log"), figure.is_log, figure.set_log)
            self._add_switch(self.tr("smooth"), figure.is_smooth, figure.set_smooth)
        if not isinstance(figure, ExportableFigure):
            raise ValueError("The figure of a plot card must be able to save itself.")
        menu = FigureMenu(figure, file_name, explanation)
        menu.saved.connect(self.saved)
        menu.failed.connect(self.failed)
        self.add_action(menu)

    @property
    def figure(self) -> PrintableWidget:
        """The figure on the card."""
        return self._figure

    def set_legend(self, entries: Sequence[tuple[str, ColorToken]]) -> None:
        """Say what the marks mean, on the card and on the figure that is saved."""
        super().set_legend(entries)
        self._figure.set_print_header(self._heading, entries)

    def _add_switch(self, text: str, is_on: bool, change: Callable[[bool], None]) -> None:
        button = QToolButton()
        button.setText(text)
        button.setCheckable(True)
        button.setChecked(is_on)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.toggled.connect(change)
        set_role(button, "plotToggle")
        self.add_action(button)
