"""Why images are excluded: one of the usual reasons, or the user's own words."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from gui.theme import theme
from gui.widgets.buttons import set_primary
from gui.widgets.counts import images_text
from gui.widgets.painting import set_role

__all__ = ["ExcludeDialog"]


class ExcludeDialog(QDialog):
    """Asks for a reason.

    Signals:
        reason_given: The reason.
    """

    reason_given = Signal(str)

    def __init__(self, n_images: int, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Exclude"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(theme().px(380))
        question = QLabel(self.tr("Why should %s not be used?") % images_text(n_images))
        question.setWordWrap(True)
        set_role(question, "heading")
        self._reason = QComboBox()
        self._reason.setEditable(True)
        self._reason.addItems(
            [
                self.tr("Poor image quality"),
                self.tr("Wrong body part or view"),
                self.tr("Device, drain or implant in the way"),
                self.tr("Label is uncertain"),
                self.tr("Duplicate"),
            ]
        )
        self._reason.setAccessibleName(question.text())
        hint = QLabel(self.tr("The file stays where it is; the image can be included again."))
        hint.setWordWrap(True)
        set_role(hint, "small")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self._exclude = buttons.addButton(
            self.tr("Exclude"), QDialogButtonBox.ButtonRole.AcceptRole
        )
        set_primary(self._exclude, is_primary=True)
        self._exclude.setDefault(True)
        buttons.accepted.connect(self._on_accepted)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        for widget in (question, self._reason, hint, buttons):
            column.addWidget(widget)
        if (line := self._reason.lineEdit()) is not None:
            line.selectAll()
        self._reason.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_accepted(self) -> None:
        self.reason_given.emit(self._reason.currentText().strip())
        self.accept()
