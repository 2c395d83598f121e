"""Which trial of a search comes next.

It follows from what was kept and from the time alone, so that a search that was interrupted goes
on as it would have gone on. The rounds share the time. Where they end before it does, because
settings failed, were cheaper than expected, or were too few, they begin anew on the time that is
left: with further settings, and with those that did best of all that were tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.jobs.candidates import Candidate
from engine.jobs.halving import Fidelity, Plan, affordable_epochs, ranked
from engine.jobs.search_kept import KeptTrial

_FEWEST_IN_ROUND: Final = 3
Cost = Callable[[Candidate, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A trial to make.

    Attributes:
        round: From 0.
        fidelity: How long it trains; less than its round where the time doesn't allow more.
        is_carried: Whether the trial of the round before counts again: nothing would change.
    """

    round: int
    candidate: Candidate
    fidelity: Fidelity
    is_carried: bool = False


class Schedule:
    """The order of a search's trials.

    Attributes:
        failed: Rounds and numbers of what could not be trained.
        too_long: Rounds and numbers of what was due for a later round and no longer fitted.
    """

    def __init__(
        self,
        plan: Plan,
        candidates: Sequence[Candidate],
        trials: Mapping[tuple[int, int], KeptTrial],
        *,
        budget_s: float,
        pass_s: Cost,
    ) -> None:
        """Take up what was tried.

        Args:
            plan: How many are tried, and for how long.
            candidates: Those that could be tried, in this order.
            trials: By round and candidate; grows while the search goes on.
            budget_s: Time of the search.
            pass_s: Returns the seconds that a candidate is expected to take for a pass, when it
                learns from a share of the training images.
        """
        self._plan, self._trials = plan, trials
        self._candidates = {candidate.number: candidate for candidate in candidates}
        self._budget_s, self._pass_s = budget_s, pass_s
        self.failed: set[tuple[int, int]] = set()
        self.too_long: set[tuple[int, int]] = set()

    def next(self, *, began_s: float, now_s: float) -> Step | None:
        """Return the next trial; None if none is due, or none fits into the time.

        Args:
            began_s: When the rounds last began.
            now_s: Time that the search has taken.
        """
        for number in range(len(self._plan.rounds)):
            if (step := self._next_of_round(number, began_s, now_s)) is not None:
                return step
        return None

    def _next_of_round(self, number: int, began_s: float, now_s: float) -> Step | None:
        along: Step | None = None
        for candidate in self._in_order(number):
            key = (number, candidate.number)
            if key in self._trials:
                if along is not None and candidate.has_epochs:
                    return along
                continue
            if key in self.failed or not self._is_due(number, candidate, began_s, now_s):
                continue
            step = self._step(number, candidate, self._budget_s - now_s)
            if step is None:
                if number and candidate.has_epochs:
                    self.too_long.add(key)
            elif candidate.has_epochs or number == 0:
                return along or step
            else:  # it goes along with what it was better than
                along = along or step
        is_alone = not any(self._has_epochs(n) for r, n in self._trials if r == number)
        return along if along is not None and is_alone and not along.is_carried else None

    def _in_order(self, number: int) -> Iterable[Candidate]:
        if number == 0:
            return self._candidates.values()
        scores = {n: t.score for (r, n), t in self._trials.items() if r == number - 1}
        return [self._candidates[n] for n in ranked(scores) if n in self._candidates]

    def _is_due(self, number: int, candidate: Candidate, began_s: float, now_s: float) -> bool:
        """Return whether a candidate's turn has come.

        As many as were planned, and more while the round's share of the time lasts; fewer, but
        three, if they take longer than expected. What makes no passes isn't in the plan.
        """
        n_rounds = len(self._plan.rounds)
        if number == n_rounds - 1 or (number and not candidate.has_epochs):
            return True
        n_made = sum(
            r == number and trial.spent_s > began_s and self._has_epochs(n) == candidate.has_epochs
            for (r, n), trial in self._trials.items()
        )
        fewest, planned = 1, 1
        if candidate.has_epochs:
            fewest, planned = _FEWEST_IN_ROUND, self._plan.n_in_round(number)
        wanted = _wanted(self._plan.rounds[number], candidate)
        cost_s = wanted.passes * self._pass_s(candidate, wanted.share)
        end_s = began_s + (self._budget_s - began_s) * (number + 1) / n_rounds
        return n_made < fewest or now_s + (0.0 if n_made < planned else cost_s) <= end_s

    def _step(self, number: int, candidate: Candidate, left_s: float) -> Step | None:
        """Return a trial as far as it fits into the time that is left; None if it doesn't."""
        wanted = _wanted(self._plan.rounds[number], candidate)
        earlier = self._trials.get((number - 1, candidate.number))
        at_least = earlier.passes if earlier is not None else 0.0
        if not candidate.has_epochs and at_least >= wanted.share:
            return Step(round=number, candidate=candidate, fidelity=wanted, is_carried=True)
        pass_s = self._pass_s(candidate, wanted.share)
        fidelity = affordable_epochs(wanted, pass_s, left_s, at_least=at_least)
        if fidelity is None:
            return None
        return Step(round=number, candidate=candidate, fidelity=fidelity)

    def _has_epochs(self, number: int) -> bool:
        return number in self._candidates and self._candidates[number].has_epochs


def _wanted(fidelity: Fidelity, candidate: Candidate) -> Fidelity:
    """Return how long a candidate trains in a round: without passes, it sees its images once."""
    return fidelity if candidate.has_epochs else Fidelity(share=fidelity.share, epochs=1)
