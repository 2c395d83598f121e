"""What is recommended, as the window shows it: the same as the command line, and always current."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QPushButton, QWidget

from engine.contract.commands import PrepareImages, RecommendSetup
from engine.contract.config import ImageContract, preset_config
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    JobFinished,
    JobProgressed,
    JobStarted,
)
from engine.contract.recommendation import PastTraining, SetupFacts
from engine.project import labels
from engine.project.store import Project
from engine.run import execute
from gui.itemmodels.run_words import preset_name
from gui.next_run import is_recommended, with_recommended
from gui.panels.image_size import ImageSizeNote
from gui.panels.model import ModelPanel
from gui.panels.recommended_card import RecommendedCard
from gui.panels.train import TrainPanel
from gui.session import Session
from gui.stages import Stage
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.message_bar import MessageKind
from tests.helpers.made_project import make_project
from tests.helpers.scripted_engine import ScriptedEngine

Opened = Callable[[Path], Session]


def with_images(
    folder: Path, *, side_px: int = 1024, size_px: int = 224, n_patients: int = 12
) -> Path:
    """Return a divided project whose originals have a side, prepared at a size."""
    make_project(folder, is_split=True, n_patients=n_patients, has_originals=False)
    with Project.open(folder) as project:
        with project.transaction():
            project.db.execute("UPDATE records SET width = ?, height = ?", (side_px, side_px))
        project.image_contract = ImageContract(size_px=size_px)
    return folder


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return the folder of a project of large images."""
    return with_images(tmp_path / "large.radtune")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return the folder of a project of tiny images that were prepared large."""
    return with_images(tmp_path / "small.radtune", side_px=28)


@pytest.fixture
def advised(qtbot, engine: ScriptedEngine, open_session: Opened) -> Opened:
    """Return a function that opens a project and waits for its recommendation."""
    engine.completes("doctor", device="cpu", threads=2, weights={})

    def opened(folder: Path) -> Session:
        session = open_session(folder)
        qtbot.waitUntil(lambda: session.advice.found is not None)
        return session

    return opened


def model_page(qtbot, session: Session) -> ModelPanel:
    page = ModelPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    return page


def facts_of(session: Session) -> SetupFacts:
    facts = session.advice.facts
    assert facts is not None
    return facts


def card(page: QWidget, title: str) -> ChoiceCard:
    return next(c for c in page.findChildren(ChoiceCard) if c.text() == title)


def test_the_window_recommends_what_the_command_line_recommends(
    advised: Opened, small: Path
) -> None:
    said = execute(RecommendSetup(project=str(small)), lambda _: None, Control()).result
    session = advised(small)
    session.device = {
        "device": said["facts"]["device"],
        "threads": said["facts"]["threads"],
        "weights": said["facts"]["weights"],
    }
    session.device_changed.emit()
    plain = to_plain(session.advice.found)
    assert plain == {name: said[name] for name in plain}
    assert to_plain(session.advice.facts) == said["facts"]


def test_cards_are_marked_with_the_reason_and_everything_is_chosen_already(
    qtbot, advised: Opened, large: Path
) -> None:
    session = advised(large)
    found = session.advice.found
    assert found is not None
    page = model_page(qtbot, session)
    for title, part in (("EfficientNet-Lite0", found.backbone), ("Linear probe", found.method)):
        assert card(page, title).isChecked()
        assert f"Recommended. {part.why.rstrip('.')}" in card(page, title).accessibleDescription()
    assert "Recommended" not in card(page, "Full fine-tuning").accessibleDescription()
    shown = page.findChildren(RecommendedCard)[0]
    assert shown.line == "EfficientNet-Lite0 · Linear probe · Quick · 224 px · about 10 s"
    for part in (found.backbone, found.method, found.preset, found.size_px, found.imbalance):
        assert part.why in shown.reasons
    assert not shown.use.isEnabled()
    train = TrainPanel(session)
    qtbot.addWidget(train)
    train.show()
    assert found.preset.why.rstrip(".") in card(train, "Quick").accessibleDescription()


def test_one_button_takes_what_is_recommended_and_keeps_the_details(
    qtbot, advised: Opened, large: Path
) -> None:
    session = advised(large)
    page = model_page(qtbot, session)
    other = preset_config("thorough", backbone="resnet18", method="lora", seed=7)
    session.choose(replace(other, optimizer=replace(other.optimizer, batch_size=4)))
    shown = page.findChildren(RecommendedCard)[0]
    assert shown.use.isEnabled()
    shown.use.click()
    found = session.advice.found
    assert found is not None
    assert is_recommended(session.config, found)
    assert session.config.backbone.key == "efficientnet_lite0"
    assert (session.config.method.key, session.config.preset) == ("linear_probe", "quick")
    assert (session.config.seed, session.config.optimizer.batch_size) == (7, 4)
    assert session.is_model_chosen
    assert not shown.use.isEnabled()


def test_what_the_user_chose_is_left_alone(qtbot, advised: Opened, large: Path) -> None:
    session = advised(large)
    chosen = preset_config("standard", backbone="resnet18")
    session.choose(chosen)
    session.advice.set_minutes(5)
    session.device = {"device": "cuda", "threads": 8, "weights": {}}
    session.device_changed.emit()
    assert session.config == chosen


def test_it_follows_images_device_and_time(qtbot, advised: Opened, large: Path) -> None:
    session = advised(large)
    before = facts_of(session)
    assert (before.n_train, before.n_val) == ((8, 8), 4)
    ids = [r.id for r in session.snapshot.records if r.split == "train"][:2]
    session.change(labels.exclude, ids, "blurred")
    qtbot.waitUntil(lambda: facts_of(session).total == 14)
    session.device = {"device": "cuda", "threads": 8, "weights": {}}
    session.device_changed.emit()
    assert facts_of(session).device == "cuda"
    with qtbot.waitSignal(session.advice.changed):
        session.advice.set_minutes(30)
    assert facts_of(session).minutes == 30


def test_many_images_choose_a_whole_network_until_there_is_no_time_for_it(
    advised: Opened, tmp_path: Path
) -> None:
    session = advised(with_images(tmp_path / "many.radtune", n_patients=1020))
    assert (session.config.method.key, session.config.preset) == ("full_finetune", "standard")
    assert not session.is_model_chosen
    session.advice.set_minutes(0.5)
    assert session.config.method.key == "linear_probe"


def test_the_size_note_prepares_the_images_and_goes(
    qtbot, engine: ScriptedEngine, advised: Opened, small: Path
) -> None:
    session = advised(small)
    page = model_page(qtbot, session)
    note = page.findChildren(ImageSizeNote)[0]
    assert note.isVisible()
    assert "112 px" in note.text
    assert "224\u00a0px" in note.text

    def prepare(command: PrepareImages, control: Any) -> Any:
        yield JobStarted(kind="prepare_images")
        yield JobProgressed(kind="prepare_images", stage="Preparing images", done=12, total=24)
        with Project.open(small) as project:
            project.image_contract = ImageContract(size_px=command.size_px)
        result = {"size_px": command.size_px, "n_images": 24}
        yield JobFinished(kind="prepare_images", outcome=COMPLETED, result=result)

    engine.runs("prepare_images", prepare)
    heard: list[Any] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    note.buttons[0].click()
    qtbot.waitUntil(lambda: not note.isVisible())
    assert engine.asked("prepare_images") == [PrepareImages(project=str(small), size_px=112)]
    assert "data" in engine.roles  # a run, and what needs torch, aren't held up by it
    assert facts_of(session).size_px == 112
    assert heard[0][0] is MessageKind.SUCCESS


def test_large_images_that_were_prepared_small_are_led_to_the_size_of_the_backbone(
    qtbot, engine: ScriptedEngine, advised: Opened, tmp_path: Path
) -> None:
    session = advised(with_images(tmp_path / "shrunk.radtune", side_px=512, size_px=64))
    page = model_page(qtbot, session)
    note = page.findChildren(ImageSizeNote)[0]
    assert note.isVisible()
    assert "512 px" in note.text
    assert "64\u00a0px now" in note.text
    assert [b.text() for b in note.buttons] == ["Prepare at 224 px"]
    engine.completes("prepare_images", size_px=224, n_images=24)
    note.buttons[0].click()
    qtbot.waitUntil(lambda: bool(engine.asked("prepare_images")))
    assert engine.asked("prepare_images")[0].size_px == 224


def test_a_preparation_can_be_canceled_and_a_failure_is_told(
    qtbot, engine: ScriptedEngine, advised: Opened, small: Path
) -> None:
    session = advised(small)
    page = model_page(qtbot, session)
    note = page.findChildren(ImageSizeNote)[0]

    def wait(command: Any, control: Any) -> Any:
        yield JobStarted(kind="prepare_images")
        while not control.cancel_requested:
            control.wait_for_request(0.02)
        yield JobFinished(kind="prepare_images", outcome=CANCELED)

    engine.runs("prepare_images", wait)
    train = TrainPanel(session)
    qtbot.addWidget(train)
    train.show()
    note.prepare(112)
    cancel = next(b for b in note.findChildren(QPushButton) if b.text() == "Cancel")
    assert cancel.isVisible()
    assert not note.buttons[0].isVisible()
    qtbot.waitUntil(lambda: bool(engine.asked("prepare_images")))
    assert train._advice.text().startswith("The images are being prepared")
    assert not train._start.isEnabled()
    assert not [b for b in train._history.findChildren(QPushButton) if b.isEnabled()]
    cancel.click()
    qtbot.waitUntil(note.buttons[0].isVisible)
    assert engine.requests == ["cancel"]

    assert train._advice.text().startswith("How long to train?")
    assert train._start.isEnabled()

    failed = JobFinished(kind="prepare_images", outcome=FAILED, error="Gone.", remedy="Connect it.")
    engine.plays("prepare_images", JobStarted(kind="prepare_images"), failed)
    with qtbot.waitSignal(page.message_requested) as told:
        note.prepare(112)
    assert told.args[:3] == [MessageKind.ERROR, "Gone.", "Connect it."]


def test_a_backbone_that_cannot_take_the_size_is_said_before_the_start(
    qtbot, advised: Opened, tmp_path: Path
) -> None:
    session = advised(with_images(tmp_path / "odd.radtune", size_px=250))
    page = model_page(qtbot, session)
    note = page.findChildren(ImageSizeNote)[0]
    assert not note.isVisible()
    page.choose_backbone("dinov2_vits14")
    assert note.isVisible()
    assert "250 px" in note.text
    assert [b.text() for b in note.buttons] == ["Prepare at 238 px", "Prepare at 252 px"]
    train = TrainPanel(session)
    qtbot.addWidget(train)
    train.show()
    assert not train._start.isEnabled()
    with qtbot.waitSignal(train.stage_requested) as asked:
        train._empty.action_requested.emit()
    assert asked.args == [Stage.MODEL]
    page.choose_backbone("efficientnet_lite0")
    assert not note.isVisible()
    assert train._start.isEnabled()


@pytest.mark.parametrize("slowness", [None, 0.3, 40.0])
@pytest.mark.parametrize("n_patients", [12, 1020])
def test_card_and_train_page_say_the_same_time(
    qtbot, advised: Opened, tmp_path: Path, n_patients: int, slowness: float | None
) -> None:
    session = advised(with_images(tmp_path / "p.radtune", n_patients=n_patients))
    if slowness is not None:
        past = PastTraining(
            backbone="efficientnet_lite0",
            method="full_finetune",
            device="cpu",
            slowness=slowness,
        )
        session.advice._take((tmp_path / "p.radtune", replace(facts_of(session), past=(past,))))
    shown = model_page(qtbot, session).findChildren(RecommendedCard)[0]
    train = TrainPanel(session)
    qtbot.addWidget(train)
    train.show()
    found = session.advice.found
    assert found is not None
    session.choose(with_recommended(session.config, found))
    time = shown.line.rpartition(" · ")[2]
    preset = preset_name(str(found.preset.value))
    assert time.startswith("about ")
    assert time in card(train, preset).accessibleDescription()
    session.choose(replace(session.config, method=replace(session.config.method, max_epochs=100)))
    longer = shown.line.rpartition(" · ")[2]
    assert longer in card(train, preset).accessibleDescription()
    assert (longer != time) == (found.method.value == "full_finetune")


def test_what_would_take_too_long_is_written_as_the_train_page_writes_it(
    qtbot, advised: Opened, tmp_path: Path
) -> None:
    session = advised(with_images(tmp_path / "many.radtune", n_patients=1020))
    train = TrainPanel(session)
    qtbot.addWidget(train)
    train.show()
    session.choose(preset_config("standard", method="full_finetune"))
    session.advice.set_minutes(0.5)
    found = session.advice.found
    assert found is not None
    chips = card(train, "Standard").accessibleDescription()
    time = found.method.why.partition("would take ")[2].partition(", more")[0]
    assert time.startswith("about ")
    assert time in chips


def test_taking_it_twice_is_taking_it_once(advised: Opened, large: Path) -> None:
    found = advised(large).advice.found
    assert found is not None
    for preset in ("quick", "standard", "thorough"):
        once = with_recommended(preset_config(preset, method="lora"), found)
        assert with_recommended(once, found) == once
