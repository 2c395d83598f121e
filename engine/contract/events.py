"""Facts that a job reports: past tense, frozen, plain numbers.

Two grammars. A run: ``RunStarted``, then any of ``RunProgressed``, ``BatchFinished``,
``EpochFinished``, ``Warned``, ``RunPaused``, ``RunResumed``, ``Recovered``, then exactly one
``RunFinished``. Any other job: ``JobStarted``, any of ``JobProgressed``, ``Warned`` and, where it
trains, ``Recovered``, then exactly one ``JobFinished``. A job that contains a run (the whole main
job) nests the first grammar in the second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

COMPLETED: Final = "completed"
STOPPED: Final = "stopped"
CANCELED: Final = "canceled"
FAILED: Final = "failed"
OUTCOMES: Final = (COMPLETED, STOPPED, CANCELED, FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """A fact and the time it was stated, in seconds since 1970-01-01 UTC."""

    at: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Stamped):
    """A run exists and its folder is made; nothing slow has happened yet.

    Attributes:
        run: The run's id, also the name of its folder.
        max_epochs: Most epochs that will be trained; 0 for features-only methods.
        is_resumed: Whether an earlier part of the same run is being continued.
    """

    run: str
    preset: str
    backbone: str
    method: str
    max_epochs: int
    n_train: int
    n_val: int
    is_resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgressed(Stamped):
    """A stage of a run other than training batches moved on.

    Attributes:
        stage: Plain words for people, such as ``Reading images``.
        done: Items finished, of ``total`` (0 when unknown).
        seconds_left: Estimate to the end of the run, or None while unknown.
    """

    run: str
    stage: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFinished(Stamped):
    """One update of the weights.

    Attributes:
        epoch: From 1.
        batch: From 1 to ``n_batches`` within the epoch.
        step: Updates since the run began, from 1.
        loss: Mean training loss of the batch.
        learning_rate: Rate of the head.
        images_per_s: Training speed, averaged over the last seconds.
        memory_mb: Memory of the worker (CPU) or of the device (GPU), in MiB.
        seconds_left: Estimate to the end of the run at ``max_epochs``.
    """

    run: str
    epoch: int
    batch: int
    n_batches: int
    step: int
    loss: float
    learning_rate: float
    images_per_s: float
    memory_mb: float
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePrediction:
    """What the network says now about one validation image.

    Attributes:
        record: Record id.
        label: Index of the reference class; -1 of findings.
        probabilities: One per class, summing to 1; of findings each stands alone.
        findings: Of several findings at once: 1 present, 0 absent, -1 unknown.
    """

    record: int
    label: int
    probabilities: tuple[float, ...]
    findings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFinished(Stamped):
    """One pass over the training set and its validation; never dropped.

    Attributes:
        val_auroc: Area under the ROC curve on validation; macro one-vs-rest above two classes.
        best_epoch: Epoch with the best validation AUROC so far.
        is_best: Whether that is this epoch.
        comment: One plain sentence on what is going on.
        samples: A few validation images with the present prediction.
    """

    run: str
    epoch: int
    train_loss: float
    val_loss: float
    val_auroc: float
    best_epoch: int
    is_best: bool
    seconds: float
    comment: str = ""
    samples: tuple[SamplePrediction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Stamped):
    """Something a user should know; the job goes on.

    Attributes:
        cause: Why, in words that stay the same from job to job, so that a window needn't repeat
            itself, such as why the graphics card isn't used; empty if it stands alone.
        is_waiting: Whether a job that is no run waits for this to change; ``RunResumed`` tells that
            it goes on.
    """

    message: str
    remedy: str = ""
    run: str | None = None
    cause: str = ""
    is_waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused(Stamped):
    """The run waits at a safe point and its state is on disk.

    Attributes:
        reason: Empty when the user asked; otherwise one sentence, such as a full disk.
    """

    run: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Stamped):
    """The paused run goes on, or a job that waited.

    Attributes:
        run: Empty in a job that is no run.
    """

    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(Stamped):
    """The engine met a problem, mended it and went on.

    Attributes:
        run: Empty in a job that is no run.
    """

    run: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Stamped):
    """The end of a run, however it ended; always the last event of a run.

    Attributes:
        outcome: One of :data:`OUTCOMES`.
        error: What happened, when failed, or when a stop could keep no result.
        remedy: What to do next, likewise.
        result: ``run``, ``outcome``, ``val_auroc``, ``epochs``, ``train_images_per_s``,
            ``seconds``; empty when failed or canceled.
    """

    run: str
    outcome: str
    error: str | None = None
    remedy: str | None = None
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted(Stamped):
    """A job other than a run began.

    Attributes:
        kind: The command's name, such as ``scan``.
    """

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgressed(Stamped):
    """A job moved on.

    Attributes:
        stage: Plain words for people.
        done: Items finished, of ``total`` (0 when unknown).
        per_s: Items per second, or None while unknown.
        seconds_left: Estimate for this stage, or None while unknown.
        facts: What was just found, as plain values, where a job finds things one by one.
    """

    kind: str
    stage: str
    done: int
    total: int
    per_s: float | None = None
    seconds_left: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished(Stamped):
    """The end of a job, however it ended; always its last event.

    Attributes:
        result: The job's result as plain values; empty unless completed.
    """

    kind: str
    outcome: str
    error: str | None = None
    remedy: str | None = None
    result: dict[str, Any] = field(default_factory=dict)


Event = (
    RunStarted
    | RunProgressed
    | BatchFinished
    | EpochFinished
    | Warned
    | RunPaused
    | RunResumed
    | Recovered
    | RunFinished
    | JobStarted
    | JobProgressed
    | JobFinished
)
EVENT_TYPES: Final[tuple[type[Event], ...]] = (
    RunStarted,
    RunProgressed,
    BatchFinished,
    EpochFinished,
    Warned,
    RunPaused,
    RunResumed,
    Recovered,
    RunFinished,
    JobStarted,
    JobProgressed,
    JobFinished,
)
