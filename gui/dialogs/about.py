"""What RadTune is, and help in a few paragraphs that need no network."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor, QTextTable
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QTextBrowser, QVBoxLayout, QWidget

from gui.icons import pixmap
from gui.theme import theme
from gui.widgets.painting import set_role

__all__ = ["AboutDialog", "HelpDialog"]


class AboutDialog(QDialog):
    """Name, version, purpose and licence."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("About RadTune"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(theme().px(400))
        mark = QLabel()
        mark.setPixmap(pixmap("radtune", size_px=theme().px(48)))
        name = QLabel(f"RadTune {_version()}")
        set_role(name, "title")
        text = QLabel(
            self.tr(
                "Turns a radiology lab's own images into a tested image classifier, on this "
                "computer alone.\n\nFor research. Not for clinical use.\n\nApache License 2.0"
            )
        )
        text.setWordWrap(True)
        set_role(text, "secondary")
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(12)
        for widget in (mark, name, text, _close_box(self)):
            column.addWidget(widget)


class HelpDialog(QDialog):
    """The help text; stays open beside the window."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("RadTune help"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(theme().px(640), theme().px(600))
        text = QTextBrowser()
        text.setOpenLinks(False)
        text.setMarkdown((files("resources") / "help" / "help.en.md").read_text(encoding="utf-8"))
        text.setAccessibleName(self.tr("Help"))
        _space_out(text)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(text, 1)
        column.addWidget(_close_box(self))


def _space_out(text: QTextBrowser) -> None:
    """Give headings and paragraphs air, and tables the theme's lines; Markdown brings neither."""
    document = text.document()
    document.setDocumentMargin(16)
    block = document.begin()
    while block.isValid():
        form = block.blockFormat()
        in_table = QTextCursor(block).currentTable() is not None
        if not in_table:
            form.setTopMargin(18 if form.headingLevel() else 4)
            form.setBottomMargin(4)
            QTextCursor(block).setBlockFormat(form)
        block = block.next()
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            look = frame.format()
            look.setBorderBrush(theme().color("line"))
            look.setCellPadding(6)
            frame.setFormat(look)


def _close_box(dialog: QDialog) -> QDialogButtonBox:
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.close)
    return buttons


def _version() -> str:
    try:
        return version("radtune")
    except PackageNotFoundError:
        return ""  # run from a checkout without an install
