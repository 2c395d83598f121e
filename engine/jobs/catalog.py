"""Jobs on backbones and their weights; torch is loaded when one starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.contract.backbones import BACKBONES, is_noncommercial
from engine.contract.commands import AddWeights, ListBackbones, ListWeights, RemoveWeights
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.events import Event
from engine.jobs.text_table import table_lines
from engine.models.weights_facts import share_words

Emit = Callable[[Event], None]

_MEGA: Final = 1e6
_STATES: Final = {"embedded": "built in", "added": "added", "missing": "add a file"}
_USE_IT: Final = (
    "With --partial they are added all the same, and layers that don't fit start random."
)
_CHECKED: Final = "This was a check: nothing was added."


def list_backbones(command: ListBackbones, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the cards of the backbones with their weights' state, and tables for people.

    Licence and pre-training are those of the weights that are there; where there are none, of the
    library's.
    """
    from engine.models.weights import added_weights, weights_info

    cards, rows = [], [("KEY", "FAMILY", "PARAMETERS", "SIZE", "WEIGHTS", "LICENCE")]
    origins = [("KEY", "PRE-TRAINED ON", "REFERENCE")]
    for card in BACKBONES:
        info = weights_info(card.key)
        licence = card.licence if info.state == "missing" else info.licence
        is_nc = is_noncommercial(licence)
        facts = {
            "licence": licence,
            "is_noncommercial": is_nc,
            "weights": info.state,
            "added": [item.id for item in added_weights(card.key)],
        }
        cards.append(to_plain(card) | facts)
        rows.append(
            (
                card.key,
                card.family,
                f"{card.n_parameters / _MEGA:.1f} M",
                f"{card.input_px} px",
                _STATES[info.state] + ("" if info.is_whole else ", in part"),
                licence + (" (non-commercial)" if is_nc else ""),
            )
        )
        origins.append((card.key, info.pretrained_on or card.pretrained_on, card.reference))
    return {"backbones": cards, "sentences": [*table_lines(rows), "", *table_lines(origins)]}


def add_weights(command: AddWeights, emit: Emit, control: Control) -> dict[str, Any]:
    """Recognise, check and keep a weights file, or all those in a folder."""
    from engine.models.add_weights import add_folder, add_weights, check_weights

    file = Path(command.file)
    if file.is_dir():
        result = add_folder(
            file,
            allow_partial=command.allow_partial,
            check_only=command.check_only,
            safe_point=control.safe_point,
        )
        lines = _folder_lines(result, is_check=command.check_only)
        return {**result, "sentences": lines}
    if command.check_only:
        report = check_weights(file, command.backbone)
        lines = _misfit_lines(report)
        return {**report, "sentences": [*lines, *([_USE_IT] if lines else []), _CHECKED]}
    report = add_weights(file, command.backbone, allow_partial=command.allow_partial)
    return {**report, "sentences": _misfit_lines(report)}


def list_weights(command: ListWeights, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the weights that were added, and a table for people."""
    from engine.models.weights import added_weights

    found = added_weights()
    rows = [("ID", "BACKBONE", "FROM", "PRE-TRAINED ON", "LICENCE")]
    rows += [(w.id, w.backbone, w.name, w.pretrained_on, w.licence) for w in found]
    lines = table_lines(rows) if found else ["No weights were added yet."]
    lines += [f"{w.id}: {note}" for w in found for note in w.warnings]
    return {"weights": [to_plain(item) for item in found], "sentences": lines}


def remove_weights(command: RemoveWeights, emit: Emit, control: Control) -> dict[str, Any]:
    """Delete weights that were added."""
    from engine.models.weights import remove_weights as remove

    remove(command.id)
    return {"removed": command.id}


def _misfit_lines(report: dict[str, Any]) -> list[str]:
    """Return a table of the tensors of a file that don't fit; of many, the first."""
    if report["fits"]:
        return []
    shown = report["examples"]
    rows = [("TENSOR", "PROBLEM", "SHAPE WANTED")]
    rows += [(e["name"], e["problem"], " x ".join(map(str, e["wanted"]))) for e in shown]
    n_more = _n_misfits(report) - len(shown)
    return table_lines(rows) + ([f"and {n_more:,} more"] if n_more else [])


def _folder_lines(result: dict[str, Any], *, is_check: bool) -> list[str]:
    """Return what became of each file of a folder, with its notes."""
    lines = []
    for report in (*result["added"], *result["partial"]):
        line = f"{report['file']}: {report['backbone']}, {share_words(report['share'])} fits"
        if not report["fits"]:
            line += f", {_n_misfits(report):,} tensors don't"
        if report in result["added"]:
            line += "; would be added" if is_check else f"; added as {report['id']}"
        lines.append(line)
        lines += [f"  {note}" for note in report["warnings"]]
    if result["partial"]:
        names = ", ".join(report["file"] for report in result["partial"])
        lines.append(f"Not added, since they fit in part only: {names}. {_USE_IT}")
    for refused in result["refused"]:
        lines.append(f"{refused['file']}: not added. {refused['message']} {refused['remedy']}")
    return [*lines, _CHECKED] if is_check else lines


def _n_misfits(report: dict[str, Any]) -> int:
    return sum(int(report[kind]) for kind in ("missing", "misfits", "strangers"))
