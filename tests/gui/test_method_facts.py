"""What is shown of a method's facts, and which settings a method has."""

from __future__ import annotations

import re

import pytest
from PySide6.QtCore import QLocale

from engine.contract.config import preset_config
from engine.contract.events import COMPLETED
from engine.contract.limits import OneOf
from engine.contract.methods import METHODS
from engine.files import write_json
from engine.project.store import Project
from gui.panels.method_facts import MethodFactsCard, RunFactsCard
from gui.panels.model_details import ModelDetails
from gui.panels.setting_fields import choice_name, groups_used, setting_groups
from gui.panels.train import TrainPanel
from gui.widgets.card import Card
from gui.widgets.number_input import DecimalInput

UNTOUCHED = {
    "strength": 0.1,
    "tried": [[0.05, 0.95], [0.1, 0.951]],
    "untouched": {
        "share": 0.7,
        "layers": [
            {"name": "stage 1", "weights": 10, "untouched": 10},
            {"name": "stage 2", "weights": 1000, "untouched": 697},
        ],
    },
}


@pytest.fixture
def card(qtbot):
    card = MethodFactsCard()
    qtbot.addWidget(card)
    return card


def test_the_share_of_untouched_weights_is_a_bar_for_each_stage_and_for_all(card):
    assert card.set_facts(UNTOUCHED)
    shown = [(share.name, share.text.replace("\u00a0", " ")) for share in card.bars.shares]
    assert shown == [
        ("Stage 1, next to the image", "100 %"),
        ("Stage 2", "70 %"),
        ("All", "70 %"),
    ]
    assert [share.share for share in card.bars.shares] == pytest.approx([1.0, 0.697, 0.7])


def test_frozen_stages_are_told_apart_from_weights_that_could_change(card):
    layers = [
        {"name": "stage 1", "weights": 10, "untouched": 10, "trained": False},
        {"name": "stage 2", "weights": 90, "untouched": 90, "trained": False},
        {"name": "stage 3", "weights": 400, "untouched": 200, "trained": True},
    ]
    parts = {"share": 0.6, "share_of_trained": 0.5, "layers": layers}
    card.set_facts(UNTOUCHED | {"untouched": parts})
    shown = [(share.name, share.text.replace("\u00a0", " ")) for share in card.bars.shares]
    assert shown == [
        ("Stage 1, next to the image", "not trained"),
        ("Stage 2", "not trained"),
        ("Stage 3", "50 %"),
        ("All that were trained", "50 %"),
    ]
    assert [share.share for share in card.bars.shares] == [None, None, 0.5, 0.5]
    assert "not trained" in card.bars.accessibleDescription()
    assert "60 % of all weights stayed" in card.text.replace("\u00a0", " ")


def test_a_network_without_frozen_stages_has_one_share(card):
    layers = [{"name": "stage 1", "weights": 10, "untouched": 4, "trained": True}]
    parts = {"share": 0.4, "share_of_trained": 0.4, "layers": layers}
    card.set_facts(UNTOUCHED | {"untouched": parts})
    assert [share.name for share in card.bars.shares] == ["Stage 1, next to the image", "All"]
    assert "frozen" not in card.text


def test_the_chosen_strength_is_named_with_what_was_tried(card):
    card.set_facts(UNTOUCHED)
    assert "A pull of 0.1 was chosen" in card.text
    assert "0.05: 0.950" in card.text
    card.set_facts(UNTOUCHED | {"tried": []})
    assert "was set to 0.1" in card.text


def test_distances_are_figures_without_bars(card):
    layers = [
        {"name": "stage 1", "distance": 0.0, "trained": False},
        {"name": "stage 2", "distance": 0.004, "trained": True},
    ]
    moved = {"layers": layers, "distance_of_trained": 0.004}
    assert card.set_facts({"strength": 30.0, "tried": [], "moved": moved})
    shown = [(row.name, row.share, row.text.replace("\u00a0", " ")) for row in card.bars.shares]
    assert shown == [
        ("Stage 1, next to the image", None, "not trained"),
        ("Stage 2", None, "0.4 %"),
        ("All that were trained", None, "0.4 %"),
    ]
    assert "was set to 30" in card.text
    assert "exactly" not in card.title


def test_added_weights_are_told_in_a_line(card):
    assert card.set_facts({"added": {"weights": 177_344, "share": 0.0526}})
    assert f"{QLocale().toString(177_344)} weights" in card.text
    assert not card.bars.isVisibleTo(card)


