"""The device checks in the window, and what the Train page says of a card that isn't used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from engine.contract.commands import Doctor, Train
from engine.contract.config import preset_config
from engine.contract.config_io import to_plain
from engine.contract.device_checks import (
    CONVOLUTION,
    FAILED,
    FAULTY,
    FINE,
    GPU_UNUSABLE,
    MEMORY,
    NO_GPU,
    PASSED,
    SKIPPED,
    DeviceCheck,
)
from engine.contract.devices import DeviceInfo
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    Event,
    JobFinished,
    JobProgressed,
    JobStarted,
    RunFinished,
)
from engine.contract.events import (
    FAILED as JOB_FAILED,
)
from engine.project.store import Project
from gui.device_words import device_facts, processor_sentence, report_text, unused_card
from gui.dialogs.device_card import DeviceCard
from gui.dialogs.this_computer import ThisComputerDialog, show_this_computer
from gui.panels.device_note import DeviceNote
from gui.panels.train import TrainPanel
from gui.run_state import RunState
from gui.widgets.top_bar import TopBar
from tests.helpers.scripted_engine import endless_run, run_started

CPU = DeviceInfo(key="cpu", name="Processor", memory_mb=16384, is_usable=True)
CARD = DeviceInfo(
    key="cuda", name="RTX A4000", memory_mb=16376, is_usable=True, capability="8.6", driver="580.1"
)
OLD = DeviceInfo(
    key="cuda",
    name="RTX A4000",
    memory_mb=16376,
    is_usable=False,
    problem="The driver is too old.",
    remedy="Update it.",
)


def passed(device: str, key: str, detail: str = "") -> DeviceCheck:
    return DeviceCheck(device=device, key=key, state=PASSED, detail=detail)


def doctor_result(
    devices: tuple[DeviceInfo, ...], checks: tuple[DeviceCheck, ...], verdict: str
) -> dict[str, Any]:
    uses_card = verdict == FINE
    return {
        "devices": to_plain(devices),
        "checks": to_plain(checks),
        "verdict": verdict,
        "device": "cuda" if uses_card else "cpu",
        "precision": "bf16",
        "threads": 6,
        "system": "Linux",
        "versions": {"torch": "2.14.1"},
        "sentences": ["cpu  Processor", "All is well."],
    }


def script(devices: tuple[DeviceInfo, ...], checks: tuple[DeviceCheck, ...], verdict: str) -> Any:
    def play(command: Any, control: Any) -> Iterator[Event]:
        yield JobStarted(kind="doctor")
        facts = {"devices": to_plain(devices)}
        yield JobProgressed(kind="doctor", stage="", done=0, total=len(checks), facts=facts)
        for done, check in enumerate(checks, 1):
            facts = {"check": to_plain(check)}
            yield JobProgressed(kind="doctor", stage="", done=done, total=len(checks), facts=facts)
        result = doctor_result(devices, checks, verdict)
        yield JobFinished(kind="doctor", outcome=COMPLETED, result=result)

    return play


@pytest.fixture
def dialog(qtbot, engine, session):
    """Return a function that opens the dialog on a machine and waits for the end of the checks."""

    def opened(
        devices: tuple[DeviceInfo, ...], checks: tuple[DeviceCheck, ...], verdict: str
    ) -> ThisComputerDialog:
        engine.runs("doctor", script(devices, checks, verdict))
        shown = ThisComputerDialog(session)
        qtbot.addWidget(shown)
        with qtbot.waitSignal(session.device_changed):
            shown.show()
        return shown

    return opened


def button(widget: QWidget, text: str) -> QPushButton:
    return next(b for b in widget.findChildren(QPushButton) if b.text().replace("&", "") == text)


def card_of(dialog: ThisComputerDialog, title: str) -> DeviceCard:
    return next(card for card in dialog.cards if card.title == title)


def test_a_card_that_works_is_named_with_what_was_tried(engine, session, dialog):
    checks = (passed("cpu", CONVOLUTION, "largest error 2e-06"), passed("cuda:0", MEMORY))
    shown = dialog((CPU, CARD), checks, FINE)
    assert shown.headline == "Training uses the RTX A4000"
    assert [card.title for card in shown.cards] == ["Processor", "RTX A4000"]
    places = [card_of(shown, name).y() for name in ("RTX A4000", "Processor")]
    assert places == sorted(places)  # the graphics card is what one wants to know of
    assert card_of(shown, "Processor").texts() == [
        "Convolution, forward and backward",
        "largest error 2e-06",
    ]
    assert engine.asked("doctor") == [Doctor(check=True)]
    assert session.device["device"] == "cuda"


def test_without_a_card_the_processor_trains_and_nothing_is_wrong(dialog):
    shown = dialog((CPU,), (passed("cpu", CONVOLUTION),), NO_GPU)
    assert shown.headline.startswith("There is no graphics card")
    assert "6 threads in bfloat16" in shown.explanation


def test_a_card_that_can_not_be_used_comes_with_reason_and_remedy(dialog):
    shown = dialog((CPU, OLD), (passed("cpu", CONVOLUTION),), GPU_UNUSABLE)
    assert "can't be used" in shown.headline
    assert "The driver is too old. Update it." in shown.explanation
    assert "The driver is too old. Update it." in card_of(shown, "RTX A4000").texts()


def test_a_failed_check_shows_its_reason_below_it(dialog):
    failed = DeviceCheck(
        device="cuda:0", key=CONVOLUTION, state=FAILED, problem="It is busy.", remedy="Wait."
    )
    skipped = DeviceCheck(device="cuda:0", key=MEMORY, state=SKIPPED)
    shown = dialog((CPU, CARD), (failed, skipped), GPU_UNUSABLE)
    assert card_of(shown, "RTX A4000").texts() == [
        "Convolution, forward and backward",
        "failed",
        "It is busy. Wait.",
        "Memory",
        "not made",
    ]
    assert "It is busy. Wait." in shown.explanation


def test_a_processor_that_computes_wrongly_is_the_worst(dialog):
    failed = DeviceCheck(
        device="cpu", key=CONVOLUTION, state=FAILED, problem="Wrong results.", remedy="Test it."
    )
    shown = dialog((CPU,), (failed,), FAULTY)
    assert "computes wrongly" in shown.headline
    assert shown.explanation == "Wrong results. Test it."


def test_checking_shows_as_such_and_can_be_done_again(qtbot, engine, session, dialog):
    shown = dialog((CPU,), (passed("cpu", CONVOLUTION),), NO_GPU)
    assert button(shown, "Check again").isEnabled()
    engine.runs("doctor", script((CPU, CARD), (passed("cuda:0", CONVOLUTION),), FINE))
    with qtbot.waitSignal(session.device_changed):
        button(shown, "Check again").click()
        assert shown.headline == "Checking…"
        assert not button(shown, "Check again").isEnabled()
        assert not button(shown, "Copy as text").isEnabled()
        assert shown.cards == []
    assert shown.headline == "Training uses the RTX A4000"
    assert len(shown.cards) == 2


def test_everything_can_be_copied_as_text(dialog):
    shown = dialog((CPU,), (passed("cpu", CONVOLUTION),), NO_GPU)
    button(shown, "Copy as text").click()
    text = QGuiApplication.clipboard().text()
    for part in ("cpu  Processor", "All is well.", "torch 2.14.1", "precision: bf16"):
        assert part in text


def test_checks_that_fail_as_a_whole_say_so(qtbot, engine, session):
    engine.plays(
        "doctor",
        JobStarted(kind="doctor"),
        JobFinished(kind="doctor", outcome=JOB_FAILED, error="It broke.", remedy="Try again."),
    )
    shown = ThisComputerDialog(session)
    qtbot.addWidget(shown)
    shown.show()
    qtbot.waitUntil(lambda: shown.headline == "It broke.")
    assert shown.explanation == "Try again."
    assert button(shown, "Check again").isEnabled()


def test_closing_ends_the_checks(qtbot, engine, session):
    def play(command: Any, control: Any) -> Iterator[Event]:
        yield JobStarted(kind="doctor")
        while not control.cancel_requested:
            control.wait_for_request(0.02)
        yield JobFinished(kind="doctor", outcome=CANCELED)

    engine.runs("doctor", play)
    shown = ThisComputerDialog(session)
    shown.show()
    qtbot.waitUntil(lambda: bool(engine.commands))
    shown.close()
    qtbot.waitUntil(lambda: not session.jobs.is_busy)
    assert engine.requests == ["cancel"]


def test_while_a_run_is_under_way_nothing_is_checked(qtbot, engine, open_session, split_folder):
    session = open_session(split_folder)
    engine.runs("train", endless_run)
    session.runs.start(Train(project=str(split_folder), config=session.config))
    qtbot.waitUntil(lambda: session.runs.state is RunState.RUNNING)
    shown = ThisComputerDialog(session)
    qtbot.addWidget(shown)
    shown.show()
    assert "run is under way" in shown.headline
    assert not button(shown, "Check again").isEnabled()
    assert engine.asked("doctor") == []
    session.runs.stop()
    qtbot.waitUntil(lambda: session.runs.state is RunState.IDLE)
    assert button(shown, "Check again").isEnabled()


def test_asking_twice_shows_one_dialog(qtbot, engine, session):
    engine.runs("doctor", script((CPU,), (), NO_GPU))
    window = QLabel()
    qtbot.addWidget(window)
    first = show_this_computer(session, window)
    assert show_this_computer(session, window) is first
    qtbot.waitUntil(lambda: not session.jobs.is_busy)


def test_the_device_in_the_top_bar_can_be_pressed(qtbot):
    bar = TopBar()
    qtbot.addWidget(bar)
    bar.set_device("CPU · 2 cores")
    with qtbot.waitSignal(bar.device_activated):
        button(bar, "CPU · 2 cores").click()


# What is said before a run


def test_only_a_card_that_is_idle_on_a_machine_that_uses_the_processor_is_told_of():
    idle = doctor_result((CPU, OLD), (), GPU_UNUSABLE)
    assert unused_card(idle) == ("The driver is too old.", "Update it.")
    assert unused_card(doctor_result((CPU,), (), NO_GPU)) is None
    assert unused_card(doctor_result((CPU, OLD, CARD), (), FINE)) is None
    assert unused_card({}) is None


@pytest.fixture
def page(qtbot, open_session, split_folder: Path) -> TrainPanel:
    with Project.open(split_folder) as project:
        project.add_run("old", preset_config("standard"))
        project.update_run("old", outcome=COMPLETED, val_auroc=0.875, epochs=8, seconds=64.0)
    session = open_session(split_folder)
    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.show()
    return page


def finished_doctor(result: dict[str, Any]) -> JobFinished:
    return JobFinished(kind="doctor", outcome=COMPLETED, result=result)


def test_the_train_page_says_before_the_start_that_the_card_is_not_used(page):
    (note,) = page.findChildren(DeviceNote)
    assert not note.isVisible()
    page.session.take_device(finished_doctor(doctor_result((CPU, OLD), (), GPU_UNUSABLE)))
    assert note.isVisible()
    assert note.text.startswith("The driver is too old. Update it. The times below")
    page.session.take_device(finished_doctor(doctor_result((CPU, CARD), (), FINE)))
    assert not note.isVisible()


def test_the_note_leads_to_the_checks(qtbot, engine, page):
    engine.runs("doctor", script((CPU, OLD), (), GPU_UNUSABLE))
    page.session.take_device(finished_doctor(doctor_result((CPU, OLD), (), GPU_UNUSABLE)))
    button(page, "Check this computer").click()
    dialog = page.window().findChild(ThisComputerDialog)
    assert dialog is not None and dialog.isVisible()
    qtbot.waitUntil(lambda: not page.session.jobs.is_busy)


def test_a_run_is_repeated_from_its_recipe_by_one_button(qtbot, engine, page):
    def play(command: Any, control: Any) -> Iterator[Event]:
        yield run_started(command)
        sentence = "The weights are the same as those of run old, bit for bit."
        result = {"run": "r1", "val_auroc": 0.9, "repeat": {"sentence": sentence}}
        yield RunFinished(run="r1", outcome=COMPLETED, result=result)

    engine.runs("train", play)
    button(page, "Repeat").click()
    qtbot.waitUntil(lambda: page.session.runs.state is RunState.IDLE)
    (command,) = engine.asked("train")
    assert Path(command.recipe) == page.session.folder / "runs" / "old" / "recipe.json"
    texts = [label.text() for label in page.findChildren(QLabel)]
    assert any("bit for bit" in text for text in texts)


def test_a_run_that_is_under_way_can_not_be_repeated(qtbot, engine, page):
    engine.runs("train", endless_run)
    page.start()
    qtbot.waitUntil(lambda: page.session.runs.state is RunState.RUNNING)
    assert not button(page, "Repeat").isEnabled()
    page.session.runs.stop()
    qtbot.waitUntil(lambda: page.session.runs.state is RunState.IDLE)


def test_words():
    assert device_facts(CARD) == "16 GB · compute capability 8.6 · driver 580.1"
    assert device_facts(DeviceInfo(key="cuda", name="X", memory_mb=0, is_usable=False)) == ""
    one = processor_sentence({"threads": 1, "precision": "fp32"})
    assert one == "The processor trains, with 1 thread in 32-bit arithmetic."
    assert report_text({}).startswith("RadTune")
