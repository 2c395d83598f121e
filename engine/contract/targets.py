"""What a network's outputs mean.

One of several classes, or grades: their probabilities sum to 1 (softmax). Several findings at once:
each has a probability of its own, present against absent (sigmoid).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.contract.results import CasePrediction, EvaluationResult

SOFTMAX: Final = "softmax"
SIGMOID: Final = "sigmoid"
ACTIVATIONS: Final = (SOFTMAX, SIGMOID)
UNKNOWN: Final = -1
"""A finding of an image of which it isn't known whether it is there."""


def one_finding(result: EvaluationResult, name: str) -> EvaluationResult:
    """Return the result of one of several findings, as if it had been learned alone.

    Args:
        result: Of several findings at once.
        name: Of one of them.

    Raises:
        ValueError: If there is no such finding.
    """
    k = next((i for i, found in enumerate(result.findings) if found.name == name), None)
    if k is None:
        raise ValueError(f"no finding {name!r} in this result")
    cases = tuple(
        CasePrediction(
            record=case.record,
            label=case.findings[k],
            probabilities=(1.0 - case.probabilities[k], case.probabilities[k]),
        )
        for case in result.cases
        if case.findings[k] != UNKNOWN
    )
    return replace(result.findings[k].result, cases=cases)
