"""Sentences about what was assumed of the labels of a sheet."""

from __future__ import annotations

from engine.contract.import_rules import LabelRule
from engine.data.phrases import count_of, verb


def unsure_notes(n_unsure: int, stand_in: str | None, rule: LabelRule) -> tuple[str, ...]:
    """Say what became of rows whose one class the reader wasn't sure of.

    Args:
        n_unsure: Such rows; nothing is said of none.
        stand_in: Class that they count as; None if they have no label.
        rule: What the user wants of them.
    """
    if not n_unsure:
        return ()
    rows = count_of(n_unsure, "row", "says")
    if stand_in is not None:
        return (
            f"{rows} that the reader was not sure and {verb(n_unsure, 'counts')} as {stand_in}.",
        )
    why = "" if rule.uncertain == "ignore" else ", as there are not exactly two classes"
    return (f"{rows} that the reader was not sure and {verb(n_unsure, 'has')} no label{why}.",)


def both_notes(n_both: int) -> list[str]:
    """Say what became of rows that name a finding, and that there is none."""
    if not n_both:
        return []
    return [
        f"{count_of(n_both, 'row', 'names')} a finding and “no finding” at once; the finding "
        "counts."
    ]


def unsure_finding_notes(n_unsure: int, rule: LabelRule) -> list[str]:
    """Say what became of rows with findings that the reader wasn't sure of."""
    if not n_unsure:
        return []
    count = {"ignore": "as unknown", "negative": "as absent", "positive": "as present"}
    return [
        f"{count_of(n_unsure, 'row', 'has')} findings that the reader was not sure of; these count "
        f"{count[rule.uncertain]}."
    ]
