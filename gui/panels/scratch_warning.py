"""Says what it means to start without weights, and offers to add some."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel

from engine.contract.methods import NEEDS_WEIGHTS, NEEDS_WEIGHTS_REMEDY, MethodCard
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["ScratchWarning"]


class ScratchWarning(QFrame):
    """Stands below a backbone that would start from random weights."""

    def __init__(self) -> None:
        super().__init__()
        set_role(self, "message")
        self.setProperty("kind", "warning")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self.add_requested = make_button(self.tr("Add weights…"))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 12, 8)
        row.setSpacing(12)
        row.addWidget(self._text, 1)
        row.addWidget(self.add_requested)

    def set_choice(self, title: str, method: MethodCard | None, *, is_chosen: bool) -> None:
        """Name the backbone; or the method, where that will be refused.

        Args:
            title: Of the backbone.
            method: What adapts it.
            is_chosen: Whether it has weights on this computer, and none were chosen.
        """
        if method is not None and method.needs_weights:
            why = self.tr(NEEDS_WEIGHTS).format(self.tr(method.title))
            text = f"{why} {self.tr(NEEDS_WEIGHTS_REMEDY)}"
        elif is_chosen:
            text = self.tr(
                "{0} would be trained from scratch, as you chose: it knows nothing yet and needs "
                "thousands of images. Its pre-trained weights are in the list above."
            ).format(title)
        else:
            text = self.tr(
                "{0} would be trained from scratch: its pre-trained weights are not on this "
                "computer, so it knows nothing yet and needs thousands of images. Add its weights "
                "file, or choose a backbone whose weights are here."
            ).format(title)
        self._text.setText(text)
        self.add_requested.setVisible(not is_chosen)
        self.setAccessibleName(text)
