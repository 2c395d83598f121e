"""How a finished run bears changed images: the worst small change, and what happens by accident.

Everything is computed in float32: rounding images to the 8 significant bits of bfloat16 would hide
changes of half a grey step from the network, and so measure the rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.contract.results import (
    AttackPoint,
    CorruptionPoint,
    FindingRobustness,
    MaskingCheck,
    RobustnessResult,
)
from engine.data.transforms import test_time_views
from engine.evaluate.corruptions import CORRUPTIONS, N_SEVERITIES, corrupt
from engine.evaluate.decisions import Answering, Decision, FindingsDecision
from engine.evaluate.masking import check_masking
from engine.evaluate.robust_measures import (
    ClassMeasure,
    FindingsMeasure,
    Measure,
    attack_points,
    corruption_points,
)
from engine.evaluate.robust_sample import Sample
from engine.evaluate.robustness_words import describe
from engine.evaluate.score import FinishedRun
from engine.evaluate.worst_case import MIN_STEPS, Strength, WorstCaseSearch
from engine.metrics.paired import loss_p

STRENGTHS_255: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_FORWARD: Final = 0.35  # time of a prediction, of a gradient's
_LOOKS: Final = 2  # passes at each strength besides the steps: one step, and noise
_CHECKS: Final = 2000  # gradients that the checks for masking take at most, about
_CPU_BATCH: Final = 8  # a gradient takes 100 MB an image (EfficientNet-Lite0, 224 px)
_GPU_BATCH: Final = 64
_FORWARD_BATCH: Final = 32

Report = Callable[[str, int, int, float | None], None]


def measure_robustness(
    loaded: FinishedRun,
    sample: Sample,
    *,
    split: str,
    thresholds: tuple[float, ...],
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
        thresholds: Those that were locked on validation: one of two classes, none above two, or
            one for each of several findings.
        looks: Looks at the test set so far.
        with_corruptions: Whether to degrade them too.
        strengths_255: Strengths of the attack in 8-bit grey steps, ascending.
        report: Called with a stage in plain words, work done, work in total, and the seconds left;
            may raise to end the work.
    """
    began = time.monotonic()
    network = _AsMeasured(loaded)
    decision, measure = _answers_of(loaded, sample, thresholds)
    n_steps, n = _n_steps(loaded), len(sample.labels)
    work = _Work(report, _n_gradients(loaded, n, strengths_255, with_corruptions))
    work.begin("Looking at unchanged images", n)
    search = WorstCaseSearch(
        network,
        sample.images,
        torch.as_tensor(sample.labels, device=sample.images.device),
        decision,
        n_steps=n_steps,
        seed=loaded.config.seed,
        batch_size=_batch_size(loaded),
        on_images=work.add,
    )
    attacks = [attack_points(measure, 0.0, search.clean)]
    strengths = []
    for steps in strengths_255:
        stage = f"Looking for the worst case, {steps:g} of 255 grey steps"
        work.begin(stage, n * (n_steps + _LOOKS))
        strengths.append(search.strengthen(steps / 255.0))
        attacks.append(attack_points(measure, steps, strengths[-1].worst, strengths[-1]))
    work.begin("Checking the attack itself", _CHECKS)
    answers = "findings" if loaded.is_multi else ""
    checks = check_masking(search, strengths, answers=answers)
    corruptions = _corrupt_all(network, loaded, sample, measure, work) if with_corruptions else []
    return _result(
        loaded,
        sample,
        split=split,
        thresholds=thresholds,
        looks=looks,
        attacks=tuple(zip(*attacks, strict=True)),
        noise_p=_noise_p(search, strengths, sample),
        checks=checks,
        corruptions=tuple(zip(*corruptions, strict=True)),
        seconds=time.monotonic() - began,
    )


def _noise_p(
    search: WorstCaseSearch, strengths: Sequence[Strength], sample: Sample
) -> tuple[float, ...]:
    """Return at each strength how likely chance explains what noise of it costs."""
    clean = search.clean.n_right.cpu().numpy()
    return tuple(loss_p(clean, s.noise.n_right.cpu().numpy(), sample.patients) for s in strengths)


def n_looks(loaded: FinishedRun, n_images: int, *, with_corruptions: bool) -> float:
    """Return how often an image goes through the network at most, in units of a prediction."""
    return _n_gradients(loaded, n_images, STRENGTHS_255, with_corruptions) / _FORWARD


