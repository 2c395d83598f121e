"""Words and numbers of runs as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale

from engine.contract.backbones import backbone_card
from engine.contract.methods import PRESETS, method_card
from engine.contract.records import RunSummary
from engine.contract.results import Estimate
from engine.contract.searching import ENSEMBLE
from gui.next_run import SCRATCH

__all__ = [
    "backbone_name",
    "backbone_text",
    "findings_text",
    "interval_text",
    "method_name",
    "network_text",
    "number_text",
    "percent_text",
    "preset_name",
    "run_title",
    "state_name",
    "when_text",
    "with_weights",
]

_DIGITS: Final = 3
_MOST_LETTERS: Final = 32
_FILE: Final = "file:"


def preset_name(key: str) -> str:
    """Return the name of a preset."""
    return next((_tr(card.title) for card in PRESETS if card.key == key), key)


def backbone_name(key: str) -> str:
    """Return the name of a backbone."""
    card = backbone_card(key)
    return _tr(card.title) if card is not None else key


def method_name(key: str) -> str:
    """Return the name of a method."""
    if key == ENSEMBLE:
        return _tr("Combined")
    card = method_card(key)
    return _tr(card.title) if card is not None else key


def state_name(state: str) -> str:
    """Return how a run stands or ended."""
    names = {
        "running": _tr("running"),
        "paused": _tr("paused"),
        "interrupted": _tr("interrupted"),
        "completed": _tr("completed"),
        "stopped": _tr("stopped, best kept"),
        "canceled": _tr("canceled"),
        "failed": _tr("failed"),
    }
    return names.get(state, state)


def when_text(seconds: float) -> str:
    """Return a time in short local form."""
    moment = QDateTime.fromSecsSinceEpoch(int(seconds))
    return QLocale().toString(moment, QLocale.FormatType.ShortFormat)


def run_title(run: RunSummary) -> str:
    """Return what tells a run from others: when, method, backbone and weights, preset, finding."""
    parts = [when_text(run.created), method_name(run.method), backbone_text(run)]
    if run.method != ENSEMBLE:
        parts.append(preset_name(run.preset))
    return " · ".join(filter(None, [*parts, findings_text(run.findings)]))


def _weights_text(run: RunSummary) -> str:
    """Return what the weights that a run began from are called; empty for built-in ones.

    Of a run that applies another classifier as it is, the classifier's name.
    """
    if run.weights_name:
        return run.weights_name
    # Without a name of a file: the recipe, which names it, is lost.
    return "" if run.method == ENSEMBLE and run.weights == SCRATCH else weights_text(run.weights)


def weights_text(weights: str) -> str:
    """Return what is known of weights that nothing names, as settings call them.

    Empty for built-in ones.
    """
    if weights.startswith(_FILE):
        return weights.removeprefix(_FILE)
    return _tr("from scratch") if weights == SCRATCH else ""


def network_text(run: RunSummary) -> str:
    """Return backbone and method of a run, with the weights where they aren't the built-in ones."""
    return f"{backbone_text(run)}, {method_name(run.method)}"


def backbone_text(run: RunSummary) -> str:
    """Return the name of a run's backbone, and of its weights where those aren't built in.

    Of one that combines others, of their weights alone.
    """
    weights = _weights_text(run)
    if run.method == ENSEMBLE:
        return weights
    return with_weights(run.backbone, weights)


def with_weights(key: str, weights: str) -> str:
    """Return the name of a backbone, and of its weights unless that is empty."""
    if len(weights) > _MOST_LETTERS:
        weights = f"{weights[: _MOST_LETTERS - 1].rstrip()}…"
    return f"{backbone_name(key)} ({weights})" if weights else backbone_name(key)


def findings_text(findings: Sequence[str]) -> str:
    """Return which of several findings a run learned: "Nodule" or "3 findings at once".

    Empty where images have one class.
    """
    if len(findings) < 2:
        return "".join(findings)
    return _tr("%s findings at once") % QLocale().toString(len(findings))


def number_text(value: float | None, digits: int = _DIGITS) -> str:
    """Return a localised number, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return QLocale().toString(float(value), "f", digits)


def percent_text(share: float) -> str:
    """Return a share in [0, 1] as whole percents."""
    return _tr("%s %%") % QLocale().toString(100.0 * share, "f", 0)


def interval_text(estimate: Estimate | None) -> str:
    """Return "0.79 – 0.92", or nothing where the interval is unknown."""
    if estimate is None or not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return ""
    # Blanks at which no line breaks: an interval is read as one.
    return f"{number_text(estimate.low, 2)}\u00a0–\u00a0{number_text(estimate.high, 2)}"


def _tr(text: str) -> str:
    return QCoreApplication.translate("RunWords", text)
