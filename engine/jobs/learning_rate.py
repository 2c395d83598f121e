"""Finding a learning rate for a project and its settings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.contract.commands import LrRange
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import Event, JobProgressed
from engine.contract.searching import LrRangeResult
from engine.hardware import apply_runtime, place_run
from engine.jobs.run_checks import checked_table, with_weights_there_are
from engine.jobs.seen_before import backbone_warning
from engine.jobs.trials import TrialBench
from engine.methods.registry import get_method
from engine.models.fallback import looking_warning
from engine.models.weights_warning import weights_warning
from engine.project.access import open_alone
from engine.seeding import seed_everything
from engine.trainer.full_disk import waiting_as_warning
from engine.trainer.lr_range import LrCurve, lr_range, n_looks

KIND: Final = "lr_range"
_SAFE: Final = 2.0
_SLOW: Final = 5.0


def find_rate(command: LrRange, emit: Callable[[Event], None], control: Control) -> LrRangeResult:
    """Run the learning-rate range test for settings; nothing is kept.

    Raises:
        ConfigError: If the method has no learning rate.
        EngineError: If the data don't allow training.
        JobCanceled: If canceled.
        RunError: If training broke down, or was stopped, before there was a curve.
    """
    started = time.perf_counter()
    with open_alone(Path(command.project), owner="a learning-rate test") as project:
        config = with_weights_there_are(replace(command.config, image=project.image_contract))
        method = get_method(config.method.key)
        if not method.trains_epochs:
            raise ConfigError(
                "This method fits a decision layer at once, so it has no learning rate.",
                remedy="Choose a method that trains, such as full fine-tuning.",
            )
        table = checked_table(project)
        runtime, fallback = place_run(config.runtime, safe_point=control.wait_point)
        apply_runtime(runtime)
        seed_everything(config.seed)

        def report(stage: str, done: int, total: int) -> None:
            emit(JobProgressed(kind=KIND, stage=stage, done=done, total=total))
            control.safe_point()

        bench = TrialBench(
            project=project,
            table=table,
            image=config.image,
            runtime=runtime,
            control=control,
            on_event=waiting_as_warning(emit),
        )
        for warned in (
            weights_warning(config.backbone),
            backbone_warning(project, table, config.backbone),
        ):
            if warned is not None:
                emit(warned)
        network, context = bench.fresh(config, method)
        if fallback is not None:
            n = n_looks(len(context.data.train), config.optimizer.batch_size, command.steps)
            size_px = config.image.size_px
            emit(looking_warning(fallback, network, size_px, n, deed="trains", is_most=True))
        curve = lr_range(
            network,
            method,
            context,
            n_steps=command.steps,
            on_step=lambda done, total: report("Raising the learning rate", done, total),
        )
    current = config.optimizer.learning_rate
    return LrRangeResult(
        rates=tuple(curve.rates.tolist()),
        losses=tuple(curve.losses.tolist()),
        smoothed=tuple(curve.smoothed.tolist()),
        suggested=_rounded(curve.suggested(current)),
        steepest=curve.steepest,
        lowest=curve.lowest,
        current=current,
        seconds=round(time.perf_counter() - started, 2),
        sentence=_sentence(curve, current),
    )


def _rounded(rate: float) -> float:
    """Return a rate with the two digits that the test can tell."""
    return float(f"{rate:.2g}")


def _sentence(curve: LrCurve, current: float) -> str:
    rate = _rounded(curve.suggested(current))
    breaks = f"from about {_rounded(curve.breaking):g} on" if curve.breaking < math.inf else ""
    if not curve.is_clear:
        return (
            "No learning rate made the network clearly better within this short test, so it can't "
            "tell which is best. "
            + (f"Training breaks {breaks}; {rate:g} is safe." if breaks else "None broke it.")
        )
    found = f"In this test the network learned more up to a learning rate of about {rate:g}"
    if breaks:
        found += f" and broke down {breaks}"
    if current > curve.breaking / _SAFE:
        return f"{found}; the present {current:g} is too close to that."
    if current < rate / _SLOW:
        return f"{found}; the present {current:g} is low, so training may take longer than it need."
    return f"{found}; the present {current:g} lies in the range that works."
