"""A result for people at a terminal: what the window shows of it, in plain lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from engine.contract.backbones import backbone_card
from engine.contract.commands import Command, Search
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain
from engine.contract.methods import method_card
from engine.contract.shell import train_line
from engine.progress_display import length_of_time

_TITLES: Final = {
    "train_images_per_s": "images learned a second",
    "looks": "looks at the test images",
    "skill_kept": "skill kept when degraded",
    "is_masking_suspected": "attack may have failed",
    "seconds": "time",
    "size_px": "image size in px",
}
_MOST_FILES: Final = 20
_IN_SENTENCES: Final = ("mean", "sd", "sentence", "minutes", "n_known", "caution")
"""Facts that other lines say with their meaning."""


def result_text(result: Mapping[str, Any], command: Command) -> str:
    """Return the plain result of a command as lines."""
    lines = [*_facts(result), *_method_facts(result.get("method_facts") or {})]
    notes = [*result.get("warnings", []), *result.get("notes", []), result.get("caution", "")]
    lines += [f"Note: {note}" for note in notes if note]
    lines += [*_thresholds(result), *_left_out(result.get("skipped") or ())]
    lines += [finding_line(found) for found in result.get("findings", []) if "result" in found]
    sentences = result.get("sentences", [])
    if (sentence := result.get("sentence")) and sentence not in sentences:
        lines.append(sentence)
    lines += sentences
    lines += _folds(result.get("folds") or ())
    lines += [*_attacks(result.get("attacks") or ()), *_degraded(result.get("corruptions") or ())]
    if isinstance(command, Search):
        lines += _trials(result["rows"], command.project)
    return "\n".join(lines)


def finding_line(found: Mapping[str, Any]) -> str:
    """Return one of several findings of an evaluation in a line."""
    own = found["result"]
    counts = f"{found['n_present']} present, {found['n_absent']} absent"
    if found["n_unknown"]:
        counts += f", {found['n_unknown']} unknown"
    auroc = f"AUROC {own['auroc']:.3f} ({own['auroc_low']:.3f} to {own['auroc_high']:.3f})"
    rates = f"sensitivity {own['sensitivity']:.3f}, specificity {own['specificity']:.3f}"
    precision = f"average precision {found['average_precision']['value']:.3f}"
    return f"{found['name']}: {auroc}, {precision}, {rates}; {counts}"


def _thresholds(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield from which probability each finding counts as present."""
    if thresholds := result.get("thresholds"):
        pairs = zip(result["classes"], thresholds, strict=True)
        each = ", ".join(f"{name} {_number(threshold)}" for name, threshold in pairs)
        yield f"Present from a probability of: {each}"


