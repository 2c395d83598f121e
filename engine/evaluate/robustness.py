"""How a finished run bears changed images: the worst small change, and what happens by accident.

Everything is computed in float32: rounding images to the 8 significant bits of bfloat16 would hide
changes of half a grey step from the network, and so measure the rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.contract.records import (
    AttackPoint,
    CorruptionPoint,
    Estimate,
    MaskingCheck,
    RobustnessResult,
)
from engine.data.transforms import pixels_to_batch, test_time_views
from engine.evaluate.corruptions import CORRUPTIONS, N_SEVERITIES, corrupt
from engine.evaluate.masking import check_masking
from engine.evaluate.report import decide
from engine.evaluate.robustness_words import describe
from engine.evaluate.score import FinishedRun
from engine.evaluate.worst_case import MIN_STEPS, Answers, Decision, Strength, WorstCaseSearch
from engine.metrics.intervals import (
    Interval,
    bootstrap_auroc,
    bootstrap_ovr_auroc,
    bootstrap_rates,
)

STRENGTHS_255: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_FORWARD: Final = 0.35  # time of a prediction, of a gradient's
_LOOKS: Final = 2  # passes at each strength besides the steps: one step, and noise
_CHECKS: Final = 2000  # gradients that the checks for masking take at most, about
_CPU_BATCH: Final = 8  # a gradient takes 100 MB an image (EfficientNet-Lite0, 224 px)
_GPU_BATCH: Final = 64
_FORWARD_BATCH: Final = 32

Report = Callable[[str, int, int, float | None], None]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The images that are changed.

    Attributes:
        images: Values in [0, 1], float32, ``(N, C, H, W)``, where the network is.
        labels: Class indices, ``(N,)``.
        patients: What the intervals resample, ``(N,)``.
    """

    images: Tensor
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]


def choose_images(
    labels: NDArray[np.int64], n_images: int, *, n_classes: int, seed: int
) -> NDArray[np.int64]:
    """Return indices of at most so many images, ascending, with the classes in their proportions.

    Every class keeps at least one image, if there is room.

    Args:
        labels: Class indices, shape ``(N,)``.
        n_images: How many to choose; all, if there are no more.
        n_classes: K.
        seed: Of the choice.
    """
    if len(labels) <= n_images:
        return np.arange(len(labels))
    counts = np.bincount(labels, minlength=n_classes)
    wanted = counts * n_images / len(labels)
    quota = np.floor(wanted).astype(np.int64)
    quota[(counts > 0) & (quota == 0)] = 1
    for k in np.argsort(quota - wanted, kind="stable")[: max(0, n_images - int(quota.sum()))]:
        quota[k] += 1
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == k))[: quota[k]] for k in range(n_classes)]
    return np.sort(np.concatenate(chosen))


def load_sample(
    loaded: FinishedRun,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
) -> Sample:
    """Return the images of pixel rows with their labels and patients."""
    pixels = loaded.pixels.read(rows)
    return Sample(
        images=pixels_to_batch(pixels, loaded.runtime.device), labels=labels, patients=patients
    )


