"""One finding of the audit: what it says, what to do about it, and its images."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QModelIndex, QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.contract.records import AuditReport, Finding
from gui.icons import bind_icon, pixmap
from gui.itemmodels.finding_images import FindingImages, Group
from gui.itemmodels.finding_list import FindingLine
from gui.itemmodels.finding_words import (
    REMEDY_ICONS,
    FindingState,
    check_title,
    concerned,
    count_text,
    kind_title,
    remedy_text,
    severity_color,
    severity_icon,
    severity_word,
    state_text,
)
from gui.panels.audit_figures import AurocFigure
from gui.panels.audit_note import NoteRow
from gui.panels.scroll_body import ScrollBody
from gui.session import Session
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.painting import repolish, set_role

__all__ = ["FindingDetail"]

_MOST_SHOWN: Final = 1000
"""Nobody looks at more here; the data browser shows all of them."""


class FindingDetail(Card):
    """What the list's current line is about, with everything that can be done.

    Signals:
        remedy_requested: Make the one-click change of a :class:`Finding`.
        include_requested: Take the images in again that were excluded for a finding.
        accept_requested: A finding, and why it is all right.
        reopen_requested: An accepted finding.
        images_requested: Ids to show in the data browser, and the one to select, or None.
        files_requested: Show the files that a finding is about.
    """

    remedy_requested = Signal(object)
    include_requested = Signal(object)
    accept_requested = Signal(object, str)
    reopen_requested = Signal(object)
    images_requested = Signal(object, object)
    files_requested = Signal(object)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._session = session
        self._line: FindingLine | None = None
        self._sign, self._word = QLabel(), QLabel()
        set_role(self._word, "heading")
        self._kind = ElidedLabel(role="secondary")
        self._count = QLabel()
        set_role(self._count, "secondary")
        self._sentence, self._advice = _wrapping("heading"), _wrapping()
        self._outcome = _Outcome()
        self.figure = AurocFigure()
        self.note = NoteRow()
        self.note.note_given.connect(self._on_note_given)
        self.note.closed.connect(self._on_note_closed)
        self.checks = _ChecksView()
        self.images = _Images()
        self.images.activated.connect(self._on_activated)
        self._make_buttons()
        self._build()
        theme().changed.connect(self._paint_sign)

    @property
    def finding(self) -> Finding | None:
        """The finding that is shown."""
        return self._line.finding if self._line is not None else None

    def forget(self) -> None:
        """Show nothing: another project was opened."""
        self._line = None
        self.images.set_thumbnails(self._session.thumbnails)

    def show_line(self, line: FindingLine, report: AuditReport) -> None:
        """Show a line of the list, or the same one after something has changed."""
        before, self._line = self._line, line
        finding = line.finding
        is_same = before is not None and before.key == line.key
        if not is_same or line.state is not FindingState.OPEN:
            self.note.hide()
        self.checks.setVisible(finding is None)
        for widget in (self._head, self._buttons, self._pictures):
            widget.setVisible(finding is not None)
        if finding is None:
            self._show_checks(line, report)
        else:
            self._show_finding(finding, line.state)
            self._show_images(finding)

    def _show_checks(self, line: FindingLine, report: AuditReport) -> None:
        self._sentence.setText(line.sentence)
        self._advice.setText(self.tr("This is what was looked for, in each image or in all."))
        self._advice.show()
        self._outcome.hide()
        self.figure.hide()
        self._filler.show()
        self.checks.show_checks(report.checks)
        self.setAccessibleName(line.sentence)
        self.setAccessibleDescription(self._advice.text())

    def _show_finding(self, finding: Finding, state: FindingState) -> None:
        is_open = state is FindingState.OPEN
        self._word.setText(severity_word(finding.severity))
        tone = severity_color(finding.severity) if is_open else ""
        if self._word.property("tone") != tone:
            self._word.setProperty("tone", tone)
            repolish(self._word)
        self._kind.setText(kind_title(finding.kind))
        self._count.setText(count_text(finding))
        self._paint_sign()
        self._sentence.setText(finding.sentence)
        self._advice.setText(finding.advice)
        self._advice.setVisible(is_open and bool(finding.advice))
        self._outcome.show_text(state_text(finding, state), is_done=state is FindingState.DONE)
        self.figure.show_finding(finding)
        self.setAccessibleName(finding.sentence)
        self.setAccessibleDescription(finding.advice)
        self._show_buttons(finding, state)

    def _show_buttons(self, finding: Finding, state: FindingState) -> None:
        is_open = state is FindingState.OPEN
        remedy = remedy_text(finding)
        self._remedy.setText(remedy)
        if remedy:
            bind_icon(self._remedy, REMEDY_ICONS.get(finding.remedy, "check"), size_px=16, gap_px=4)
        self._remedy.setVisible(is_open and bool(remedy))
        self._accept.setVisible(is_open)
        self._accept.setEnabled(self.note.isHidden())
        self._reopen.setVisible(state is FindingState.ACCEPTED)
        self._include.setVisible(state is FindingState.DONE)
        self._browse.setVisible(bool(finding.records or finding.pairs))
        is_files = finding.kind == "unreadable" and bool(self._session.snapshot.skipped)
        self._files.setVisible(is_files)

    def _show_images(self, finding: Finding) -> None:
        session = self._session
        classes, by_id = session.snapshot.classes, session.snapshot.by_id
        groups: list[Group] = [
            (by_id[a], by_id[b])
            for a, b in finding.pairs[:_MOST_SHOWN]
            if a in by_id and b in by_id
        ]
        is_paired = bool(groups)
        if not is_paired:
            groups = [(record,) for record in session.records(finding.records[:_MOST_SHOWN])]
        self.images.set_groups(groups, classes)
        self._pictures.setVisible(bool(groups))
        self._filler.setVisible(not groups)
        self._caption.setText(self._caption_text(finding, is_paired=is_paired))

    def _caption_text(self, finding: Finding, *, is_paired: bool) -> str:
        n = len(finding.pairs if is_paired else finding.records)
        locale = self.locale()
        if n > _MOST_SHOWN:
            numbers = (locale.toString(_MOST_SHOWN), locale.toString(n))
            pairs, images = (
                self.tr("The first %s of %s pairs"),
                self.tr("The first %s of %s images"),
            )
            return (pairs if is_paired else images) % numbers
        if not is_paired:
            return images_text(n)
        if n == 1:
            return self.tr("The pair")
        return self.tr("%s pairs, the most alike first") % locale.toString(n)

    def _on_remedy(self) -> None:
        if self.finding is not None:
            self.remedy_requested.emit(self.finding)

    def _on_include(self) -> None:
        if self.finding is not None:
            self.include_requested.emit(self.finding)

    def _on_reopen(self) -> None:
        if self.finding is not None:
            self.reopen_requested.emit(self.finding)

    def _on_files(self) -> None:
        if self.finding is not None:
            self.files_requested.emit(self.finding)

    def _on_accept(self) -> None:
        self.note.open()
        self._accept.setEnabled(False)

    def _on_note_given(self, note: str) -> None:
        if self.finding is not None:
            self.accept_requested.emit(self.finding, note)

    def _on_note_closed(self) -> None:
        self._accept.setEnabled(True)
        self._accept.setFocus()

    def _on_browse(self) -> None:
        if self.finding is not None:
            self.images_requested.emit(concerned(self.finding), None)

    def _on_activated(self, index: QModelIndex) -> None:
        group = self.images.group(index)
        if group is None or self.finding is None:
            return
        ids = tuple(record.id for record in group)
        self.images_requested.emit(ids if len(ids) > 1 else concerned(self.finding), ids[0])

    def _paint_sign(self) -> None:
        finding = self.finding
        if finding is None or self._line is None:
            return
        is_open = self._line.state is FindingState.OPEN
        color: ColorToken = severity_color(finding.severity) if is_open else "secondary"
        sign = pixmap(severity_icon(finding.severity), size_px=theme().px(20), color=color)
        self._sign.setPixmap(sign)

    def _make_buttons(self) -> None:
        self._remedy = make_button("", icon="check")
        self._remedy.hide()
        self._remedy.clicked.connect(self._on_remedy)
        self._include = make_button(self.tr("Take the images in again"), icon="undo")
        self._include.clicked.connect(self._on_include)
        self._accept = make_button(self.tr("Accept…"))
        self._accept.setToolTip(self.tr("Say why this is all right"))
        self._accept.clicked.connect(self._on_accept)
        self._reopen = make_button(self.tr("Reopen"), icon="undo")
        self._reopen.clicked.connect(self._on_reopen)
        self._files = make_button(self.tr("Show the files…"))
        self._files.clicked.connect(self._on_files)
        self._browse = make_button(self.tr("Show in the data browser"), icon="data")
        self._browse.clicked.connect(self._on_browse)
        self._buttons = QWidget()
        row = FlowLayout(self._buttons)
        for button in (
            self._remedy,
            self._include,
            self._accept,
            self._reopen,
            self._files,
            self._browse,
        ):
            row.addWidget(button)

    def _build(self) -> None:
        self._head = QWidget()
        head = QHBoxLayout(self._head)
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(8)
        head.addWidget(self._sign)
        head.addWidget(self._word)
        head.addWidget(self._kind, 1)
        head.addWidget(self._count)
        self._caption = QLabel()
        set_role(self._caption, "small")
        hint = ElidedLabel(self.tr("Enter or double-click opens the data browser"), role="small")
        hint.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        captions = QHBoxLayout()
        captions.setSpacing(12)
        captions.addWidget(self._caption)
        captions.addWidget(hint, 1)
        self._pictures = QWidget()
        pictures = QVBoxLayout(self._pictures)
        pictures.setContentsMargins(0, 4, 0, 0)
        pictures.setSpacing(6)
        pictures.addLayout(captions)
        pictures.addWidget(self.images, 1)
        self._filler = QWidget()
        body = ScrollBody()
        column = body.column
        column.setSpacing(8)
        for part in (self._head, self._sentence, self._advice, self._outcome, self.figure):
            column.addWidget(part)
        for part in (self._buttons, self.note, self.checks):
            column.addWidget(part)
        column.addWidget(self._pictures, 1)
        column.addWidget(self._filler, 1)
        self.body.addWidget(body)
        if (layout := self.layout()) is not None:
            layout.setContentsMargins(15, 11, 0, 15)  # the scroll bar stands in the margin


class _Images(FindingImages):
    """Asks for little height: the pictures scroll, and take what the texts leave."""

    def sizeHint(self) -> QSize:
        return QSize(theme().px(320), self.minimumSizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(theme().px(160), theme().px(190))


class _Outcome(QWidget):
    """What has become of a finding, with its sign."""

    def __init__(self) -> None:
        super().__init__()
        self._is_done = False
        self._sign, self._text = QLabel(), _wrapping()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._text, 1)
        theme().changed.connect(self._paint_sign)

    def show_text(self, text: str, *, is_done: bool) -> None:
        """Say it; nothing takes no room."""
        self._text.setText(text)
        self.setVisible(bool(text))
        self._is_done = is_done
        self._paint_sign()

    def _paint_sign(self) -> None:
        name, color = ("success", "good") if self._is_done else ("check", "secondary")
        self._sign.setPixmap(pixmap(name, size_px=theme().px(18), color=color))


class _ChecksView(QWidget):
    """Every check that was made, and why one could not be."""

    def __init__(self) -> None:
        super().__init__()
        self._checks: dict[str, str] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 4, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(5)
        self._grid.setColumnStretch(2, 1)
        theme().changed.connect(self._fill)

    def show_checks(self, checks: dict[str, str]) -> None:
        """Show checks by name, each with an empty text or the reason."""
        if checks != self._checks:
            self._checks = dict(checks)
            self._fill()

    def _fill(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for row, (name, reason) in enumerate(self._checks.items()):
            self._add_row(row, name, reason)

    def _add_row(self, row: int, name: str, reason: str) -> None:
        sign, title, why = QLabel(), QLabel(check_title(name)), _wrapping()
        # Grey: made doesn't mean that nothing was found.
        name_of_sign = "dash" if reason else "check"
        sign.setPixmap(pixmap(name_of_sign, size_px=theme().px(16), color="secondary"))
        said = self.tr("not possible: %s") % reason if reason else self.tr("made")
        title.setAccessibleName(f"{title.text()}: {said}")
        why.setText(reason)
        for column, label in enumerate((sign, title, why)):
            self._grid.addWidget(label, row, column, Qt.AlignmentFlag.AlignTop)


def _wrapping(role: str = "secondary") -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    set_role(label, role)
    return label
