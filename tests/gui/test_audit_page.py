"""The audit page: looking, reading findings, mending them, accepting them with a note."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QLabel, QPushButton

from engine.contract.commands import Audit, Train
from engine.contract.config import preset_config
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    JobFinished,
    JobProgressed,
    JobStarted,
)
from engine.contract.records import AuditReport, Finding, SkippedFile
from engine.project import labels
from engine.project.store import Project
from gui.dialogs.skipped_files import SkippedFilesDialog
from gui.itemmodels.finding_list import wrapped
from gui.itemmodels.finding_words import (
    FindingState,
    finding_state,
    kind_title,
    remedy_text,
)
from gui.panels.audit import AuditPanel
from gui.panels.audit_figures import IntervalBar
from gui.panels.data import DataPanel
from gui.run_state import RunState
from gui.stages import ProjectFacts, Stage, stage_state
from gui.theme import ThemeChoice, theme
from gui.widgets.message_bar import MessageKind
from gui.widgets.stage_rail import StageState
from tests.helpers.scripted_engine import endless_run

CHINESE = "儿童胸片肺炎研究" * 40


def findings_of(ids: list[int]) -> tuple[Finding, ...]:
    """Return one finding of each shape, worst first; images 0 and 3 are of different patients."""
    return (
        Finding(
            kind="shortcut",
            key="height",
            severity="high",
            n=24,
            sentence="The height alone tells the classes apart.",
            advice="Crop instead of padding.",
            figures={"auroc": 0.92, "auroc_low": 0.9, "auroc_high": 0.94},
            remedy="crop",
        ),
        Finding(
            kind="exact_duplicates",
            key="copies",
            severity="medium",
            n=4,
            sentence="2 images are in the data twice.",
            advice="Exclude the copies.",
            records=(ids[0], ids[1], ids[2], ids[3]),
            pairs=((ids[0], ids[1]), (ids[0], ids[3])),
            remedy="exclude",
            remedy_records=(ids[1], ids[3]),
        ),
        Finding(
            kind="label_suspects",
            key="suspects",
            severity="low",
            n=3,
            sentence="3 images look like the other class.",
            records=(ids[4], ids[5], ids[6]),
        ),
        Finding(
            kind="class_counts",
            key="counts",
            severity="info",
            n=0,
            sentence="Both classes have as many images.",
        ),
    )


def store(folder: Path, findings: tuple[Finding, ...] | None = None) -> None:
    """Save a report as an audit would."""
    with Project.open(folder) as project:
        ids = [record.id for record in project.records()]
        project.save_audit(
            AuditReport(
                findings=findings_of(ids) if findings is None else findings,
                n_images=len(ids),
                checks={"copies": "", "labels": "there are no features yet"},
                data_digest="x",
            )
        )


@pytest.fixture
def make_panel(qtbot, open_session):
    panels = []

    def make(folder: Path) -> AuditPanel:
        panel = AuditPanel(open_session(folder))
        panel.resize(1180, 660)
        panel.show()
        qtbot.waitExposed(panel)
        panel.activateWindow()
        panel.on_shown()
        panels.append(panel)
        return panel

    yield make
    for panel in panels:
        panel.close()
        panel.deleteLater()


@pytest.fixture
def fresh(make_panel, split_folder):
    """Return the page of a project that was never looked at."""
    return make_panel(split_folder)


@pytest.fixture
def audited(make_panel, split_folder):
    """Return the page of a project with a finding of each shape."""
    store(split_folder)
    return make_panel(split_folder)


def choose(panel: AuditPanel, kind: str) -> Finding:
    kinds = [line.finding.kind if line.finding else "" for line in panel.list.lines]
    panel.list.choose(kinds.index(kind))
    finding = panel.detail.finding
    assert finding is not None
    return finding


def changed(qtbot, panel):
    return qtbot.waitSignal(panel.session.snapshot_changed, timeout=5_000)


def shown_texts(panel: AuditPanel) -> str:
    labels_ = panel.detail.findChildren(QLabel)
    return "\n".join(label.text() for label in labels_ if label.isVisible())


def test_without_images_it_sends_to_the_data(qtbot, session):
    panel = AuditPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    assert panel._go.isHidden()
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel._empty.action_requested.emit()
    assert asked.args == [Stage.DATA]


def test_before_the_first_look_it_says_in_two_sentences_what_is_looked_for(fresh):
    assert fresh._go.text() == "Look for problems"
    explanation = fresh._empty.accessibleDescription()
    assert explanation.count(". ") == 1
    for word in ("copies", "patients", "split", "labels", "sizes", "corners"):
        assert word in explanation


def test_looking_asks_the_engine_and_shows_how_far_it_is(qtbot, fresh, engine):
    def script(command, control):
        yield JobStarted(kind="audit")
        yield JobProgressed(kind="audit", stage="Comparing images", done=6, total=24)
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="audit", outcome=CANCELED)

    engine.runs("audit", script)
    fresh._go.click()
    qtbot.waitUntil(lambda: fresh._progress._label.text() == "Comparing images")
    assert engine.asked("audit") == [Audit(project=str(fresh.session.folder))]
    assert engine.roles == ["run"]
    assert fresh._progress._right.text() == "6 of 24"
    assert not fresh._go.isEnabled()
    assert fresh.session.stage_state(Stage.AUDIT) is StageState.ACTIVE
    fresh._cancel.click()
    assert fresh._cancel.text() == "Canceling…"
    qtbot.waitUntil(fresh._go.isEnabled)
    assert fresh._progress_card.isHidden()
    assert fresh._go.text() == "Look for problems"


def test_what_was_found_is_shown_when_the_look_has_ended(qtbot, fresh, engine, split_folder):
    def script(command, control):
        yield JobStarted(kind="audit")
        store(split_folder)
        yield JobFinished(kind="audit", outcome=COMPLETED)

    engine.runs("audit", script)
    fresh._go.click()
    qtbot.waitUntil(fresh._columns.isVisible)
    assert fresh.header.accessibleDescription() == (
        "1 serious, 1 important, 1 worth a look, 1 good to know · 24 images"
    )
    assert fresh.detail.finding.key == "height"


def test_a_failed_look_says_why(qtbot, fresh, engine):
    finished = JobFinished(kind="audit", outcome=FAILED, error="No room.", remedy="Free some.")
    engine.plays("audit", JobStarted(kind="audit"), finished)
    with qtbot.waitSignal(fresh.message_requested) as said:
        fresh._go.click()
    assert said.args[:3] == [MessageKind.ERROR, "No room.", "Free some."]
    assert fresh._go.isEnabled()


def test_findings_are_told_to_screen_readers_in_full(audited):
    model = audited.list.model()
    said = [model.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(5)]
    assert said[0] == "Serious: Shortcut. The height alone tells the classes apart. 24 images"
    assert said[3] == "Good to know: Size of the classes. Both classes have as many images"
    assert said[4] == "1 check made, 1 not possible"


def test_severities_differ_in_sign_and_word_and_not_only_in_color(audited, qtbot):
    signs, words = set(), set()
    for kind in ("shortcut", "exact_duplicates", "label_suspects", "class_counts"):
        choose(audited, kind)
        image = audited.detail._sign.pixmap().toImage().convertToFormat(QImage.Format.Format_Alpha8)
        signs.add(bytes(image.constBits()))
        words.add(audited.detail._word.text())
    assert len(signs) == len(words) == 4


def test_a_shortcut_shows_its_auroc_with_interval_and_in_plain_words(audited):
    choose(audited, "shortcut")
    figure = audited.detail.figure
    assert figure.isVisible()
    assert figure.accessibleName() == "AUROC 0.92"
    assert "0.90 to 0.94" in figure.accessibleDescription()
    assert "92 times in 100" in figure.accessibleDescription()
    assert not audited.detail._pictures.isVisible()


def test_other_borders_are_compared_with_those_there_are(make_panel, split_folder):
    figures = {"auroc": 0.88, "auroc_edge_mean": 0.87, "auroc_center_crop": 0.6}
    finding = Finding(
        kind="shortcut", key="borders", severity="high", n=24, sentence="x", figures=figures
    )
    store(split_folder, (finding,))
    panel = make_panel(split_folder)
    bars = panel.detail.figure.findChildren(IntervalBar)
    said = [bar.accessibleName() for bar in bars if not bar.isHidden()]
    assert said == [
        "0.88, from 0.88 to 0.88",
        "With borders in the grey of the edge: 0.87",
        "Cropped to the centre square: 0.60",
    ]


def test_pairs_stand_side_by_side_with_class_patient_and_part(audited):
    choose(audited, "exact_duplicates")
    images = audited.detail.images
    same, different = (
        images.model().index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole) for row in (0, 1)
    )
    assert same == (
        "Normal, P0001, Training, image 000.png; Normal, P0001, Training, image 001.png; "
        "Same label and patient"
    )
    assert different.endswith("Differ in: label, patient")
    assert audited.detail._caption.text() == "2 pairs, the most alike first"


def test_pairs_across_parts_of_the_split_are_called_so(make_panel, split_folder):
    with Project.open(split_folder) as project:
        records = list(project.records())
    torn = next(r for r in records if r.split == "test" and r.class_id == records[0].class_id)
    finding = Finding(
        kind="split_leak",
        key="x",
        severity="high",
        n=2,
        sentence="A copy is in the test part.",
        pairs=((records[0].id, torn.id),),
    )
    store(split_folder, (finding,))
    panel = make_panel(split_folder)
    said = panel.detail.images.model().index(0, 0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert said.endswith("Differ in: part of the split, patient")


def test_images_of_a_finding_stand_in_its_order_with_class_patient_and_part(audited):
    finding = choose(audited, "label_suspects")
    shown = [record.id for (record,) in audited.detail.images.groups]
    assert shown == list(finding.records)
    index = audited.detail.images.model().index(0, 0)
    said = index.data(Qt.ItemDataRole.AccessibleTextRole)
    assert said == "Normal, P0003, Training, image 004.png"
    assert audited.detail._remedy.isHidden()


def test_the_last_line_says_what_was_looked_for_and_why_something_was_not(qtbot, audited):
    audited.list.choose(4)
    qtbot.waitUntil(lambda: "Copies" in shown_texts(audited))
    assert "there are no features yet" in shown_texts(audited)
    assert not audited.detail._buttons.isVisible()


def test_excluding_copies_settles_the_finding_and_makes_the_audit_stale(qtbot, audited):
    finding = choose(audited, "exact_duplicates")
    assert audited.detail._remedy.text() == "Exclude the 2 copies"
    with changed(qtbot, audited):
        audited.detail._remedy.click()
    session = audited.session
    assert all(session.snapshot.by_id[i].excluded for i in finding.remedy_records)
    assert audited.detail.finding.key == "copies"
    assert audited.list.current_line().state is FindingState.DONE
    assert "1 done" in audited.header.accessibleDescription()
    assert audited._stale.isVisible()
    assert audited._go.text() == "Look again"
    assert session.stage_state(Stage.AUDIT) is StageState.STALE


def test_exclusions_can_be_undone_or_taken_back(qtbot, audited):
    session = audited.session
    finding = choose(audited, "exact_duplicates")
    with changed(qtbot, audited):
        audited.detail._remedy.click()
    with changed(qtbot, audited):
        session.change(labels.undo)
    assert audited.list.current_line().state is FindingState.OPEN
    assert not audited._stale.isVisible()
    with changed(qtbot, audited):
        audited.detail._remedy.click()
    with changed(qtbot, audited):
        audited.detail._include.click()
    assert not any(session.snapshot.by_id[i].excluded for i in finding.remedy_records)
    assert audited.list.current_line().state is FindingState.OPEN


def test_a_remedy_that_settles_a_finding_says_what_was_done(qtbot, audited, split_folder):
    said = []
    audited.message_requested.connect(lambda *message: said.append(message))
    choose(audited, "shortcut")
    assert audited.detail._remedy.text() == "Crop instead of padding"
    with changed(qtbot, audited):
        audited.detail._remedy.click()
    qtbot.waitUntil(lambda: bool(said))
    assert said[0][0] is MessageKind.SUCCESS
    assert "cropped" in said[0][1]
    assert audited.detail.finding.key == "copies"
    with Project.open(split_folder, read_only=True) as project:
        assert project.image_contract.fit == "center_crop"


def test_accepting_takes_a_note_and_goes_on_to_the_next_finding(qtbot, audited):
    choose(audited, "shortcut")
    audited.detail._accept.click()
    note = audited.detail.note
    assert note.isVisible()
    assert note._text.hasFocus()
    assert not note._accept.isEnabled()
    qtbot.keyClicks(note._text, "All from one scanner")
    with changed(qtbot, audited):
        qtbot.keyClick(note._text, Qt.Key.Key_Return)
    assert note.isHidden()
    last = audited.list.lines[-2]
    assert last.finding.key == "height"
    assert last.said == "Accepted: All from one scanner"
    assert audited.detail.finding.key == "copies"
    assert "1 accepted" in audited.header.accessibleDescription()
    assert "serious" not in audited.header.accessibleDescription()


def test_accepted_findings_can_be_opened_again(qtbot, audited):
    choose(audited, "shortcut")
    with changed(qtbot, audited):
        audited.detail.accept_requested.emit(audited.detail.finding, "fine")
    choose(audited, "shortcut")
    assert audited.detail._remedy.isHidden()
    with changed(qtbot, audited):
        audited.detail._reopen.click()
    assert audited.list.lines[0].finding.key == "height"
    assert audited.detail.finding.key == "height"
    assert audited.detail._remedy.isVisible()


def test_escape_closes_the_note_and_keeps_the_finding_open(qtbot, audited):
    choose(audited, "shortcut")
    audited.detail._accept.click()
    qtbot.keyClicks(audited.detail.note._text, "x")
    qtbot.keyClick(audited.detail.note._text, Qt.Key.Key_Escape)
    assert audited.detail.note.isHidden()
    assert audited.detail._accept.hasFocus()
    assert audited.list.current_line().state is FindingState.OPEN


def test_another_finding_closes_the_note(audited):
    choose(audited, "shortcut")
    audited.detail._accept.click()
    choose(audited, "exact_duplicates")
    assert audited.detail.note.isHidden()
    assert audited.detail._accept.isEnabled()


def test_everything_works_by_keyboard(qtbot, audited):
    assert audited.list.hasFocus()
    qtbot.keyClick(audited.list, Qt.Key.Key_Down)
    assert audited.detail.finding.key == "copies"
    reached = set()
    for _ in range(12):
        widget = audited.focusWidget()
        reached.add(widget)
        qtbot.keyClick(widget, Qt.Key.Key_Tab)
    detail = audited.detail
    assert {detail._remedy, detail._accept, detail._browse, detail.images} <= reached
    assert {audited._again, audited._go} <= reached


def test_the_data_browser_shows_the_images_of_a_finding_alone(qtbot, audited):
    data = DataPanel(audited.session)
    qtbot.addWidget(data)
    finding = choose(audited, "exact_duplicates")
    with qtbot.waitSignal(audited.stage_requested) as asked:
        audited.detail._browse.click()
    assert asked.args == [Stage.DATA]
    data.show()
    data.on_shown()
    shown = {record.id for record in data.grid.images.records}
    assert shown == set(finding.records)
    assert data.filters._only.isVisible()
    assert "Audit: Copies" in data.filters._only.accessibleName()
    data.filters._only.click()
    assert len(data.grid.images.records) == 24
    assert not data.filters._only.isVisible()


def test_enter_on_an_image_selects_it_in_the_data_browser(qtbot, audited):
    data = DataPanel(audited.session)
    qtbot.addWidget(data)
    finding = choose(audited, "label_suspects")
    images = audited.detail.images
    images.setCurrentIndex(images.model().index(2, 0))
    with qtbot.waitSignal(audited.stage_requested):
        qtbot.keyClick(images, Qt.Key.Key_Return)
    data.show()
    data.on_shown()
    current = data.grid.current_record()
    assert current is not None
    assert current.id == finding.records[2]
    data.on_shown()
    assert len(data.grid.images.records) == 3


@pytest.mark.parametrize(
    ("is_split", "text", "stage"),
    [(False, "Make the split…", Stage.SPLIT), (True, "Choose a model", Stage.MODEL)],
)
def test_primary_button_goes_on_when_the_look_is_done(
    qtbot, make_panel, project_folder, split_folder, is_split, text, stage
):
    folder = split_folder if is_split else project_folder
    store(folder)
    panel = make_panel(folder)
    assert panel._go.text() == text
    with qtbot.waitSignal(panel.stage_requested) as asked:
        panel._go.click()
    assert asked.args == [stage]


def test_looking_again_is_offered_beside_it(qtbot, audited, engine):
    audited._again.click()
    qtbot.waitUntil(lambda: len(engine.asked("audit")) == 1)


def test_a_look_waits_for_a_training_run_and_says_so(qtbot, audited, engine):
    engine.runs("train", endless_run)
    session = audited.session
    session.runs.start(Train(project=str(session.folder), config=preset_config("quick")))
    qtbot.waitUntil(lambda: session.runs.state is RunState.RUNNING)
    audited.look()
    assert audited._progress._label.text() == "Waiting for the training run to end…"
    audited._cancel.click()
    session.runs.stop()
    qtbot.waitUntil(lambda: audited._job is None)
    assert engine.asked("audit") == []


def test_no_findings_still_shows_what_was_checked(qtbot, make_panel, split_folder):
    store(split_folder, ())
    panel = make_panel(split_folder)
    assert panel.header.accessibleDescription() == "Nothing found · 24 images"
    qtbot.waitUntil(lambda: "there are no features yet" in shown_texts(panel))
    assert panel.session.stage_state(Stage.AUDIT) is StageState.DONE


def test_left_out_files_can_be_listed(qtbot, make_panel, split_folder):
    with Project.open(split_folder) as project:
        source = project.sources()[0].id
        project.add_skipped(source, [SkippedFile(path="broken.dcm", reason="It ends early.")])
    finding = Finding(
        kind="unreadable", key="unreadable", severity="low", n=1, sentence="1 file is broken."
    )
    store(split_folder, (finding,))
    panel = make_panel(split_folder)
    assert panel.detail._count.text() == "1 file"
    panel.detail._files.click()
    dialog = panel.findChild(SkippedFilesDialog)
    assert dialog is not None
    assert dialog._list.text() == "broken.dcm\tIt ends early."


def test_another_project_starts_afresh(qtbot, audited, project_folder):
    with changed(qtbot, audited):
        audited.session.open_project(project_folder)
    assert audited._go.text() == "Look for problems"
    assert audited._columns.isHidden()


def test_a_look_at_a_project_that_was_closed_is_given_up(qtbot, fresh, engine, project_folder):
    def script(command, control):
        yield JobStarted(kind="audit")
        while not control.cancel_requested:
            control.wait_for_request(0.05)
        yield JobFinished(kind="audit", outcome=CANCELED)

    engine.runs("audit", script)
    fresh.look()
    qtbot.waitUntil(lambda: len(engine.asked("audit")) == 1)
    with changed(qtbot, fresh):
        fresh.session.open_project(project_folder)
    qtbot.waitUntil(lambda: not fresh.session.jobs.is_busy)
    assert engine.requests == ["cancel"]
    assert fresh._go.text() == "Look for problems"


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("choice", [ThemeChoice.LIGHT, ThemeChoice.DARK])
def test_long_chinese_names_fit_and_are_told_in_full(
    qtbot, make_panel, split_folder, choice, scale
):
    with Project.open(split_folder) as project:
        ids = [record.id for record in project.records()]
        labels.rename_class(project, project.classes()[0].id, CHINESE[:60])
    first, second, *_ = findings_of(ids)
    store(split_folder, (replace(first, sentence=CHINESE, advice=CHINESE), second))
    theme().set_choice(choice)
    theme().set_text_scale(scale)
    panel = make_panel(split_folder)
    panel.resize(620, 460)  # what a window of 880 px leaves beside the rail
    qtbot.waitUntil(lambda: panel.minimumWidth() < 620)
    panel.resize(620, 460)
    assert panel.width() == 620
    index = panel.list.model().index(0, 0)
    assert index.data(Qt.ItemDataRole.ToolTipRole).startswith(CHINESE)
    choose(panel, "exact_duplicates")
    tip = panel.detail.images.model().index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert CHINESE[:60] in tip
    assert panel.list.width() + panel.detail.width() > 0


def test_long_sentences_are_cut_after_three_lines(qapp):
    lines = wrapped(CHINESE, theme().font("body"), 300, 3)
    assert len(lines) == 3
    assert lines[2].endswith("…")
    assert wrapped("Short.", theme().font("body"), 300, 3) == ["Short."]


def test_every_button_has_a_name(audited):
    for kind in ("shortcut", "exact_duplicates"):
        choose(audited, kind)
        for button in audited.findChildren(QPushButton):
            if button.isVisible():
                assert button.accessibleName() or button.text(), button


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, StageState.EMPTY),
        ({"n_images": 5}, StageState.READY),
        ({"n_images": 5, "is_auditing": True}, StageState.ACTIVE),
        ({"n_images": 5, "has_audit": True}, StageState.DONE),
        ({"n_images": 5, "has_audit": True, "n_serious": 1}, StageState.ALERT),
        (
            {"n_images": 5, "has_audit": True, "n_serious": 1, "is_audit_stale": True},
            StageState.STALE,
        ),
    ],
)
def test_dot_says_how_the_audit_stands(facts, state):
    assert stage_state(Stage.AUDIT, ProjectFacts(has_project=True, **facts)) is state


def test_accepting_the_last_serious_finding_settles_the_dot(qtbot, audited):
    session = audited.session
    assert session.stage_state(Stage.AUDIT) is StageState.ALERT
    with changed(qtbot, audited):
        audited.detail.accept_requested.emit(choose(audited, "shortcut"), "fine")
    assert session.stage_state(Stage.AUDIT) is StageState.DONE


def test_a_finding_is_settled_when_every_pair_has_lost_an_image(audited):
    finding = choose(audited, "exact_duplicates")
    by_id = dict(audited.session.snapshot.by_id)
    first = finding.pairs[0][0]  # of both pairs
    assert finding_state(finding, by_id) is FindingState.OPEN
    by_id[first] = replace(by_id[first], excluded="dark")
    assert finding_state(finding, by_id) is FindingState.DONE
    assert finding_state(replace(finding, note="fine"), by_id) is FindingState.ACCEPTED


def test_remedies_are_named_by_what_they_do(audited):
    finding = choose(audited, "exact_duplicates")
    one = replace(finding, remedy_records=finding.remedy_records[:1])
    assert remedy_text(one) == "Exclude the copy"
    assert remedy_text(replace(one, kind="blank_images")) == "Exclude the image"
    assert remedy_text(replace(finding, remedy="link_patients")) == "Keep these patients together"
    assert remedy_text(replace(finding, remedy="")) == ""


def test_unknown_kinds_are_still_readable():
    assert kind_title("new_kind_of_trouble") == "New kind of trouble"