def measure_robustness(
    loaded: FinishedRun,
    sample: Sample,
    *,
    split: str,
    threshold: float | None,
    looks: int = 0,
    with_corruptions: bool = True,
    strengths_255: Sequence[float] = STRENGTHS_255,
    report: Report = lambda _stage, _done, _total, _left: None,
) -> RobustnessResult:
    """Attack and degrade the images of a sample.

    Args:
        loaded: The run; its network's parameters need no gradients any more afterwards.
        sample: The images.
        split: Where they are from, ``val`` or ``test``.
        threshold: The one that was locked on validation.
        looks: Looks at the test set so far.
        with_corruptions: Whether to degrade them too.
        strengths_255: Strengths of the attack in 8-bit grey steps, ascending.
        report: Called with a stage in plain words, work done, work in total, and the seconds left;
            may raise to end the work.
    """
    began = time.monotonic()
    network = _AsMeasured(loaded)
    measure = _Measure(loaded, sample, threshold)
    n_steps, n = _n_steps(loaded), len(sample.labels)
    n_degraded = len(CORRUPTIONS) * N_SEVERITIES if with_corruptions else 0
    an_image = 1 + len(strengths_255) * (n_steps + _LOOKS) + n_degraded * _FORWARD
    work = _Work(report, n * an_image + _CHECKS)
    work.begin("Looking at unchanged images", n)
    search = WorstCaseSearch(
        network,
        sample.images,
        torch.as_tensor(sample.labels, device=sample.images.device),
        Decision(threshold=threshold, positive=1 if loaded.positive is None else loaded.positive),
        n_steps=n_steps,
        seed=loaded.config.seed,
        batch_size=_batch_size(loaded),
        on_images=work.add,
    )
    attacks = [measure.attack(0.0, search.clean)]
    strengths = []
    for steps in strengths_255:
        stage = f"Looking for the worst case, {steps:g} of 255 grey steps"
        work.begin(stage, n * (n_steps + _LOOKS))
        strengths.append(search.strengthen(steps / 255.0))
        attacks.append(measure.attack(steps, strengths[-1].worst, strengths[-1]))
    work.begin("Checking the attack itself", _CHECKS)
    checks = check_masking(search, strengths)
    corruptions = _corrupt_all(network, loaded, sample, measure, work) if with_corruptions else ()
    return _result(
        loaded,
        sample,
        split=split,
        threshold=threshold,
        looks=looks,
        n_steps=n_steps,
        attacks=tuple(attacks),
        checks=checks,
        corruptions=corruptions,
        seconds=time.monotonic() - began,
    )


def _result(
    loaded: FinishedRun,
    sample: Sample,
    *,
    split: str,
    threshold: float | None,
    looks: int,
    n_steps: int,
    attacks: tuple[AttackPoint, ...],
    checks: tuple[MaskingCheck, ...],
    corruptions: tuple[CorruptionPoint, ...],
    seconds: float,
) -> RobustnessResult:
    is_binary, names = len(loaded.class_names) == 2, loaded.class_names
    return RobustnessResult(
        run=loaded.id,
        split=split,
        n_images=len(sample.labels),
        n_patients=len(np.unique(sample.patients)),
        classes=names,
        positive=names[1 if loaded.positive is None else loaded.positive] if is_binary else None,
        threshold=threshold,
        n_steps=n_steps,
        attacks=attacks,
        corruptions=corruptions,
        checks=checks,
        is_masking_suspected=not all(check.is_passed for check in checks),
        skill_kept=skill_kept(attacks[0].auroc.value, [c.auroc.value for c in corruptions]),
        seconds=seconds,
        looks=looks,
        sentences=describe(attacks, corruptions, checks, n_images=len(sample.labels)),
    )


def skill_kept(clean_auroc: float, aurocs: Sequence[float]) -> float:
    """Return the mean of ``AUROC - 1/2`` over degradations, relative to unchanged images.

    NaN without degradations, or if there was no skill to keep. It needs no other network to be
    relative to, unlike the mCE of Hendrycks and Dietterich.
    """
    if not aurocs or not clean_auroc > 0.5:
        return float("nan")
    return float((np.mean(aurocs) - 0.5) / (clean_auroc - 0.5))


def _n_steps(loaded: FinishedRun) -> int:
    """Return more steps than any training on worst cases has taken."""
    return max(MIN_STEPS, 2 * loaded.config.adversarial.steps)


