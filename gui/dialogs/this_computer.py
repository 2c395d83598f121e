"""What this computer can train on: every device tried out, and what to do where one fails."""

from __future__ import annotations

from typing import Any, Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from engine.contract.config_io import from_plain
from engine.contract.device_checks import FAULTY, FINE, GPU_UNUSABLE, NO_GPU, DeviceCheck
from engine.contract.device_checks import first_problem as _first_problem
from engine.contract.devices import DeviceInfo
from engine.contract.events import CANCELED, COMPLETED, Event, JobFinished, JobProgressed
from gui.device_words import check_name, processor_sentence, report_text
from gui.dialogs.device_card import DeviceCard, Sign
from gui.panels.scroll_body import SCROLL_MARGIN_PX, ScrollBody
from gui.session import Session
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ThinProgress
from gui.worker.engine_thread import EngineThread

__all__ = ["ThisComputerDialog", "show_this_computer"]

_SIGNS: Final[dict[str, tuple[str, ColorToken]]] = {
    FINE: ("success", "good"),
    NO_GPU: ("info", "accent"),
    GPU_UNUSABLE: ("warning", "warning"),
    FAULTY: ("error", "bad"),
}


class ThisComputerDialog(QDialog):
    """Checks the devices when it is opened and shows what is found while it is found.

    It doesn't block the window. Closing it ends the checks.
    """

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("This computer"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(theme().px(760), theme().px(560))
        self._session = session
        self._thread: EngineThread | None = None
        self._is_over = False
        self._cards: dict[str, DeviceCard] = {}
        self._result: dict[str, Any] = {}
        self._build()
        session.runs.state_changed.connect(self._on_run_state)
        self.finished.connect(self._end)

    @property
    def headline(self) -> str:
        """What the whole comes to, in one line."""
        return self._headline.text()

    @property
    def explanation(self) -> str:
        """What stands below it."""
        return self._explanation.text()

    @property
    def cards(self) -> list[DeviceCard]:
        """The devices that are shown."""
        return list(self._cards.values())

    def showEvent(self, event: QShowEvent) -> None:
        """Begin to check."""
        super().showEvent(event)
        if self._thread is None and not self._result:
            self.check()

    def check(self) -> None:
        """Try out every device, now or when the run that is under way has ended."""
        if self._thread is not None:
            return
        self._result = {}
        self._clear_cards()
        if self._session.runs.state.is_busy:
            self._say(
                "info",
                "accent",
                self.tr("A training run is under way"),
                self.tr("The devices can be checked when it has ended or is stopped."),
            )
            self._show_buttons()
            return
        self._say(
            "device",
            "accent",
            self.tr("Checking…"),
            self.tr("Every device computes a little, and the results are compared."),
        )
        self._progress.set_fraction(None)
        self._progress.show()
        self._thread = self._session.check_devices(self._on_finished, self._on_event)
        self._show_buttons()

    def copy(self) -> None:
        """Put everything on the clipboard as text."""
        QGuiApplication.clipboard().setText(report_text(self._result))
        self._copied.setText(self.tr("Copied"))

    def _build(self) -> None:
        self._sign = Sign("device", "accent", size_px=24)
        self._headline, self._explanation = QLabel(), QLabel()
        set_role(self._headline, "title")
        for label in (self._headline, self._explanation):
            label.setWordWrap(True)
        self._explanation.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        texts = QVBoxLayout()
        texts.setSpacing(4)
        texts.addWidget(self._headline)
        texts.addWidget(self._explanation)
        top = QHBoxLayout()
        top.setSpacing(14)
        top.addWidget(self._sign)
        top.addLayout(texts, 1)
        self._progress = ThinProgress()
        self._body = ScrollBody()
        self._body.column.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20 - SCROLL_MARGIN_PX, 16)
        column.setSpacing(14)
        bar = QHBoxLayout()
        bar.addWidget(self._progress)
        buttons = self._build_buttons()
        for row in (top, bar, buttons):
            row.setContentsMargins(0, 0, SCROLL_MARGIN_PX, 0)
        column.addLayout(top)
        column.addLayout(bar)
        column.addWidget(self._body, 1)
        column.addLayout(buttons)

    def _build_buttons(self) -> QHBoxLayout:
        self._again = make_button(self.tr("Check again"), icon="refresh")
        self._again.clicked.connect(self.check)
        self._copy = make_button(self.tr("Copy as text"), icon="copy")
        self._copy.clicked.connect(self.copy)
        self._copied = QLabel()
        set_role(self._copied, "secondary")
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.setSpacing(8)
        for widget in (self._again, self._copy, self._copied):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def _on_event(self, event: Event) -> None:
        if self._is_over or not isinstance(event, JobProgressed):
            return
        facts = event.facts
        if "devices" in facts:
            for info in from_plain(tuple[DeviceInfo, ...], facts["devices"]):
                self._add_card(info)
        if "check" in facts:
            check: DeviceCheck = from_plain(DeviceCheck, facts["check"])
            if (card := self._cards.get(check.device)) is not None:
                card.add_check(check)
                text = self.tr("{0}: {1}").format(card.title, check_name(check.key))
                self._explanation.setText(text)
        if event.total:
            self._progress.set_fraction(event.done / event.total)

    def _on_finished(self, finished: JobFinished) -> None:
        if self._is_over:  # closed, and its widgets are gone
            return
        self._thread = None
        self._progress.hide()
        if finished.outcome == COMPLETED:
            self._session.take_device(finished)
            self._show_result(finished.result)
        elif finished.outcome != CANCELED:
            what = finished.error or self.tr("The checks did not end.")
            self._say("error", "bad", what, finished.remedy or "")
        self._show_buttons()

    def _show_result(self, result: dict[str, Any]) -> None:
        self._result = result
        verdict = str(result.get("verdict", NO_GPU))
        devices: tuple[DeviceInfo, ...] = from_plain(
            tuple[DeviceInfo, ...], result.get("devices", [])
        )
        checks: tuple[DeviceCheck, ...] = from_plain(
            tuple[DeviceCheck, ...], result.get("checks", [])
        )
        used = next((d.name for d in devices if d.key == result.get("device")), "")
        headlines = {
            FINE: self.tr("Training uses the {0}").format(used),
            NO_GPU: self.tr("There is no graphics card that RadTune can use"),
            GPU_UNUSABLE: self.tr("There is a graphics card, but it can't be used"),
            FAULTY: self.tr("The processor computes wrongly"),
        }
        explanation = {
            FINE: self.tr("It was tried out and computes as it should."),
            NO_GPU: processor_sentence(result)
            + " "
            + self.tr("An NVIDIA card with a recent driver would be several times as fast."),
        }.get(verdict, "")
        if (problem := _first_problem(devices, checks)) and not explanation:
            explanation = f"{self.tr(problem[0])} {self.tr(problem[1])}"
            if verdict == GPU_UNUSABLE:
                explanation += " " + processor_sentence(result)
        self._say(*_SIGNS.get(verdict, _SIGNS[NO_GPU]), headlines[verdict], explanation)

    def _say(self, icon: str, color: ColorToken, headline: str, explanation: str) -> None:
        self._sign.set_sign(icon, color)
        self._headline.setText(headline)
        self._explanation.setText(explanation)
        self._explanation.setVisible(bool(explanation))

    def _show_buttons(self) -> None:
        is_checking = self._thread is not None
        self._progress.setVisible(is_checking)
        self._again.setEnabled(not is_checking and not self._session.runs.state.is_busy)
        self._copy.setEnabled(bool(self._result))
        self._copied.setText("")

    def _on_run_state(self, state: object) -> None:
        del state
        self._show_buttons()

    def _add_card(self, info: DeviceInfo) -> None:
        card = DeviceCard(info)
        self._cards[info.id] = card
        is_last = info.key == "cpu"  # who opens this wants to know of the graphics card
        n_cards = self._body.column.count() - 1
        self._body.column.insertWidget(n_cards if is_last else 0, card)

    def _clear_cards(self) -> None:
        for card in self._cards.values():
            self._body.column.removeWidget(card)
            card.hide()
            card.deleteLater()
        self._cards.clear()

    def _end(self) -> None:
        self._is_over = True
        if self._thread is not None:
            self._thread.request("cancel")


def show_this_computer(session: Session, window: QWidget) -> ThisComputerDialog:
    """Show the dialog of a window, or bring it to the front if it is open."""
    dialog = window.findChild(ThisComputerDialog)
    if dialog is None:
        dialog = ThisComputerDialog(session, parent=window)
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog
