"""The model page: what is recommended, what weights are here, what each setting may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton, QToolButton, QWidget

from engine.contract.commands import AddWeights
from engine.contract.config import OptimizerConfig, preset_config
from engine.contract.events import FAILED, JobFinished, JobStarted
from engine.contract.methods import METHODS
from gui.next_run import WeightsState, with_method, with_preset
from gui.panels.method_about import MethodAbout
from gui.panels.model import ModelPanel
from gui.panels.setting_fields import setting_groups, with_value
from gui.stages import Stage
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.message_bar import MessageKind
from gui.widgets.number_input import DecimalInput, NumberInput

WEIGHTS = {
    "efficientnet_lite0": "embedded",
    "resnet18": "added",
    "densenet121": "missing",
    "mobilenet_v3_small": "missing",
    "efficientnet_b0": "missing",
    "squeezenet1_0": "missing",
}


@pytest.fixture
def page(qtbot, engine, open_session, split_folder):
    engine.completes("doctor", device="cpu", weights=WEIGHTS)
    session = open_session(split_folder)
    page = ModelPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    with qtbot.waitSignal(session.device_changed):
        page.on_shown()
    page.show()
    return page


def card(page: ModelPanel, title: str) -> ChoiceCard:
    return next(c for c in page.findChildren(ChoiceCard) if c.text() == title)


def button(page: ModelPanel, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text)


def open_details(qtbot, page: ModelPanel) -> None:
    next(b for b in page.findChildren(QToolButton) if b.text() == "Details").click()
    names = {s.label for settings in setting_groups().values() for s in settings}
    qtbot.waitUntil(lambda: names <= {w.accessibleName() for w in page.findChildren(QWidget)})


def messages(page: ModelPanel) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    return heard


def test_a_method_that_takes_longer_leaves_the_quick_preset():
    config = with_method(preset_config("quick"), "full_finetune")

    assert (config.preset, config.method.key) == ("standard", "full_finetune")
    assert with_method(config, "linear_probe").preset == "quick"


def test_another_preset_keeps_what_it_does_not_decide():
    config = replace(preset_config("standard", seed=7), optimizer=OptimizerConfig(batch_size=8))

    longer = with_preset(config, "thorough")

    assert (longer.seed, longer.optimizer.batch_size) == (7, 8)
    assert longer.method == preset_config("thorough").method


def test_cards_say_where_the_weights_are(page):
    assert "built in" in card(page, "EfficientNet-Lite0").accessibleDescription()
    assert "added" in card(page, "ResNet-18").accessibleDescription()
    assert "missing" in card(page, "DenseNet-121").accessibleDescription()
    assert "8.0 M parameters" in card(page, "DenseNet-121").accessibleDescription()


def test_a_backbone_without_weights_is_trained_from_scratch_with_a_warning(qtbot, page):
    qtbot.mouseClick(card(page, "DenseNet-121"), Qt.MouseButton.LeftButton)

    backbone = page.session.config.backbone
    assert (backbone.key, backbone.weights) == ("densenet121", "scratch")
    warning = next(w for w in page.findChildren(QLabel) if "from scratch" in w.text())
    assert warning.isVisible()

    qtbot.mouseClick(card(page, "ResNet-18"), Qt.MouseButton.LeftButton)
    assert page.session.config.backbone.weights == "pretrained"
    assert not warning.isVisible()


def test_added_weights_are_recognised_and_their_backbone_is_chosen(qtbot, engine, page):
    heard = messages(page)
    engine.completes("add_weights", backbone="densenet121", name="d", n_tensors=604, warnings=[])
    engine.completes("doctor", device="cpu", weights={**WEIGHTS, "densenet121": "added"})

    page.add_weights(Path("somewhere/densenet.pth"))
    qtbot.waitUntil(lambda: page.session.config.backbone.key == "densenet121")

    assert engine.asked("add_weights") == [AddWeights(file=str(Path("somewhere/densenet.pth")))]
    assert page.session.config.backbone.weights == "pretrained"
    kind, what, *_ = heard[0]
    assert kind is MessageKind.SUCCESS
    assert "densenet.pth" in what and "DenseNet-121" in what and "604" in what


def test_refused_weights_say_why_and_what_to_do(qtbot, engine, page):
    heard = messages(page)
    refused = JobFinished(
        kind="add_weights", outcome=FAILED, error="It is a pickle.", remedy="Ask."
    )
    engine.plays("add_weights", JobStarted(kind="add_weights"), refused)

    page.add_weights(Path("bad.pth"))
    qtbot.waitUntil(lambda: bool(heard))

    kind, what, remedy, actions = heard[0]
    assert (kind, what, remedy) == (MessageKind.ERROR, "bad.pth: It is a pickle.", "Ask.")
    assert len(actions) == 1
    assert button(page, "Add weights…").isEnabled()


def test_every_setting_that_no_card_chooses_is_in_the_details():
    paths = {s.path for settings in setting_groups().values() for s in settings}

    assert {"optimizer.learning_rate", "runtime.precision", "seed", "method.patience"} <= paths
    assert not paths & {"preset", "backbone.key", "backbone.weights", "method.key"}
    # How files become pixels is fixed for a project when they are imported.
    assert not any(path.startswith("image.") for path in paths)
    assert all(s.help for group, settings in setting_groups().items() if group for s in settings)


def test_details_take_values_within_the_limits_only_and_reset_them(qtbot, page):
    open_details(qtbot, page)
    batch = next(b for b in page.findChildren(NumberInput) if b.accessibleName() == "Batch size")
    rate = next(b for b in page.findChildren(DecimalInput) if b.accessibleName() == "Learning rate")
    assert (batch.minimum(), batch.maximum()) == (1, 1024)
    assert rate.text() == f"{OptimizerConfig().learning_rate:g}"

    batch.setValue(5000)
    assert page.session.config.optimizer.batch_size == 1024

    reset = next(b for b in page.findChildren(QToolButton) if b.toolTip() == "Reset: Batch size")
    reset.click()
    assert page.session.config.optimizer == OptimizerConfig()
    assert not reset.isEnabled()


def test_choices_among_names_are_lists(qtbot, page):
    open_details(qtbot, page)
    combos = page.findChildren(QComboBox)
    precision = next(c for c in combos if c.accessibleName() == "Precision")

    precision.setCurrentIndex(precision.findData("fp32"))

    assert page.session.config.runtime.precision == "fp32"


def visible_texts(page: ModelPanel) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.key)
def test_the_chosen_method_says_how_it_works_and_who_published_it(page, method):
    page.choose_method(method.key)

    shown = visible_texts(page)
    assert method.how in shown
    assert method.reference in shown
    assert not [m for m in METHODS if m is not method and m.how in shown]


def test_a_method_that_needs_more_images_says_so_under_its_card(qtbot, page):
    about = page.findChildren(MethodAbout)[0]
    qtbot.waitUntil(lambda: page.session.advice.found is not None)
    page.choose_method("linear_probe")
    assert not about.shortage

    page.choose_method("adversarial")  # 8 training images of each class

    assert "of each class, and the rarest class has 8" in about.shortage
    assert about.shortage in visible_texts(page)


def test_a_setting_changes_alone():
    config = preset_config("standard")

    changed = with_value(config, "optimizer.warmup", 0.25)

    assert changed == replace(config, optimizer=replace(config.optimizer, warmup=0.25))


def test_going_on_takes_the_recommendation_and_asks_for_training(qtbot, page):
    with qtbot.waitSignal(page.stage_requested) as asked:
        button(page, "Go to training").click()

    assert asked.args == [Stage.TRAIN]
    assert page.session.is_model_chosen


def test_weights_are_unknown_until_the_engine_has_looked(qtbot, session):
    page = ModelPanel(session)
    qtbot.addWidget(page)

    page.choose_backbone("resnet18")

    assert session.config.backbone.weights == "pretrained"
    assert WeightsState("missing") is WeightsState.MISSING


@pytest.mark.parametrize("method", ["soft_threshold", "l2_sp", "lora"])
def test_a_method_that_will_be_refused_without_weights_says_so_before_the_start(page, method):
    page.choose_backbone("densenet121")
    page.choose_method(method)

    [warning] = [w for w in page.findChildren(QLabel) if "needs a pre-trained" in w.text()]

    assert warning.isVisibleTo(page)
    assert warning.text().endswith("or use full fine-tuning.")
    page.choose_method("full_finetune")
    assert "trained from scratch" in warning.text()
    page.choose_backbone("efficientnet_lite0")
    page.choose_method(method)
    assert not warning.isVisibleTo(page)


def test_stochastic_depth_is_offered_for_backbones_that_were_made_for_it(qtbot, page):
    open_details(qtbot, page)
    [field] = [w for w in page.findChildren(DecimalInput) if "tochastic" in w.accessibleName()]
    page.choose_method("full_finetune")
    assert field.isVisibleTo(page)
    page.choose_backbone("squeezenet1_0")
    assert not field.isVisibleTo(page)
    page.choose_backbone("efficientnet_b0")
    assert field.isVisibleTo(page)


def test_frozen_stages_are_not_offered_where_every_layer_is_adapted(qtbot, page):
    open_details(qtbot, page)
    [field] = [w for w in page.findChildren(NumberInput) if "rozen" in w.accessibleName()]
    page.choose_method("full_finetune")
    assert field.isVisibleTo(page)
    page.choose_method("adversarial")
    assert not field.isVisibleTo(page)


def test_only_settings_that_have_an_effect_are_offered(qtbot, page):
    open_details(qtbot, page)
    label = {s.path: s.label for s in setting_groups()["loss"]}
    [gamma] = [
        w
        for w in page.findChildren(DecimalInput)
        if w.accessibleName() == label["loss.focal_gamma"]
    ]
    [smoothing] = [
        w
        for w in page.findChildren(DecimalInput)
        if w.accessibleName() == label["loss.label_smoothing"]
    ]
    page.choose_method("full_finetune")
    assert smoothing.isVisibleTo(page) and not gamma.isVisibleTo(page)
    page.session.choose(with_value(page.session.config, "loss.imbalance", "focal"))
    assert gamma.isVisibleTo(page)
    page.choose_method("linear_probe")
    assert gamma.isVisibleTo(page) and not smoothing.isVisibleTo(page)


def test_whoever_chose_random_weights_is_not_told_that_there_are_no_others(page):
    page.choose_method("full_finetune")
    page.choose_weights("resnet18", "scratch")
    [warning] = [w for w in page.findChildren(QLabel) if "from scratch, as you" in w.text()]
    assert warning.isVisibleTo(page) and "not on this" not in warning.text()
    offers = [b for b in warning.parentWidget().findChildren(QPushButton) if b.isVisibleTo(page)]
    assert not offers, "they are there already"