def _left_out(skipped: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the files that were left out, each with the reason; of many, the first."""
    lines = [f"Left out: {file['path']}: {file['reason']}" for file in skipped[:_MOST_FILES]]
    n_more = len(skipped) - len(lines)
    return [*lines, f"and {n_more:,} more; --json tells them all"] if n_more else lines


def _facts(result: Mapping[str, Any]) -> list[str]:
    """Return the single facts, one a line; what isn't known has none."""
    bounds = [f"{name}_{end}" for name in result for end in ("low", "high")]
    texts = {
        _title(name): text
        for name, value in result.items()
        if name not in (*_IN_SENTENCES, *bounds) and (text := _text(name, value, result))
    }
    width = max(map(len, texts), default=0)
    return [f"{title:>{width}}  {text}" for title, text in texts.items()]


def _title(name: str) -> str:
    words = ["AUROC" if word == "auroc" else word for word in name.removeprefix("n_").split("_")]
    return _TITLES.get(name, " ".join("validation" if word == "val" else word for word in words))


def _text(name: str, value: Any, result: Mapping[str, Any]) -> str:
    """Return a fact's value; empty if it is nothing, or nothing for a line."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float() if not math.isfinite(value):
            return ""
        case int() | float() if name == "seconds":
            given = result.get("minutes")
            return _time(value) + (f" of {_time(60 * given)}" if given else "")
        case float() if f"{name}_low" in result:
            return _interval(value, result[f"{name}_low"], result[f"{name}_high"])
        case float():
            return _number(value)
        case str() if name in ("backbone", "method"):
            return _named(name, value)
        case int() | str():
            return str(value)
        case {"value": float(), "low": float(), "high": float()}:
            return _interval(value["value"], value["low"], value["high"])
        case dict() if all(isinstance(item, int) for item in value.values()):
            return ", ".join(f"{key} {item}" for key, item in value.items())
    return ""


def _method_facts(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a method says of the network it made."""
    if added := facts.get("added"):
        yield (
            f"{added['weights']:,} weights were learned beside the pre-trained ones, "
            f"{_percent(added['share'])} as many as there are; they are now part of the network."
        )
    if untouched := facts.get("untouched"):
        yield "Weights that stayed exactly as pre-trained:"
        rows = [(layer["name"].capitalize(), _kept(layer)) for layer in untouched["layers"]]
        of_trained = untouched.get("share_of_trained")
        if of_trained is not None and not all(
            la.get("trained", True) for la in untouched["layers"]
        ):
            rows.append(("All that were trained", _percent(of_trained)))
        yield from _table((), [*rows, ("All", _percent(untouched["share"]))])
    if moved := facts.get("moved"):
        yield "Distance from the pre-trained weights, in percent of their norm:"
        rows = [(layer["name"].capitalize(), _moved(layer)) for layer in moved["layers"]]
        if (of_trained := moved["distance_of_trained"]) is not None:
            rows.append(("All that were trained", f"{100 * of_trained:.1f} %"))
        yield from _table((), rows)
    if "strength" in facts:
        yield _strength(facts)
    yield from (facts[name] for name in ("direct_use", "likeness", "seen") if name in facts)


def _kept(layer: Mapping[str, Any]) -> str:
    if not layer.get("trained", True):
        return "not trained"
    return _percent(layer["untouched"] / max(1, layer["weights"]))


def _moved(layer: Mapping[str, Any]) -> str:
    return f"{100 * layer['distance']:.1f} %" if layer["trained"] else "not trained"


def _strength(facts: Mapping[str, Any]) -> str:
    strength, tried = facts.get("strength") or 0.0, facts.get("tried") or ()
    if not tried:
        return f"The pull towards the pre-trained weights was set to {strength:.3g}."
    aurocs = ", ".join(f"{pull:.3g}: {auroc:.3f}" for pull, auroc in tried)
    return (
        f"A pull of {strength:.3g} was chosen: the strongest that was as good on validation as the "
        f"best. AUROC after a short training with each: {aurocs}."
    )


def _trials(rows: Sequence[Mapping[str, Any]], project: str) -> Iterator[str]:
    """Yield the settings that a search tried, the best first, and how to train with them."""
    heads = ("AUROC", "", "time", "round", "settings")
    cells = []
    for place, row in enumerate(rows):
        settings = [_named("backbone", row["backbone"]), _named("method", row["method"])]
        mark = "as good" if place and row["is_as_good"] else ""
        text = ", ".join([*settings, *row["changes"]])
        cells.append((f"{row['auroc']:.3f}", mark, _time(row["seconds"]), str(row["round"]), text))
    yield from _table(heads, cells)
    best = rows[0]
    yield f"To train the best: {_command(best, project)}"
    # The times of different rounds can't be compared.
    equal = [row for row in rows if row["is_as_good"] and row["round"] == best["round"]]
    fastest = min(equal, key=lambda row: float(row["seconds"]), default=best)
    if _time(fastest["seconds"]) != _time(best["seconds"]):
        yield f"To train the fastest that is as good: {_command(fastest, project)}"


def _command(row: Mapping[str, Any], project: str) -> str:
    config: ExperimentConfig = from_plain(ExperimentConfig, row["config"])
    return train_line(project, config)


def _folds(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = ("part", "learned from", "held out", "AUROC", "time")
    rows = [
        (
            str(fold["fold"]),
            str(fold["n_train"]),
            str(fold["n_held_out"]),
            f"{fold['auroc']:.3f}",
            _time(fold["seconds"]),
        )
        for fold in folds
    ]
    return _table(heads, rows)


def _attacks(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a measurement of robustness by the strength of the worst change."""
    rows = [
        (
            f"{point['epsilon_255']:g} of 255",
            _bounded(point["accuracy"]),
            _bounded(point["auroc"]),
            _number(point["noise"]),
        )
        for point in points
    ]
    return _table(("worst change", "accuracy", "AUROC", "accuracy, random change"), rows)


def _degraded(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the AUROC by kind of degradation, from slight to severe."""
    aurocs: dict[str, list[str]] = {}
    for point in points:
        aurocs.setdefault(point["kind"], []).append(_number(point["auroc"]["value"]))
    rows = [(kind, ", ".join(numbers)) for kind, numbers in aurocs.items()]
    return _table(("degradation", "AUROC from slight to severe"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows in columns of equal width below their heads; nothing without rows."""
    if not rows:
        return []
    lines = [heads, *rows] if heads else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  " + "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _named(what: str, key: str) -> str:
    card = backbone_card(key) if what == "backbone" else method_card(key)
    return card.title if card is not None else key


def _bounded(estimate: Mapping[str, float]) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if not (math.isfinite(low) and math.isfinite(high)):
        return _number(value)
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _interval(value: float, low: float, high: float) -> str:
    """Return a figure with its interval, or alone where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return _number(value)
    return f"{value:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _number(value: float) -> str:
    return f"{value:.3f}" if 0.01 <= abs(value) <= 1 or value == 0 else f"{value:.4g}"


def _percent(share: float) -> str:
    """Return a share in percents, with a decimal where whole ones would say none or all."""
    is_plain = share in (0.0, 1.0) or 0.01 <= share <= 0.99
    return f"{100 * share:.0f} %" if is_plain else f"{100 * share:.1f} %"


def _time(seconds: float) -> str:
    if seconds >= 10:
        return length_of_time(seconds)
    return f"{seconds:.1f} s" if seconds >= 0.05 else "under 0.1 s"
