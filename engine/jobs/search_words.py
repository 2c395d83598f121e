"""A search in words and in its order of merit: pure functions over its trials."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.backbones import backbone_card
from engine.contract.methods import method_card
from engine.contract.searching import TriedSettings
from engine.jobs.candidates import Candidate
from engine.jobs.halving import by_round
from engine.jobs.search_kept import KeptTrial
from engine.methods.strength_choice import strongest_as_good
from engine.project.table import TrainingTable

_MOST_COMPARED: Final = 12
_MOST_NAMED: Final = 3


def title(key: str) -> str:
    """Return the name of a backbone."""
    card = backbone_card(key)
    return card.title if card is not None else key


def method_name(key: str) -> str:
    """Return the name of a method within a sentence."""
    card = method_card(key)
    named = card.title if card is not None else key
    return f"{named[:1].lower()}{named[1:]}"  # LoRA keeps its letters


def words(candidate: Candidate) -> str:
    """Return what a candidate is, in a line."""
    method = method_card(candidate.config.method.key)
    named = method.title if method is not None else candidate.config.method.key
    return ", ".join([title(candidate.config.backbone.key), named, *candidate.changes])


def ranked_rows(
    trials: Mapping[tuple[int, int], KeptTrial], table: TrainingTable
) -> list[TriedSettings]:
    """Return each candidate's last trial, the best first, with those that are as good marked.

    Args:
        trials: By round and candidate; at least one.
        table: With the validation images that they were measured on.
    """
    last = {number: max(r for r, c in trials if c == number) for number in {c for _, c in trials}}
    kept = {number: trials[r, number] for number, r in last.items()}
    # A trial that was cut short says less than the whole one before it.
    for number, trial in kept.items():
        if not trial.row.is_complete and (last[number] - 1, number) in trials:
            kept[number] = trials[last[number] - 1, number]
    rounds = {number: trial.round for number, trial in kept.items()}
    order = by_round(rounds, {number: trial.score for number, trial in kept.items()})
    return _compared([kept[number] for number in order], table)


def _compared(trials: Sequence[KeptTrial], table: TrainingTable) -> list[TriedSettings]:
    """Return the rows, saying of each whether chance explains that it trails the first."""
    val: NDArray[np.int64] = np.flatnonzero(table.split == 1)
    first, *others = trials
    rows = [replace(first.row, is_as_good=True)]
    for place, trial in enumerate(others):
        is_as_good = False
        if place < _MOST_COMPARED:
            chosen, _ = strongest_as_good(
                [first.probabilities, trial.probabilities],
                table.labels[val],
                table.groups[val],
                positive=table.positive,
                seed=0,
            )
            is_as_good = chosen == 1
        rows.append(replace(trial.row, is_as_good=is_as_good))
    return rows


def missed(
    candidates: Sequence[Candidate],
    *,
    tried: Collection[int],
    too_long: Collection[int],
    is_stopped: bool,
) -> tuple[str, ...]:
    """Return what a search didn't come to, in plain words; nothing if it tried everything.

    Args:
        candidates: Those that could be tried.
        tried: Numbers of those that were.
        too_long: Numbers of those that were due to train longer, for which no time was left.
        is_stopped: Whether a stop was asked for.
    """
    why = "the search was stopped" if is_stopped else "the time was too short"
    said = []
    if left := [c for c in candidates if c.number not in tried]:
        whole = [*_untried(left, candidates, _method), *_untried(left, candidates, _backbone)]
        among = f", among them all with {_listed(whole)}" if whole else ""
        were = "was" if len(left) == 1 else "were"
        said.append(f"{len(left)} of {len(candidates)} settings {were} not tried{among}: {why}.")
    if waiting := [words(c) for c in candidates if c.number in too_long]:
        more = len(waiting) - _MOST_NAMED
        named = [*waiting[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
        said.append(f"Not trained longer: {'; '.join(named)}: {why}.")
    return tuple(said)


def _untried(
    left: Sequence[Candidate], candidates: Sequence[Candidate], of: Callable[[Candidate], str]
) -> list[str]:
    """Return methods, or backbones, of which nothing was tried."""
    numbers = {c.number for c in left}
    tried = {of(c) for c in candidates if c.number not in numbers}
    return [name for name in dict.fromkeys(map(of, left)) if name not in tried]


def _method(candidate: Candidate) -> str:
    return method_name(candidate.config.method.key)


def _backbone(candidate: Candidate) -> str:
    return title(candidate.config.backbone.key)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def sentences(
    rows: Sequence[TriedSettings],
    n_trials: int,
    n_val: int,
    *,
    not_tried: Sequence[str] = (),
    cautions: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return a result in plain words.

    Args:
        rows: From :func:`ranked_rows`.
        n_trials: Trainings that were made in all.
        n_val: Validation images.
        not_tried: What the search didn't come to, from :func:`missed`.
        cautions: Of backbones that had learned from their patients before.
    """
    first = rows[0]
    named = f"{title(first.backbone)} with {method_name(first.method)}"
    changed = f" ({', '.join(first.changes)})" if first.changes else ""
    n_equal = sum(row.is_as_good for row in rows[1:])
    found = [
        f"Best of {_counted(len(rows), 'setting')}, in {_counted(n_trials, 'short training')}: "
        f"{named}{changed}, validation AUROC {first.auroc:.3f}."
    ]
    if n_equal:
        others = "another is" if n_equal == 1 else f"{n_equal} others are"
        found.append(
            f"{others[:1].upper()}{others[1:]} as good as far as {n_val} validation images can "
            "tell; of these, take the fastest."
        )
    end = "The best of many looks better on the images it was chosen by than it is."
    if not cautions:
        end += " Train it, and look at the test images once to know."
    return (*found, *not_tried, end, *cautions)
