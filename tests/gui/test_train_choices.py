"""What the training page says of the chosen method before the start, and how long to train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QLabel, QPushButton

from gui.next_run import with_method, with_preset
from gui.panels.train import TrainPanel
from gui.session import Session
from gui.stages import Stage
from gui.widgets.choice_card import ChoiceCard


@pytest.fixture
def page(qtbot, open_session: Callable[[Path], Session], split_folder: Path) -> TrainPanel:
    session = open_session(split_folder)
    qtbot.waitUntil(lambda: session.advice.found is not None)
    page = TrainPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    return page


def choose(page: TrainPanel, method: str) -> None:
    page.session.choose(with_method(page.session.config, method))


def words(page: TrainPanel) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def cards(page: TrainPanel) -> dict[str, ChoiceCard]:
    return {card.text(): card for card in page.findChildren(ChoiceCard) if card.isVisible()}


def test_a_method_without_passes_or_adapting_is_offered_in_one_way(page: TrainPanel) -> None:
    choose(page, "direct_transfer")
    assert not cards(page)
    said = words(page)
    assert (
        "Direct transfer makes no passes over the images, so every preset learns the same" in said
    )
    assert "up to" not in said and "Adapts" not in said
    choose(page, "full_finetune")
    assert set(cards(page)) == {"Quick", "Standard", "Thorough"}
    assert "in up to 8 passes" in cards(page)["Standard"].accessibleDescription()
    assert "Up to 40 passes" in cards(page)["Thorough"].accessibleDescription()


def test_presets_that_would_change_the_method_say_so(page: TrainPanel) -> None:
    choose(page, "linear_probe")
    for title, config in (("Standard", "standard"), ("Thorough", "thorough")):
        assert with_preset(page.session.config, config).method.key == "full_finetune"
        said = cards(page)[title].accessibleDescription()
        assert "Changes the method to Full fine-tuning" in said
    quick = cards(page)["Quick"].accessibleDescription()
    assert "Changes the method" not in quick
    assert "decision layer" in quick and "passes" not in quick

    choose(page, "adversarial")
    assert "Changes the method to Linear probe" in cards(page)["Quick"].accessibleDescription()
    assert "Changes" not in cards(page)["Standard"].accessibleDescription()


def test_how_long_to_train_is_recommended_for_the_chosen_method(page: TrainPanel) -> None:
    choose(page, "adversarial")
    assert "Recommended with Adversarial training: Standard." in words(page)
    assert "Recommended" in cards(page)["Standard"].accessibleDescription()
    assert "Recommended" not in cards(page)["Quick"].accessibleDescription()
    choose(page, "linear_probe")
    assert "Recommended: Quick." in words(page)


def test_a_method_that_needs_more_images_is_warned_of_before_the_start(
    qtbot, page: TrainPanel
) -> None:
    choose(page, "linear_probe")
    assert "training images of each class" not in words(page)
    choose(page, "adversarial")  # 8 training images of each class
    assert "Adversarial training needs about 200 training images of each class" in words(page)
    assert "the rarest class has 8" in words(page)
    button = next(b for b in page.findChildren(QPushButton) if b.text() == "Choose another method")
    with qtbot.waitSignal(page.stage_requested) as asked:
        button.click()
    assert asked.args == [Stage.MODEL]
