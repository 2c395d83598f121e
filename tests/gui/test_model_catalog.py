"""The catalog on the model page: filters, facts, several weights, files that fit in part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton, QTableView, QToolButton

from engine.contract.backbones import BACKBONES
from engine.contract.commands import AddWeights
from engine.contract.events import COMPLETED, FAILED, JobFinished, JobStarted
from gui.dialogs.label_fields import Choice
from gui.dialogs.partial_weights import PartialWeightsDialog
from gui.itemmodels.backbone_table import BackboneFilter, BackboneTable
from gui.next_run import choice_of_file, weights_to_advise
from gui.panels.model import ModelPanel
from gui.widgets.chip import Chip, ChipButton
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.message_bar import MessageKind

WEIGHTS = {card.key: "missing" for card in BACKBONES} | {
    "efficientnet_lite0": "embedded",
    "densenet121": "added",
    "convnextv2_nano": "added",
}


def _added(key: str, name: str, kind: str = "found", **facts: str) -> dict[str, str]:
    defaults = {"licence": "unknown", "pretrained_on": "something"}
    return {"id": f"{key}-{name}", "backbone": key, "name": name, "kind": kind} | defaults | facts


ADDED = [
    _added("convnextv2_nano", "v2", licence="CC-BY-NC-4.0"),
    _added("densenet121", "imagenet"),
    _added("densenet121", "chest", pretrained_on="chest X-rays"),
    _added("resnet18", "two hospitals", "made"),
]
PARTIAL = {
    "backbone": "densenet121",
    "name": "part.pth",
    "fits": False,
    "share": 0.875,
    "n_wanted": 604,
    "missing": 12,
    "misfits": 1,
    "strangers": 0,
    "examples": [{"name": "features.norm5.weight", "problem": "missing", "wanted": [1024]}],
    "warnings": [],
}


@pytest.fixture
def page(qtbot, engine, open_session, split_folder):
    engine.completes("doctor", device="cpu", weights=WEIGHTS, added_weights=ADDED)
    session = open_session(split_folder)
    page = ModelPanel(session)
    qtbot.addWidget(page)
    page.resize(1182, 656)
    with qtbot.waitSignal(session.device_changed):
        page.on_shown()
    page.show()
    return page


def fold(page: ModelPanel) -> QToolButton:
    return next(b for b in page.findChildren(QToolButton) if b.text().startswith("All "))


def table(page: ModelPanel) -> QTableView:
    return next(t for t in page.findChildren(QTableView) if t.accessibleName() == "All backbones")


def names(page: ModelPanel) -> list[str]:
    rows = table(page).model()
    return [rows.index(row, 0).data() for row in range(rows.rowCount())]


def press(page: ModelPanel, text: str) -> None:
    next(b for b in page.findChildren(ChipButton) if b.text() == text).click()


def weights_box(page: ModelPanel) -> Choice:
    return next(
        c for c in page.findChildren(Choice) if c.accessibleName() == "Weights to start from"
    )


def fact(page: ModelPanel, name: str) -> str:
    return next(w.text() for w in page.findChildren(QLabel) if w.accessibleName() == name)


def messages(page: ModelPanel) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    return heard


def use(dialog: PartialWeightsDialog) -> None:
    next(b for b in dialog.findChildren(QPushButton) if b.text() == "Use it").click()


def says(dialog: PartialWeightsDialog, text: str) -> bool:
    return any(text in label.text() for label in dialog.findChildren(QLabel))


def test_a_few_backbones_have_cards_and_all_are_in_the_table(page):
    titles = {card.text() for card in page.findChildren(ChoiceCard)}
    assert titles >= {card.title for card in BACKBONES if card.is_featured}
    assert "RegNetY-400MF" not in titles
    assert not table(page).isVisible()
    fold(page).click()
    assert table(page).isVisible()
    assert names(page) == [card.title for card in BACKBONES]


def test_search_and_filters_narrow_the_table(page):
    fold(page).click()
    search = next(e for e in page.findChildren(QLineEdit) if e.accessibleName().startswith("Sea"))
    search.setText("vit_small")
    assert names(page) == ["ViT-Small/16"]
    search.setText("chest")
    assert names(page) == ["DenseNet-121"]
    search.clear()
    press(page, "Weights here")
    assert names(page) == ["EfficientNet-Lite0", "DenseNet-121", "ConvNeXt V2 Nano"]
    rows = table(page).model()
    licences = [rows.index(row, 5).data() for row in range(rows.rowCount())]
    assert licences == ["Apache-2.0", "unknown", "CC-BY-NC-4.0, non-commercial"]
    press(page, "Commercial use allowed")
    assert names(page) == ["EfficientNet-Lite0"]
    search.setText("swin")
    assert not table(page).isVisible()
    assert any("No backbone" in label.text() for label in page.findChildren(QLabel))


def test_family_and_parameters_are_filters_too():
    table = BackboneTable(lambda key: key, lambda key: "MIT")
    rows = BackboneFilter(table, lambda key: False)
    wishes: dict[str, Any] = {"search": "", "only_here": False, "only_free": False}
    rows.set_wishes(family="ConvNeXt", most_parameters=10_000_000, **wishes)
    shown = [rows.index(row, 0).data() for row in range(rows.rowCount())]
    assert shown == ["ConvNeXt Atto", "ConvNeXt Femto", "ConvNeXt Pico"]
    rows.set_wishes(family="", most_parameters=0, **wishes)
    rows.sort(2, Qt.SortOrder.AscendingOrder)
    assert rows.index(0, 0).data() == "SqueezeNet 1.0", "numbers are sorted as numbers"


def test_a_row_of_the_table_chooses_its_backbone(page):
    fold(page).click()
    table(page).selectRow(names(page).index("ConvNeXt V2 Nano"))
    backbone = page.session.config.backbone
    assert (backbone.key, backbone.weights) == ("convnextv2_nano", "pretrained")
    assert not any(c.isChecked() for c in page.findChildren(ChoiceCard) if c.text() == "ResNet-18")
    assert fact(page, "Licence of the weights") == "CC-BY-NC-4.0"
    chip = next(c for c in page.findChildren(Chip) if c.text().startswith("Non-commercial"))
    assert chip.isVisible()
    page.choose_weights("convnextv2_nano", "scratch")
    assert fact(page, "Licence of the weights") == "none: its weights are random"
    assert not chip.isVisible()
    page.choose_backbone("densenet121")
    assert not chip.isVisible()


def test_one_of_several_weights_is_chosen_in_a_list(page):
    page.choose_backbone("densenet121")
    box = weights_box(page)
    texts = [box.itemText(i) for i in range(box.count())]
    assert texts == ["imagenet", "chest: chest X-rays", "None: from scratch"]
    box.setCurrentIndex(1)
    assert page.session.config.backbone.weights == "file:densenet121-chest"
    assert fact(page, "Pre-trained on") == "chest X-rays"
    page.session.device_changed.emit()
    assert page.session.config.backbone.weights == "file:densenet121-chest", "it stays chosen"


def test_weights_made_here_are_taken_where_there_are_no_others(page):
    page.choose_backbone("resnet18")
    assert page.session.config.backbone.weights == "file:resnet18-two hospitals"


def test_images_of_certain_sizes_only_are_said(page):
    page.choose_backbone("dinov2_vits14")
    assert "multiples of 14 px" in fact(page, "Image size it was made for")
    assert "vit_small_patch14_dinov2" in fact(page, "Where the weights come from")


def test_a_partial_match_is_shown_and_used_only_when_agreed(qtbot, engine, page):
    refused = JobFinished(kind="add_weights", outcome=FAILED, error="12 are missing.", remedy="x")
    report = JobFinished(kind="add_weights", outcome=COMPLETED, result=PARTIAL)
    engine.runs(
        "add_weights",
        lambda command, _: (
            JobStarted(kind="add_weights"),
            report if command.check_only or command.allow_partial else refused,
        ),
    )
    heard = messages(page)
    page.add_weights(Path("part.pth"))
    qtbot.waitUntil(lambda: bool(page.findChildren(PartialWeightsDialog)))
    dialog = page.findChildren(PartialWeightsDialog)[0]
    texts = [label.text() for label in dialog.findChildren(QLabel)]
    assert any("87.5 %" in text and "part.pth" in text for text in texts)
    assert not heard
    use(dialog)
    qtbot.waitUntil(lambda: bool(heard))
    file = str(Path("part.pth"))
    assert engine.asked("add_weights") == [
        AddWeights(file=file),
        AddWeights(file=file, check_only=True),
        AddWeights(file=file, allow_partial=True),
    ]


def test_a_part_that_can_not_be_kept_says_why_and_is_not_asked_about_again(qtbot, engine, page):
    refused = JobFinished(kind="add_weights", outcome=FAILED, error="12 are missing.", remedy="x")
    report = JobFinished(kind="add_weights", outcome=COMPLETED, result=PARTIAL)
    full = JobFinished(kind="add_weights", outcome=FAILED, error="The disk is full.", remedy="y")

    def plays(command, _):
        end = report if command.check_only else full if command.allow_partial else refused
        return JobStarted(kind="add_weights"), end

    engine.runs("add_weights", plays)
    heard = messages(page)
    page.add_weights(Path("part.pth"))
    qtbot.waitUntil(lambda: bool(page.findChildren(PartialWeightsDialog)))
    use(page.findChildren(PartialWeightsDialog)[0])
    qtbot.waitUntil(lambda: bool(heard))
    assert heard[0][1] == "part.pth: The disk is full."
    assert len(engine.asked("add_weights")) == 3


def test_a_message_names_its_file_and_goes_when_another_is_added(qtbot, engine, page):
    refused = JobFinished(kind="add_weights", outcome=FAILED, error="It is damaged.", remedy="x")
    engine.plays("add_weights", JobStarted(kind="add_weights"), refused)
    heard = messages(page)
    gone: list[str] = []
    page.message_withdrawn.connect(gone.append)
    for number, name in enumerate(("a.pth", "b.pth"), 1):
        page.add_weights(Path(name))
        qtbot.waitUntil(lambda n=number: len(heard) == n)
    first, second = (parts[1] for parts in heard)
    assert (first, second) == ("a.pth: It is damaged.", "b.pth: It is damaged.")
    assert first in gone and second not in gone


def test_a_folder_says_what_was_added_and_what_was_left_out(qtbot, engine, page):
    added = {"file": "g.pth", "backbone": "resnet18", "warnings": ["It takes one channel."]}
    refused = [{"file": "a.pth", "message": "It is damaged.", "remedy": "Copy it."}]
    engine.completes("add_weights", added=[added], partial=[], refused=refused)
    heard = messages(page)
    page.add_weights(Path("folder"))
    qtbot.waitUntil(lambda: bool(heard))
    kind, what, why, actions = heard[0]
    assert kind is MessageKind.WARNING
    assert "added: 1" in what and "out: 1" in what
    assert "a.pth: It is damaged." in why and "g.pth: It takes one channel." in why
    assert not actions


def test_parts_in_a_folder_are_shown_one_after_the_other(qtbot, engine, page):
    parts = [PARTIAL | {"file": name, "name": name} for name in ("x.pth", "y.pth", "z.pth")]
    engine.completes("add_weights", added=[], partial=parts, refused=[])
    heard = messages(page)
    page.add_weights(Path("folder"))
    qtbot.waitUntil(lambda: bool(heard))
    _, what, why, actions = heard[0]
    assert "out: 3" in what and "x.pth" in why
    engine.completes("add_weights", **PARTIAL, id="densenet121-1")
    [action] = actions
    action.run()
    shown = page.findChildren(PartialWeightsDialog)
    assert len(shown) == 1 and says(shown[0], "x.pth")
    shown[0].reject()
    qtbot.waitUntil(lambda: any(says(d, "y.pth") for d in page.findChildren(PartialWeightsDialog)))
    use(next(d for d in page.findChildren(PartialWeightsDialog) if says(d, "y.pth")))
    qtbot.waitUntil(lambda: any(says(d, "z.pth") for d in page.findChildren(PartialWeightsDialog)))
    assert engine.asked("add_weights") == [
        AddWeights(file="folder"),
        AddWeights(file=str(Path("folder") / "y.pth"), allow_partial=True),
    ]


def test_added_weights_are_named_only_where_they_are_not_the_default():
    device = {"weights": WEIGHTS, "added_weights": ADDED}
    assert choice_of_file(device, "densenet121", "densenet121-imagenet") == "pretrained"
    assert choice_of_file(device, "densenet121", "densenet121-chest") == "file:densenet121-chest"
    assert choice_of_file(device, "efficientnet_lite0", "x") == "file:x"
    assert choice_of_file(device, "efficientnet_lite0", "") == "pretrained"


def test_weights_that_leave_layers_random_are_not_advised():
    part = _added("resnet34", "part") | {"is_whole": False}
    whole = _added("resnet50", "whole") | {"is_whole": True}
    device = {
        "weights": {"efficientnet_lite0": "embedded", "resnet34": "added", "resnet50": "added"},
        "added_weights": [part, whole, _added("resnet50", "part") | {"is_whole": False}],
    }
    assert weights_to_advise(device) == {
        "efficientnet_lite0": "embedded",
        "resnet34": "missing",
        "resnet50": "added",
    }
