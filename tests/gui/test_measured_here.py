"""What the Model page says of a backbone on this computer, and of the weights chosen for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtWidgets import QLabel

from engine.contract.recommendation import PastTraining
from gui.panels.model import ModelPanel
from gui.session import Session
from gui.theme import theme
from gui.widgets.chip import Chip
from gui.widgets.choice_card import ChoiceCard
from tests.helpers.scripted_engine import ScriptedEngine

KEY = "efficientnet_lite0"
OWN = {
    "id": "abc",
    "backbone": KEY,
    "name": "two hospitals",
    "pretrained_on": "two projects",
    "licence": "CC-BY-NC-4.0",
    "kind": "made",
}
TRAINED = PastTraining(
    backbone=KEY,
    method="full_finetune",
    device="cpu",
    slowness=1.0,
    machine="This processor",
    size_px=128,
    images_per_s=21.4,
    memory_mb=1144.4,  # MiB, which are 1.2 GB
)


@pytest.fixture
def page(
    qtbot, engine: ScriptedEngine, open_session: Callable[[Path], Session], split_folder: Path
) -> ModelPanel:
    engine.completes(
        "doctor",
        device="cpu",
        devices=[{"key": "cpu", "name": "This processor"}],
        weights={KEY: "embedded"},
        added_weights=[OWN],
    )
    session = open_session(split_folder)
    page = ModelPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    with qtbot.waitSignal(session.device_changed):
        page.on_shown()
    qtbot.waitUntil(lambda: session.advice.facts is not None)
    page.show()
    return page


def know(page: ModelPanel, *past: PastTraining) -> None:
    advice = page.session.advice
    assert advice.facts is not None
    advice._facts = replace(advice.facts, past=past)
    advice.changed.emit()


def fact(page: ModelPanel, name: str) -> str:
    return next(w.text() for w in page.findChildren(QLabel) if w.accessibleName() == name)


def card(page: ModelPanel, title: str) -> ChoiceCard:
    return next(c for c in page.findChildren(ChoiceCard) if c.text() == title)


def chips(page: ModelPanel) -> list[str]:
    return [chip.text() for chip in card(page, "EfficientNet-Lite0").findChildren(Chip)]


def test_speed_and_memory_are_those_that_a_training_here_had(page: ModelPanel) -> None:
    know(page, TRAINED)
    assert fact(page, "Speed of training here") == "21 images/s"
    assert fact(page, "Memory of training here") == "1.2 GB"
    assert fact(page, "Measured with") == "Full fine-tuning · 128 px"
    assert "21 images/s here" in chips(page)


def test_a_training_with_the_chosen_method_goes_before_newer_ones(page: ModelPanel) -> None:
    page.choose_method("full_finetune")
    know(page, replace(TRAINED, method="adversarial", images_per_s=3.9), TRAINED)
    assert "21 images/s here" in chips(page)
    assert fact(page, "Measured with") == "Full fine-tuning · 128 px"
    page.choose_method("lora")
    assert fact(page, "Measured with") == "Adversarial training · 128 px"


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"machine": "Another processor"},
        {"machine": ""},  # an early version didn't note it
        {"images_per_s": 0.0},
        {"backbone": "resnet18"},
    ],
)
def test_what_is_not_known_of_this_computer_is_a_dash(page: ModelPanel, elsewhere) -> None:
    know(page, replace(TRAINED, **elsewhere))
    assert fact(page, "Speed of training here") == "–"
    assert fact(page, "Memory of training here") == "–"
    assert "no training" in fact(page, "Measured with")
    assert not [text for text in chips(page) if "here" in text]


def test_a_card_says_which_weights_were_chosen(page: ModelPanel) -> None:
    assert "weights built in" in chips(page)
    page.choose_weights(KEY, "file:abc")
    assert "weights built in" not in chips(page)
    assert "your own weights" in chips(page)
    assert "non-commercial" in chips(page)  # as the licence of those weights says
    page.choose_weights(KEY, "scratch")
    assert "random weights" in chips(page)
    page.choose_backbone("efficientnet_lite2")
    assert "weights built in" in chips(page)


@pytest.mark.parametrize("text_scale", [1.0, 1.5])
def test_a_recommended_title_stays_on_one_line(qtbot, page: ModelPanel, text_scale: float) -> None:
    theme().set_text_scale(text_scale)
    page.session.advice.changed.emit()

    def is_one_line(shown: ChoiceCard) -> bool:
        label = next(w for w in shown.findChildren(QLabel) if w.text() == shown.text())
        return label.heightForWidth(label.width()) < 1.9 * label.fontMetrics().lineSpacing()

    for title in ("Linear probe", "EfficientNet-Lite0"):
        shown = card(page, title)
        qtbot.waitUntil(partial(is_one_line, shown))
        badges = [c for c in shown.findChildren(Chip) if c.text() == "Recommended"]
        assert [badge.isVisibleTo(shown) for badge in badges].count(True) == 1
