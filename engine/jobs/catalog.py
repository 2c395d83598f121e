"""Jobs on backbones and their weights; torch is loaded when one starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from engine.contract.backbones import BACKBONES, is_noncommercial
from engine.contract.commands import AddWeights, ListBackbones, ListWeights, RemoveWeights
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.events import Event

Emit = Callable[[Event], None]

_MEGA: Final = 1e6
_STATES: Final = {"embedded": "built in", "added": "added", "missing": "add a file"}


def list_backbones(command: ListBackbones, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the cards of the backbones with their weights' state, and a table for people."""
    from engine.models.weights import added_weights, weights_state

    cards, rows = [], [("KEY", "FAMILY", "PARAMETERS", "SIZE", "WEIGHTS", "LICENCE")]
    for card in BACKBONES:
        state = weights_state(card.key)
        is_nc = is_noncommercial(card.licence)
        ids = [item.id for item in added_weights(card.key)]
        cards.append({**to_plain(card), "weights": state, "added": ids, "is_noncommercial": is_nc})
        rows.append(
            (
                card.key,
                card.family,
                f"{card.n_parameters / _MEGA:.1f} M",
                f"{card.input_px} px",
                _STATES[state],
                card.licence + (" (non-commercial)" if is_nc else ""),
            )
        )
    return {"backbones": cards, "sentences": _table(rows)}


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
        return {**result, "sentences": _folder_lines(result)}
    if command.check_only:
        return check_weights(file, command.backbone)
    return add_weights(file, command.backbone, allow_partial=command.allow_partial)


def list_weights(command: ListWeights, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the weights that were added, and a table for people."""
    from engine.models.weights import added_weights

    found = added_weights()
    rows = [("ID", "BACKBONE", "FROM", "PRE-TRAINED ON", "LICENCE")]
    rows += [(w.id, w.backbone, w.name, w.pretrained_on, w.licence) for w in found]
    lines = _table(rows) if found else ["No weights were added yet."]
    return {"weights": [to_plain(item) for item in found], "sentences": lines}


def remove_weights(command: RemoveWeights, emit: Emit, control: Control) -> dict[str, Any]:
    """Delete weights that were added."""
    from engine.models.weights import remove_weights as remove

    remove(command.id)
    return {"removed": command.id}


def _folder_lines(result: dict[str, Any]) -> list[str]:
    added = [f"{r['name']}: {r['backbone']}, {r['share']:.0%} fits" for r in result["added"]]
    refused = [f"{r['name']}: not added. {r['message']} {r['remedy']}" for r in result["refused"]]
    return added + refused


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
