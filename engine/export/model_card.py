"""The model card that goes with a bundle, for the people who will apply it.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from typing import Any, Final

from engine.bundle.format import BundleFacts
from engine.contract.backbones import backbone_card
from engine.contract.methods import method_card
from engine.contract.units import PLURALS, units
from engine.evaluate.report import measured_on
from engine.metrics.few_groups import scarcity_sentence

_UNDEFINED: Final = "not defined"


def model_card(facts: BundleFacts) -> str:
    """Return the card as Markdown."""
    return (
        "\n\n".join(
            [
                f"# {facts.name}",
                f"**{facts.intended_use}** No approval as a medical device exists. Results "
                "hold for images like those described below; elsewhere they must be measured "
                "again.",
                _task(facts),
                _results(facts),
                _data(facts),
                _network(facts),
                _input(facts),
                "## Versions\n\n" + _bullets(facts.versions),
            ]
        )
        + "\n"
    )


def _task(facts: BundleFacts) -> str:
    if facts.is_multi:
        return _findings_task(facts)
    lines = ["## Task", "", f"Classes, in order: {', '.join(facts.classes)}."]
    if facts.threshold is not None and facts.positive is not None:
        lines.append(
            f"An image counts as '{facts.classes[facts.positive]}' from a probability of "
            f"{facts.threshold:.3f} on. That threshold maximises Youden's index on the validation "
            "images."
        )
    else:
        lines.append("The class with the largest probability wins.")
    return "\n".join(lines)


def _findings_task(facts: BundleFacts) -> str:
    lines = [
        "## Task",
        "",
        "Any number of these findings in an image, each with a probability of its own. A finding "
        "counts as present from its threshold on, which maximises Youden's index on the validation "
        "images of which it is known.",
        "",
        "| finding | threshold |",
        "|---|---|",
    ]
    for name, threshold in zip(facts.classes, facts.thresholds, strict=True):
        lines.append(f"| {_cell(name)} | {threshold:.3f} |")
    return "\n".join(lines)


def _findings_results(found: list[dict[str, Any]]) -> list[str]:
    """Return the table of the findings, each on the test images where it is known."""
    lines = [
        "",
        "| finding | present | absent | unknown | AUROC | average precision | sensitivity "
        "| specificity | Brier | calibration error |",
        "|---" * 10 + "|",
    ]
    for finding in found:
        counts = (str(finding[name]) for name in ("n_present", "n_absent", "n_unknown"))
        rates = (
            _with_interval(finding[name])
            for name in ("auroc", "average_precision", "sensitivity", "specificity")
        )
        gaps = (_number(finding[name]) for name in ("brier", "calibration_error"))
        cells = (_cell(finding["name"]), *counts, *rates, *gaps)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _with_interval(estimate: dict[str, Any]) -> str:
    return f"{_number(estimate['value'])} ({_limits(estimate)})"


def _limits(estimate: dict[str, Any]) -> str:
    """Return an interval in words; resamples that all lack a class leave none."""
    low, high = (_number(estimate[k]) for k in ("low", "high"))
    return "no interval" if _UNDEFINED in (low, high) else f"{low} to {high}"


def _results(facts: BundleFacts) -> str:
    test, unit = facts.metrics.get("test"), facts.data["kept_together"]
    lines = ["## Results", ""]
    if test is None:
        lines.append("The test set has not been looked at; there is no honest figure yet.")
    else:
        lines += [
            f"Test set: {test['n_images']} images of {units(unit, test['n_patients'])}, looked at "
            f"{test['looks']} time{'s' if test['looks'] != 1 else ''} with this run. Intervals are "
            f"95 %, from resampled {PLURALS[unit]}.",
            "",
            "| measure | value | interval |",
            "|---|---|---|",
        ]
        for name, interval in test["intervals_95"].items():
            label = f"mean {name}" if facts.is_multi else name
            value, limits = _number(interval["value"]), _limits(interval)
            lines.append(f"| {label.replace('_', ' ')} | {value} | {limits} |")
        lines += _findings_results(test.get("findings", [])) if facts.is_multi else []
        if (n_known := test.get("n_known", 0)) != 0:
            told = measured_on(test["n_patients"], n_known, unit)
            lines += ["", f"{told[0].upper()}{told[1:]}."]
        lines += _cautions(facts, "test")
    val = facts.metrics.get("validation_auroc")
    if val is not None:
        lines += ["", f"Validation AUROC (used for choices, so optimistic): {val:.3f}."]
        lines += _cautions(facts, "val")
    return "\n".join(lines)


def _cautions(facts: BundleFacts, part: str) -> list[str]:
    """Return what is to be said of classes too small to measure; earlier bundles don't tell."""
    scarce = facts.data.get("scarce", {}).get(part, {})
    name = {"val": "validation", "test": "test"}[part]
    said = scarcity_sentence(scarce, name, facts.data["kept_together"])
    return ["", said] if said else []


def _data(facts: BundleFacts) -> str:
    unit = PLURALS[facts.data["kept_together"]]
    lines = ["## Data", "", f"| split | {' | '.join(map(_cell, facts.classes))} | {unit} |"]
    lines.append("|---" * (len(facts.classes) + 2) + "|")
    for split, counts in facts.data["images"].items():
        numbers = " | ".join(str(counts[name]) for name in facts.classes)
        lines.append(f"| {split} | {numbers} | {facts.data['patients'][split]} |")
    if facts.is_multi:
        lines += ["", "The numbers are images that show each finding."]
    together = facts.data["kept_together"]
    lines += ["", f"All images of one {together} are in the same split."]
    if together != "patient":
        lines.append("Patient ids were not known, so patients may be on both sides.")
    return "\n".join(lines)


def _network(facts: BundleFacts) -> str:
    card, method = backbone_card(facts.backbone.key), method_card(_method_key(facts))
    bullets = {
        "backbone": card.title if card else facts.backbone.key,
        "pre-trained on": facts.backbone.pretrained_on,
        "licence of the pre-trained weights": facts.backbone.licence,
        "adapted by": f"{method.title if method else _method_key(facts)}, preset "
        f"{facts.method['preset']}, {facts.method['epochs']} epochs",
        "arithmetic": facts.precision,
    }
    if facts.members:
        keys = [member.key for member in facts.members]
        bullets["backbone"] = ", ".join(
            card.title if (card := backbone_card(k)) else k for k in keys
        )
        bullets["adapted by"] = (
            f"training {len(keys)} networks apart; an image's probabilities are the mean of theirs"
            if len(keys) > 1
            else "training one network; an image's probabilities are the mean over moved copies"
        )
    if facts.is_difference:
        bullets["stored"] = (
            "only what differs from the pre-trained weights, which must be on the computer that "
            f"reads this (SHA-256 {facts.backbone.weights_digest})"
        )
    return "## Network\n\n" + _bullets(bullets)


def _input(facts: BundleFacts) -> str:
    image = facts.image
    bullets = {
        "size": f"{image.size_px} x {image.size_px} pixels, {image.fit}, padding {image.padding}",
        "window": image.window,
        "channels": str(image.channels),
        "mean, std": f"{facts.backbone.mean}, {facts.backbone.std} for values in [0, 1]",
        "image contract": image.key(),
    }
    return "## Input\n\n" + _bullets(bullets)


def _method_key(facts: BundleFacts) -> str:
    return str(facts.method["settings"]["method"]["key"])


def _bullets(items: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in items.items())


def _cell(text: str) -> str:
    """Return text that stays inside its cell of a table."""
    return text.replace("|", "\\|")


def _number(value: Any) -> str:
    return _UNDEFINED if value is None or value != value else f"{value:.3f}"
