"""The image viewer: one image with its window, zoom and inversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QLocale, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from gui.widgets.buttons import IconButton
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.image_canvas import ImageCanvas
from gui.widgets.painting import set_role

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageView"]


class ImageView(QFrame):
    """An image and under it the line "W 2048 · L 1024" with buttons.

    Left-drag changes the window (right: wider, up: brighter), the wheel zooms about the cursor,
    middle-, right- or Space-drag moves, a double click starts over. Keys: arrows move, with Shift
    change the window, ``+`` and ``-`` zoom, ``0`` fits, ``1`` is one to one, ``I`` inverts, ``R``
    starts over.

    Signals:
        window_changed: Centre and width, in values of the image.
    """

    window_changed = Signal(float, float)

    def __init__(self, *, has_footer: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self._canvas = ImageCanvas()
        self._canvas.window_changed.connect(self.window_changed)
        self._canvas.window_changed.connect(self._show_numbers)
        self._canvas.view_changed.connect(self._show_numbers)
        self._numbers = ElidedLabel(role="small")
        self._footer = QWidget()
        self._fill_footer()
        self._footer.setVisible(has_footer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._canvas, 1)
        column.addWidget(self._footer)
        self.setFocusProxy(self._canvas)
        self.set_description(self.tr("Image"))

    @property
    def canvas(self) -> ImageCanvas:
        """The part that draws, for shortcuts and tests."""
        return self._canvas

    @property
    def window_level(self) -> tuple[float, float]:
        """Centre and width, in values of the image."""
        return self._canvas.window_level

    def set_image(
        self,
        array: NDArray[Any] | None,
        *,
        window: tuple[float, float] | None = None,
        keep_view: bool = False,
        is_inverted: bool = False,
    ) -> None:
        """Show an image, or black for ``None``.

        Args:
            array: uint8, uint16 or float, shape ``(H, W)``; or uint8, shape ``(H, W, 3)``. Kept,
                not copied: don't write to it afterwards.
            window: Centre and width to start with and to return to; else all of 8 bits, or 0.5 to
                99.5 % of the pixels.
            keep_view: Keep zoom, position and inversion if the size is the same, as when the
                picture is exchanged for what the network sees.
            is_inverted: Start, and start over, with dark and bright exchanged (MONOCHROME1).

        Raises:
            ValueError: If shape or type is another one.
        """
        self._canvas.set_image(array, window, keep_view=keep_view, is_inverted=is_inverted)
        self._show_numbers()

    def set_window(self, center: float, width: float) -> None:
        """Change the window."""
        self._canvas.set_window(center, width)

    def set_inverted(self, *, is_inverted: bool) -> None:
        """Exchange dark and bright, or undo that."""
        self._canvas.set_inverted(is_inverted=is_inverted)

    def fit(self) -> None:
        """Show the whole image."""
        self._canvas.fit()

    def reset(self) -> None:
        """Start over: first window, whole image, not inverted."""
        self._canvas.reset()

    def set_description(self, text: str) -> None:
        """Say for screen readers what is shown."""
        self.setAccessibleName(text)
        self._canvas.setAccessibleName(text)

    def _fill_footer(self) -> None:
        self._invert = IconButton("invert", self.tr("Invert (I)"), size_px=16, is_checkable=True)
        self._invert.toggled.connect(self._on_invert_toggled)
        fit = IconButton("fit", self.tr("Fit to the window (0)"), size_px=16)
        fit.clicked.connect(self.fit)
        row = QHBoxLayout(self._footer)
        row.setContentsMargins(12, 2, 6, 2)
        row.setSpacing(4)
        row.addWidget(self._numbers, 1)
        row.addWidget(self._invert)
        row.addWidget(fit)

    def _on_invert_toggled(self, is_on: bool) -> None:
        self.set_inverted(is_inverted=is_on)

    def _show_numbers(self) -> None:
        pixels = self._canvas.pixels
        self._invert.setChecked(self._canvas.is_inverted)
        if pixels is None:
            self._numbers.setText("")
            return
        zoom = f"{round(self._canvas.scale * 100)} %"
        if pixels.is_color:
            self._numbers.setText(zoom)
            return
        center, width = self._canvas.window_level
        # A window of a few units belongs to float images, where whole numbers would say nothing.
        digits = 0 if pixels.value_range() >= 20 else 3
        locale = QLocale()
        locale.setNumberOptions(QLocale.NumberOption.OmitGroupSeparator)
        numbers = [locale.toString(value, "f", digits) for value in (width, center)]
        self._numbers.setText(f"W {numbers[0]} · L {numbers[1]} · {zoom}")
