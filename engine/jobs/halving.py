"""Which of many settings to try next, and for how long, when the time is limited.

Successive halving: every round trains fewer candidates for longer, those that did best in the
round before, so that little time goes to settings that show early that they aren't good. Pure
arithmetic: nothing is trained here.

References:
    Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
    Optimization", AISTATS 2016.
    Li et al., "Hyperband", JMLR 2018 (how long the first round trains).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ETA: Final = 3
"""Of so many candidates one goes into the next round, which trains so many times as long."""
N_ROUNDS: Final = 3
_MARGIN: Final = 1.1  # a trial is not begun unless it fits with a tenth to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How long a round trains.

    Attributes:
        share: Of the training images that are used, in (0, 1].
        epochs: Passes over them.
    """

    share: float
    epochs: int

    @property
    def passes(self) -> float:
        """Passes over all training images that would cost the same."""
        return self.share * self.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A search that fits into its time, if trials cost what is expected.

    Attributes:
        n_candidates: Settings that are tried in the first round.
        rounds: How long each round trains.
    """

    n_candidates: int
    rounds: tuple[Fidelity, ...]

    def n_in_round(self, number: int) -> int:
        """Return how many candidates a round trains, counted from 0."""
        return max(1, self.n_candidates // int(ETA**number))


def make_plan(
    pass_s: float,
    *,
    budget_s: float,
    n_candidates: int,
    max_epochs: int,
    smallest_share: float,
) -> Plan:
    """Return how many candidates to try and for how long, a third of the time for each round.

    Args:
        pass_s: Expected seconds of one pass over all training images, validation included.
        budget_s: Time there is.
        n_candidates: How many there are to choose from.
        max_epochs: Passes of a training that isn't cut short; the last round's.
        smallest_share: Share of the training images below which a trial says nothing.
    """
    each_round_s = budget_s / N_ROUNDS
    wanted = ETA ** (N_ROUNDS - 1)
    first = each_round_s / (wanted * pass_s)  # passes of a first trial if nine are tried
    first = min(max(first, smallest_share), max_epochs / wanted)
    first = max(1.0, math.floor(first)) if first >= 1 else first
    passes = [min(max_epochs, first * ETA**number) for number in range(N_ROUNDS)]
    n_affordable = int(each_round_s / (first * pass_s))
    return Plan(
        n_candidates=min(n_candidates, max(ETA, n_affordable)),
        rounds=tuple(_fidelity(number) for number in passes),
    )


def _fidelity(passes: float) -> Fidelity:
    if passes < 1:
        return Fidelity(share=passes, epochs=1)
    return Fidelity(share=1.0, epochs=round(passes))


def affordable_epochs(
    wanted: Fidelity, pass_s: float, left_s: float, *, at_least: float
) -> Fidelity | None:
    """Return what of a trial fits into the time that is left; None if that isn't worth it.

    Args:
        wanted: How long it should train.
        pass_s: Expected seconds of a pass over all training images.
        left_s: Time there is.
        at_least: Passes that it must exceed, such as those of its earlier trial.
    """
    if wanted.passes * pass_s * _MARGIN <= left_s:
        return wanted
    if wanted.share < 1:
        return None
    epochs = int(left_s / (pass_s * _MARGIN))
    return Fidelity(share=1.0, epochs=epochs) if epochs > at_least else None


def ranked(scores: Mapping[int, tuple[float, float]]) -> list[int]:
    """Return candidates, best first: by AUROC, then by lower loss, then by number.

    Args:
        scores: AUROC and loss by number; one whose AUROC isn't defined is last.
    """

    def key(number: int) -> tuple[float, float, int]:
        auroc, loss = scores[number]
        return (math.inf if math.isnan(auroc) else -auroc, loss, number)

    return sorted(scores, key=key)


def by_round(rounds: Mapping[int, int], scores: Mapping[int, tuple[float, float]]) -> list[int]:
    """Return candidates in the order of a result: the last round's best first, then earlier ones'.

    Args:
        rounds: The last round that each was in.
        scores: AUROC and loss of its trial there.
    """
    return sorted(ranked(scores), key=lambda number: -rounds[number])
