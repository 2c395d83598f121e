"""Going back to a saved state: why, to which one, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import torch
from torch import nn

from engine.contract.errors import RunError
from engine.hardware.out_of_memory import SingleItemError, is_out_of_memory, release_memory
from engine.trainer.checkpoint import TrainingState
from engine.trainer.health import MOST_ROLLBACKS, RATE_AFTER_ROLLBACK, Health, must_go_back
from engine.trainer.saving import Saved, Saver
from engine.trainer.update import BatchLoss

_MOST_SHORT: Final = 3  # goings back within an epoch because memory ran short between updates


class GoBackError(Exception):
    """Training can't go on from its present weights.

    Attributes:
        is_numeric: Whether numbers went wrong; otherwise memory ran out.
        is_halving: Whether smaller parts of a batch help: memory ran out within an update.
    """

    def __init__(self, *, is_numeric: bool, is_halving: bool = True) -> None:
        super().__init__()
        self.is_numeric, self.is_halving = is_numeric, is_halving and not is_numeric


class ShortMemory:
    """Lets memory that runs short between two updates be a reason to go back, but not for ever."""

    def __init__(self) -> None:
        self._n = 0

    def epoch_done(self) -> None:
        """Count from the beginning: there was memory enough for an epoch."""
        self._n = 0

    def problem_in(self, train: Callable[[], None]) -> GoBackError | None:
        """Train, and return why training must go on from a saved state if it must.

        Raises:
            Exception: What ``train`` raises else; short memory, too, if not even one image fits, or
                if it ran short too often within an epoch.
        """
        try:
            train()
        except GoBackError as problem:
            return problem
        except Exception as error:
            is_hopeless = isinstance(error, SingleItemError) or self._n >= _MOST_SHORT
            if is_hopeless or not is_out_of_memory(error):
                raise
        else:
            return None
        # Out here the error is gone, and what it held.
        release_memory()
        self._n += 1
        return GoBackError(is_numeric=False, is_halving=False)


def count_update(health: Health, found: BatchLoss, *, is_scaled: bool) -> None:
    """Remember whether an update was made or skipped.

    Args:
        health: Remembers it.
        found: What the batch gave.
        is_scaled: Whether gradients are scaled, so that a few updates are always skipped.

    Raises:
        GoBackError: If too many were skipped in a row.
    """
    if found.is_finite:
        health.took_step(found.loss)
        return
    health.skipped_step()
    if must_go_back(health.n_wrong, is_scaled=is_scaled):
        raise GoBackError(is_numeric=True)


def state_to_go_back_to(
    saver: Saver, before: TrainingState, problem: GoBackError, gave_up: RunError
) -> Saved:
    """Return a saved state to go on from, which knows of what happened.

    Args:
        saver: Where the states are.
        before: The state in which training can't go on.
        problem: Why.
        gave_up: Says that it was tried often enough.

    Raises:
        RunError: ``gave_up``, if numbers went wrong too often or no saved state is sound.
        MemoryError: If memory ran out and no saved state is sound.
    """
    if problem.is_numeric and before.health.n_rollbacks >= MOST_ROLLBACKS:
        raise gave_up
    stuck_at = before.health.stuck_at if problem.is_numeric else None
    found = saver.patiently(lambda: state_before_wrong(saver.states(), stuck_at=stuck_at))
    if found is None:
        raise gave_up if problem.is_numeric else MemoryError("no state to go back to")
    state = found[0]
    # One that an earlier version saved, or one of other settings, may be among them.
    state.recipe, state.config_digest = before.recipe, before.config_digest
    state.micro_batch, state.health.told = before.micro_batch, before.health.told
    if problem.is_numeric:
        state.health.went_back(before.health, state.step)
    return found


def state_before_wrong(states: Iterable[Saved], *, stuck_at: int | None) -> Saved | None:
    """Return the newest state from which numbers may go right; any if there is none.

    Args:
        states: Newest first.
        stuck_at: Update at which a state was saved that led to nothing; None for none.
    """
    newest = None
    for found in states:
        state = found[0]
        if newest is None:
            newest = found
        if state.health.n_wrong == 0 and state.step != stuck_at:
            return found
    return newest


def is_sound(network: nn.Module) -> bool:
    """Return whether all weights and statistics of a network are finite numbers."""
    return all(
        bool(torch.isfinite(tensor).all())
        for tensor in network.state_dict().values()
        if tensor.is_floating_point()
    )


def went_back_sentence(state: TrainingState, problem: GoBackError) -> str:
    """Return what to say when training goes on from a state again."""
    if state.step == 0:
        where = "the beginning"
    elif state.batch == 0:
        where = f"the state saved at the end of pass {state.epoch - 1}"
    else:
        batches = "one batch" if state.batch == 1 else f"{state.batch} batches"
        where = f"the state saved in pass {state.epoch} after {batches}"
    if problem.is_numeric:
        return (
            "The loss or its gradients were no longer finite numbers. Training went back to "
            f"{where} and goes on with {RATE_AFTER_ROLLBACK:.0%} of the learning rate."
        )
    if not problem.is_halving:
        return f"Memory ran short between two updates. Training goes on from {where}."
    return (
        f"Memory ran out while the weights were being changed. Training went back to {where} and "
        "computes smaller parts of a batch at a time from there. Each update still learns from a "
        "whole batch."
    )


def gave_up(precision: str) -> RunError:
    """Return the error that ends a run whose numbers go wrong again and again."""
    safer = "" if precision == "fp32" else ", or with the precision fp32"
    return broke_down(
        f"Start a new run with a lower learning rate{safer}; if that breaks down too, try another "
        "backbone."
    )


def broke_down(remedy: str) -> RunError:
    """Return the error that ends a training whose numbers go wrong again and again."""
    return RunError(
        "Training broke down: the loss or its gradients were no longer finite numbers, also after "
        f"going back {MOST_ROLLBACKS} times and lowering the learning rate to "
        f"{RATE_AFTER_ROLLBACK**MOST_ROLLBACKS:.1%} of the one that was set.",
        remedy=remedy,
    )