@pytest.mark.parametrize("fact", ["direct_use", "likeness"])
def test_what_is_applied_as_it_is_says_whether_that_is_reasonable(card, fact):
    assert card.set_facts({fact: "Direct use is reasonable here."})
    assert card.text == "Direct use is reasonable here."
    assert not card.bars.isVisible()


def test_a_method_without_facts_shows_nothing(card):
    assert not card.set_facts({})


def test_every_method_names_stages_that_there_are():
    for method in METHODS:
        assert set(method.settings) <= set(setting_groups()), method.key


@pytest.mark.parametrize(
    ("method", "has", "has_not"),
    [
        ("linear_probe", {"loss"}, {"optimizer", "augmentation", "method", "anchor"}),
        ("full_finetune", {"optimizer", "method"}, {"anchor", "lora", "adversarial", "gradual"}),
        ("soft_threshold", {"anchor", "optimizer"}, {"lora", "adversarial", "gradual"}),
        ("adversarial", {"adversarial"}, {"lora", "anchor"}),
    ],
)
def test_only_the_settings_of_the_chosen_method_are_shown(qtbot, method, has, has_not):
    details = ModelDetails()
    qtbot.addWidget(details)
    config = preset_config("standard", method=method)
    details.set_config(config, config)
    qtbot.waitUntil(lambda: len(details._cards) == len(setting_groups()))
    shown = {group for group, card in details._cards.items() if card.isVisibleTo(details)}
    assert shown == groups_used(config)
    assert has <= shown
    assert not has_not & shown
    other = preset_config("standard", method="full_finetune")
    details.set_config(other, other)
    assert details._cards["optimizer"].isVisibleTo(details)


def test_settings_are_named_in_words(qtbot):
    """Neither field names, nor what is written between back quotes for programmers."""
    for settings in setting_groups().values():
        for setting in settings:
            for text in (setting.label, setting.help):
                assert not re.search(r"[a-z]_[a-z0-9]|`", text), setting.path
            assert not re.search(r"\d", setting.label), setting.path
            for choice in setting.limit.choices if isinstance(setting.limit, OneOf) else ():
                assert "_" not in choice_name(setting.path, choice)
    imbalance = next(s for s in setting_groups()["loss"] if s.path == "loss.imbalance")
    assert "“logits adjusted” takes the frequencies out of the logits" in imbalance.help
    epsilon = next(s for s in setting_groups()["adversarial"] if s.path.endswith("epsilon_255"))
    assert epsilon.unit == "/ 255"


def test_the_order_of_grades_is_set_where_there_are_grades(qtbot):
    details = ModelDetails()
    qtbot.addWidget(details)
    qtbot.waitUntil(lambda: len(details._cards) == len(setting_groups()))

    def shown() -> set[str]:
        editors = details.findChildren(DecimalInput)
        return {e.accessibleName() for e in editors if e.isVisibleTo(details)}

    assert "Weight of the order of grades" not in shown()
    assert "Label smoothing" in shown()
    details.set_grades(has_grades=True)
    assert "Weight of the order of grades" in shown()


def test_advice_on_unequal_classes_stands_beside_the_setting(qtbot):
    details = ModelDetails()
    qtbot.addWidget(details)
    qtbot.waitUntil(lambda: "loss" in details._cards)
    details.set_imbalance_advice("The classes are about equally common.")
    loss = details._cards["loss"]
    assert isinstance(loss, Card)
    assert details._advice in loss.findChildren(type(details._advice))
    assert details._advice.isVisibleTo(loss)


def test_facts_of_a_run_are_shown_again_after_the_project_was_reopened(
    qtbot, engine, open_session, split_folder
):
    with Project.open(split_folder) as project:
        for run in ("20260101-000000", "20260101-000001"):
            project.add_run(run, preset_config("standard", method="soft_threshold"))
            project.update_run(run, outcome=COMPLETED, val_auroc=0.9)
        best = project.run_folder("20260101-000001") / "checkpoints" / "best"
        best.mkdir(parents=True)
        write_json(best / "facts.json", {"method_facts": UNTOUCHED})
    page = TrainPanel(open_session(split_folder))
    qtbot.addWidget(page)
    page.show()
    facts = page.findChildren(RunFactsCard)[0]
    qtbot.waitUntil(facts.isVisible)
    assert facts.bars.shares[-1].text.replace("\u00a0", " ") == "70 %"
    page._history.choose("20260101-000000")
    assert not facts.isVisible()
    page._history.choose("20260101-000001")
    qtbot.waitUntil(facts.isVisible)
    page.session.runs.start(page.session.next_run())
    qtbot.waitUntil(lambda: not facts.isVisible())
