"""What every figure offers: an explanation in two sentences, saving and copying."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from PySide6.QtCore import QIODevice, QPoint, QSaveFile, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QImage, QImageWriter, QKeyEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from gui.theme import theme
from gui.widgets.buttons import IconButton
from gui.widgets.painting import set_role

__all__ = ["ExportableFigure", "FigureMenu", "Popover", "save_figure"]

_FILTERS = {"png": "PNG (*.png)", "svg": "SVG (*.svg)", "csv": "CSV (*.csv)"}


@runtime_checkable
class ExportableFigure(Protocol):
    """A figure that can be taken out of the window; plots and the confusion matrix are such."""

    def to_image(self, scale: float = 2.0) -> QImage:
        """Return the figure in print colours, ``scale`` times as large as on screen."""
        ...

    def to_svg(self) -> bytes:
        """Return the figure as an SVG document."""
        ...

    def to_csv(self) -> str:
        """Return the numbers behind the figure, comma-separated with a header line."""
        ...


class Popover(QFrame):
    """A short text that floats beside a control until Escape or a click elsewhere."""

    def __init__(self, text: str, anchor: QWidget) -> None:
        super().__init__(anchor, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        set_role(self, "popover")
        label = QLabel(text)
        label.setWordWrap(True)
        label.setMinimumWidth(theme().px(280))
        label.setMaximumWidth(theme().px(360))
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.addWidget(label)
        self.setAccessibleName(text)
        self.adjustSize()
        self._place(anchor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close on Escape, Enter and Space."""
        keys = (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
        if event.key() in keys:
            self.close()
        else:
            super().keyPressEvent(event)

    def _place(self, anchor: QWidget) -> None:
        corner = anchor.mapToGlobal(QPoint(anchor.width() - self.width(), anchor.height() + 4))
        screen = anchor.screen().availableGeometry()
        left = min(max(corner.x(), screen.left() + 8), screen.right() - self.width() - 8)
        top = min(corner.y(), screen.bottom() - self.height() - 8)
        self.move(left, top)


class FigureMenu(QWidget):
    """The buttons "?" and "save" of a figure.

    Signals:
        saved: Path of the file that was written.
        failed: Sentence and remedy, for the message bar, where it could not be written.
    """

    saved = Signal(Path)
    failed = Signal(str, str)

    def __init__(
        self,
        figure: ExportableFigure,
        name: str,
        explanation: str = "",
        *,
        parent: QWidget | None = None,
    ) -> None:
        """Make the buttons.

        Args:
            figure: What is explained, saved and copied.
            name: What the file is called unless the user says otherwise.
            explanation: Two sentences on how to read the figure; empty hides the "?".
            parent: As everywhere in Qt.
        """
        super().__init__(parent)
        self._figure = figure
        self._name = name
        self._explanation = explanation
        self._help = IconButton("help", self.tr("What does this figure show?"), size_px=18)
        self._help.clicked.connect(self.explain)
        self._help.setVisible(bool(explanation))
        self._save = IconButton("save", self.tr("Save or copy this figure"), size_px=18)
        self._save.setPopupMode(IconButton.ToolButtonPopupMode.InstantPopup)
        self._save.setMenu(self._build_menu())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._help)
        row.addWidget(self._save)

    def explain(self) -> None:
        """Open the explanation beside the "?"."""
        Popover(self._explanation, self._help).show()

    def copy(self) -> None:
        """Put the figure on the clipboard as an image."""
        QGuiApplication.clipboard().setImage(self._figure.to_image())

    def save_to(self, path: Path) -> None:
        """Write the figure to a file; its suffix (png, svg, csv) says how."""
        try:
            save_figure(self._figure, path)
        except OSError as error:
            self.failed.emit(
                self.tr("The figure could not be saved: %s.") % (error.strerror or str(error)),
                self.tr("Choose another folder and save it again."),
            )
        else:
            self.saved.emit(path)

    def _build_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction(self.tr("Copy image"))
        menu.addSeparator()
        for suffix in _FILTERS:
            menu.addAction(self.tr("Save as %s…") % suffix.upper()).setData(suffix)
        menu.triggered.connect(self._on_triggered)
        return menu

    def _on_triggered(self, action: QAction) -> None:
        if suffix := action.data():
            self._ask_path(str(suffix))
        else:
            self.copy()

    def _on_file_selected(self, name: str) -> None:
        self.save_to(Path(name))

    def _ask_path(self, suffix: str) -> None:
        dialog = QFileDialog(self, self.tr("Save figure"), f"{self._name}.{suffix}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(_FILTERS[suffix])
        dialog.setDefaultSuffix(suffix)
        dialog.fileSelected.connect(self._on_file_selected)
        # Not exec: the window stays usable and a running job keeps reporting.
        dialog.open()


def save_figure(figure: ExportableFigure, path: Path) -> None:
    """Write a figure as PNG, SVG or CSV, by the suffix of ``path``, all or nothing.

    Raises:
        ValueError: If the suffix is another one.
        OSError: If the file can't be written.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in _FILTERS:
        raise ValueError(f"A figure can't be saved as '{path.suffix}'.")
    # QSaveFile writes beside the target and renames, so a full disk leaves no half figure.
    file = QSaveFile(str(path))
    if not file.open(QIODevice.OpenModeFlag.WriteOnly):
        raise OSError(file.errorString())
    if suffix == "png":
        is_written = QImageWriter(file, b"png").write(figure.to_image())
    else:
        # The mark lets spreadsheets read accents and Chinese in the table.
        data = figure.to_svg() if suffix == "svg" else figure.to_csv().encode("utf-8-sig")
        is_written = file.write(data) == len(data)
    if not (is_written and file.commit()):
        raise OSError(file.errorString())