def _batch_size(loaded: FinishedRun) -> int:
    """Return how many images fit at a time, when all passes of each wait for the gradient."""
    size = _CPU_BATCH if loaded.runtime.device == "cpu" else _GPU_BATCH
    n_passes = loaded.config.evaluation.test_time_views * max(1, len(loaded.members))
    return max(1, size // n_passes)


def _corrupt_all(
    network: nn.Module, loaded: FinishedRun, sample: Sample, measure: _Measure, work: _Work
) -> tuple[CorruptionPoint, ...]:
    points = []
    for index, (key, corruption) in enumerate(CORRUPTIONS.items()):
        for severity in range(1, N_SEVERITIES + 1):
            work.begin("Degrading images", len(sample.labels) * _FORWARD)
            changed = corrupt(
                sample.images,
                key,
                severity,
                seed=loaded.config.seed + index,
                padding=loaded.config.image.padding,
            )
            logits = []
            for start in range(0, len(changed), _FORWARD_BATCH):
                with torch.no_grad():
                    logits.append(network(changed[start : start + _FORWARD_BATCH]))
                work.add(len(logits[-1]) * _FORWARD)
            points.append(
                CorruptionPoint(
                    kind=key,
                    severity=severity,
                    level=corruption.level_text(severity),
                    auroc=measure.auroc(torch.cat(logits)),
                    accuracy=measure.rates(torch.cat(logits))["accuracy"],
                )
            )
    return tuple(points)


class _AsMeasured(nn.Module):
    """The network as evaluation uses it: logits, or log probabilities averaged over views."""

    def __init__(self, loaded: FinishedRun) -> None:
        super().__init__()
        self._network = loaded.network.eval().requires_grad_(False)
        self._n_views = loaded.config.evaluation.test_time_views
        self._padding = loaded.config.image.padding
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        if self._n_views == 1:
            logits: Tensor = self._network(images)
            return logits
        views = test_time_views(images, self._n_views, padding=self._padding)
        each = torch.stack([self._network(view).log_softmax(dim=1) for view in views])
        return each.logsumexp(dim=0)


class _Measure:
    """Turns logits of the sample into numbers with intervals."""

    def __init__(self, loaded: FinishedRun, sample: Sample, threshold: float | None) -> None:
        self._sample, self._threshold, self._positive = sample, threshold, loaded.positive
        self._n_classes = len(loaded.class_names)
        self._index = None
        if self._n_classes == 2:
            self._index = 1 if loaded.positive is None else loaded.positive
        self._n_resamples = loaded.config.evaluation.bootstrap_resamples
        self._seed = loaded.config.seed

    def attack(
        self, epsilon_255: float, worst: Answers, strength: Strength | None = None
    ) -> AttackPoint:
        rates = self.rates(worst.logits)
        clean = rates["accuracy"].value
        return AttackPoint(
            epsilon_255=epsilon_255,
            accuracy=rates["accuracy"],
            sensitivity=rates["sensitivity"],
            specificity=rates["specificity"],
            auroc=self.auroc(worst.logits),
            one_step=clean if strength is None else strength.one_step.share_right,
            noise=clean if strength is None else strength.noise.share_right,
        )

    def rates(self, logits: Tensor) -> dict[str, Estimate]:
        predictions = decide(_probabilities(logits), self._threshold, self._positive)
        found = bootstrap_rates(
            self._sample.labels,
            predictions,
            self._sample.patients,
            self._n_classes,
            positive=self._index,
            n_resamples=self._n_resamples,
            seed=self._seed,
        )
        return {name: _estimate(interval) for name, interval in found.headline.items()}

    def auroc(self, logits: Tensor) -> Estimate:
        probabilities, labels = _probabilities(logits), self._sample.labels
        if self._index is None:
            interval, _ = bootstrap_ovr_auroc(
                probabilities,
                labels,
                self._sample.patients,
                n_resamples=self._n_resamples,
                seed=self._seed,
            )
        else:
            interval = bootstrap_auroc(
                probabilities[:, self._index],
                labels == self._index,
                self._sample.patients,
                n_resamples=self._n_resamples,
                seed=self._seed,
            )
        return _estimate(interval)


def _probabilities(logits: Tensor) -> NDArray[np.float64]:
    return logits.cpu().double().softmax(dim=1).numpy()


def _estimate(interval: Interval) -> Estimate:
    return Estimate(value=interval.estimate, low=interval.low, high=interval.high)


class _Work:
    """Work in units of one image's gradient; says how far it is and how long it will take."""

    def __init__(self, report: Report, total: float) -> None:
        self._report, self._total = report, total
        self._began = time.monotonic()
        self._stage, self._done, self._end = "", 0.0, 0.0

    def begin(self, stage: str, units: float) -> None:
        """Begin a stage that takes at most about so much; what the last one saved is done."""
        self._stage, self._done = stage, self._end
        self._end = min(self._total, self._end + units)
        self.add(0)

    def add(self, units: float) -> None:
        self._done = min(self._done + units, self._end)
        left = None
        if self._done > 0:
            elapsed = time.monotonic() - self._began
            left = elapsed / self._done * (self._total - self._done)
        self._report(self._stage, round(self._done), round(self._total), left)
