"""At which size the images of a new project are prepared, where the usual one isn't the best."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from engine.contract.recommendation import Recommendation
from gui.dialogs.label_fields import Choice, note_label
from gui.widgets.card import Card

__all__ = ["SizeChoiceCard"]


class SizeChoiceCard(Card):
    """One row with the recommended size chosen; hidden where the usual size is recommended.

    Images are prepared while they are imported, so asking later would prepare them twice.
    """

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Image size for training"), parent=parent)
        self._size = Choice(self.tr("Image size for training"))
        self._why = note_label("")
        self.body.addWidget(self._size)
        self.body.addWidget(self._why)
        self._offered = (0, 0)
        self.hide()

    @property
    def size_px(self) -> int | None:
        """The size chosen, or None where there is nothing to choose."""
        return None if self.isHidden() else int(self._size.currentData())

    def offer(self, found: Recommendation, usual_px: int) -> None:
        """Offer what is recommended beside the usual size; a choice that was made stays.

        Args:
            found: What is recommended for the images that were looked at.
            usual_px: The size that images are prepared at where nobody chooses.
        """
        wanted = int(found.size_px.value)
        self._why.setText(self.tr(found.size_px.why))
        self._why.show()
        self.setVisible(wanted != usual_px)
        if (wanted, usual_px) == self._offered:
            return
        self._offered = (wanted, usual_px)
        self._size.clear()
        self._size.addItem(self.tr("%d px (recommended)") % wanted, wanted)
        self._size.addItem(self.tr("%d px (usual)") % usual_px, usual_px)

    def withdraw(self) -> None:
        """Offer nothing: another source is looked at, or the project has its size already."""
        self._offered = (0, 0)
        self.hide()
