"""The right side of the data page: the selected image, its label, the classes, its facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from engine.contract.errors import EngineError
from engine.contract.records import ImageRecord
from gui.panels.classes_card import ClassesCard
from gui.panels.data_viewer import ImageLoader
from gui.panels.image_facts import FactsCard
from gui.panels.image_history import ImageHistory
from gui.panels.label_card import LabelCard
from gui.session import Session
from gui.theme import theme
from gui.widgets.chip import ChipButton
from gui.widgets.image_view import ImageView
from gui.widgets.painting import set_role

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DataSide"]

_WIDTH_PX: Final = 324
_VIEW_PX: Final = 268


class DataSide(QScrollArea):
    """Shows the selected images; what the user wants done comes out of its cards.

    Attributes:
        labels: The card that gives labels.
        classes: The card of the classes.
        facts: The card of what is known of the image.
        history: What was decided about the image.
    """

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._record: ImageRecord | None = None
        self._full: tuple[int, NDArray[Any], tuple[float, float] | None, bool] | None = None
        self._loader = ImageLoader(session, self)
        self._loader.loaded.connect(self._on_loaded)
        self._loader.failed.connect(self._on_failed)
        self.view = ImageView()
        self._network = ChipButton(self.tr("What the network sees"), is_checkable=True)
        self._network.setToolTip(
            self.tr("The image as it is given to the network: windowed, reduced and made square")
        )
        self._network.toggled.connect(self._on_network_toggled)
        self._trouble = QLabel()
        self._trouble.setWordWrap(True)
        self._trouble.setProperty("tone", "warning")
        set_role(self._trouble, "smallText")
        self._trouble.hide()
        self.labels = LabelCard()
        self.classes = ClassesCard()
        self.facts = FactsCard()
        self.history = ImageHistory(session)
        self._build()
        theme().changed.connect(self._fit)
        self._fit()

    def show_images(self, records: Sequence[ImageRecord], current: ImageRecord | None) -> None:
        """Show the current image, and the labels of all selected ones."""
        snapshot = self._session.snapshot
        self.labels.set_images(records, snapshot.classes, is_multi=snapshot.is_multi)
        self.labels.set_history(can_undo=snapshot.can_undo, can_redo=snapshot.can_redo)
        self.classes.set_snapshot(snapshot)
        self.facts.show_record(current, snapshot)
        self.history.show_record(current)
        is_same = (
            current is not None
            and self._record is not None
            and (current.id, current.row) == (self._record.id, self._record.row)
        )
        self._record = current
        if not is_same:
            self._show_other_image()

    def forget(self) -> None:
        """Let go of the image of a project that is closed."""
        self._record, self._full = None, None
        self._loader.want(None)
        self.view.set_image(None)

    def _show_other_image(self) -> None:
        record = self._record
        self._full = None
        self._trouble.hide()
        self._loader.want(record)
        if record is None:
            self.view.set_image(None)
            return
        self.view.set_description(self.tr("Image of patient %s") % record.patient)
        if self._network.isChecked():
            self._show_network()
        else:
            self.view.set_image(self._thumbnail(record))

    def _on_loaded(
        self, record: int, array: Any, window: tuple[float, float] | None, is_inverted: bool
    ) -> None:
        if self._record is None or record != self._record.id:
            return
        self._full = (record, array, window, is_inverted)
        if not self._network.isChecked():
            self._show_full()

    def _on_failed(self, record: int, text: str) -> None:
        if self._record is not None and record == self._record.id:
            self._trouble.setText(text)
            self._trouble.show()

    def _on_network_toggled(self, is_on: bool) -> None:
        if self._record is None:
            return
        if is_on:
            self._show_network()
        elif self._full is not None:
            self._show_full()
        else:
            self.view.set_image(self._thumbnail(self._record))

    def _show_full(self) -> None:
        if self._full is None:
            return
        _, array, window, is_inverted = self._full
        self.view.set_image(array, window=window, is_inverted=is_inverted)

    def _show_network(self) -> None:
        if self._record is None:
            return
        pixels = self._session.network_pixels(self._record)
        if pixels is None:
            self.view.set_image(self._thumbnail(self._record))
            self._trouble.setText(
                self.tr("This size is made when training starts; here is the thumbnail.")
            )
            self._trouble.show()
            return
        self.view.set_image(pixels)

    def _thumbnail(self, record: ImageRecord) -> NDArray[Any] | None:
        if self._session.thumbnails is None:
            return None
        try:
            return self._session.thumbnails.image(record.row)
        except EngineError:
            return None

    def _build(self) -> None:
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the arrow keys to the grid
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        page = QWidget()
        page.setObjectName("page")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        self._below = QWidget()
        below = QHBoxLayout(self._below)
        below.setContentsMargins(0, 0, 0, 0)
        below.addStretch(1)
        below.addWidget(self._network)
        picture = QVBoxLayout()
        picture.setSpacing(6)
        picture.addWidget(self.view)
        picture.addWidget(self._below)
        column.addLayout(picture)
        column.addWidget(self._trouble)
        for card in (self.labels, self.classes, self.facts, self.history):
            column.addWidget(card)
        column.addStretch(1)
        self.setWidget(page)

    def _fit(self) -> None:
        self.setFixedWidth(theme().px(_WIDTH_PX) if theme().text_scale < 1.5 else 420)
        self.view.setFixedHeight(_VIEW_PX)
        # Style sheets give chips a least height of nothing, and the scrolled column would take it.
        text_height = QFontMetrics(theme().font("secondary")).height()
        self._below.setFixedHeight(text_height + 8)