def _n_gradients(
    loaded: FinishedRun, n_images: int, strengths_255: Sequence[float], with_corruptions: bool
) -> float:
    n_degraded = len(CORRUPTIONS) * N_SEVERITIES if with_corruptions else 0
    n_attacks = len(strengths_255) * (_n_steps(loaded) + _LOOKS)
    return n_images * (1 + n_attacks + n_degraded * _FORWARD) + _CHECKS


def _answers_of(
    loaded: FinishedRun, sample: Sample, thresholds: tuple[float, ...]
) -> tuple[Answering, Measure]:
    """Return how logits become answers, and what measures them."""
    if loaded.is_multi:
        return FindingsDecision(thresholds=thresholds), FindingsMeasure(loaded, sample, thresholds)
    threshold = thresholds[0] if thresholds else None
    positive = 1 if loaded.positive is None else loaded.positive
    decision = Decision(threshold=threshold, positive=positive)
    return decision, ClassMeasure(loaded, sample, threshold)


def _result(
    loaded: FinishedRun,
    sample: Sample,
    *,
    split: str,
    thresholds: tuple[float, ...],
    looks: int,
    attacks: tuple[tuple[AttackPoint, ...], ...],
    noise_p: tuple[float, ...],
    checks: tuple[MaskingCheck, ...],
    corruptions: tuple[tuple[CorruptionPoint, ...], ...],
    seconds: float,
) -> RobustnessResult:
    """Return the result; the first of attacks and corruptions is over all, then each finding's."""
    names = loaded.class_names
    is_binary = len(names) == 2 and not loaded.is_multi
    degraded = corruptions[0] if corruptions else ()
    findings = tuple(
        FindingRobustness(
            name=name,
            threshold=thresholds[k],
            n_present=int((sample.labels[:, k] == 1).sum()),
            n_absent=int((sample.labels[:, k] == 0).sum()),
            attacks=attacks[1 + k],
            corruptions=corruptions[1 + k] if corruptions else (),
        )
        for k, name in enumerate(names if loaded.is_multi else ())
    )
    n_images = len(sample.labels)
    return RobustnessResult(
        run=loaded.id,
        split=split,
        n_images=n_images,
        n_patients=len(np.unique(sample.patients)),
        classes=names,
        positive=names[1 if loaded.positive is None else loaded.positive] if is_binary else None,
        threshold=thresholds[0] if is_binary and thresholds else None,
        n_steps=_n_steps(loaded),
        attacks=attacks[0],
        corruptions=degraded,
        checks=checks,
        is_masking_suspected=not all(check.is_passed for check in checks),
        skill_kept=skill_kept(attacks[0][0].auroc.value, [c.auroc.value for c in degraded]),
        seconds=seconds,
        looks=looks,
        sentences=describe(
            attacks[0],
            degraded,
            checks,
            n_images=n_images,
            noise_p=noise_p,
            findings=findings,
        ),
        findings=findings,
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
    network: nn.Module, loaded: FinishedRun, sample: Sample, measure: Measure, work: _Work
) -> list[tuple[CorruptionPoint, ...]]:
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
            level = corruption.level_text(severity)
            points.append(corruption_points(measure, key, severity, level, torch.cat(logits)))
    return points


class _AsMeasured(nn.Module):
    """The network as evaluation uses it: logits, or those of the mean probability of all views."""

    def __init__(self, loaded: FinishedRun) -> None:
        super().__init__()
        self._network = loaded.network.eval().requires_grad_(False)
        self._n_views = loaded.config.evaluation.test_time_views
        self._padding = loaded.config.image.padding
        self._is_multi = loaded.is_multi
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        if self._n_views == 1:
            logits: Tensor = self._network(images)
            return logits
        views = test_time_views(images, self._n_views, padding=self._padding)
        each = torch.stack([self._network(view) for view in views])
        if self._is_multi:  # log-odds in logarithms: a mean that float32 rounds to 1 has no odds
            present, absent = F.logsigmoid(each), F.logsigmoid(-each)
            return present.logsumexp(dim=0) - absent.logsumexp(dim=0)
        return each.log_softmax(dim=2).logsumexp(dim=0)


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
