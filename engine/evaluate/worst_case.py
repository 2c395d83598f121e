"""The worst that a small change can do to a finished classifier, sought independently of training.

Other than the attacks that training uses, this one takes many shrinking steps, starts anew where an
image withstood, and lowers the margin by which the right answer leads (Carlini and Wagner), which
doesn't fade when a network is very sure. With more than two classes it raises the cross-entropy,
too; with two that would be the same direction. Each strength goes on from where the weaker one
arrived, and keeps an image's worst case over all attempts, so that more strength never looks like
less.

Of several findings at once one change is sought for all of them together, see
:class:`~engine.evaluate.decisions.FindingsDecision`.

An image that is wrong by a wide margin rests: more steps would change neither the share that is
called right nor, as both classes end beyond the threshold's other side, the ranking.

References:
    Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", IEEE S&P 2017.
    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks", ICML 2020 (several losses; steps that shrink; the worst of all counts).
    Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack via random
    search", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from engine.evaluate.decisions import REST, Answering
from engine.models.attacks import Ball, Criterion, gradient

MIN_STEPS: Final = 20
_SAME: Final = 1e-4  # difference of logits that is none
_FIRST_STEP: Final = 0.3  # in units of epsilon; a longer one may end where all units are off
_LAST_STEP: Final = 0.03
_FIRST_SQUARE: Final = 0.5  # side of the first squares of the blind search, of the image's side


@dataclass(slots=True)
class Answers:
    """What the network says about some images.

    Attributes:
        logits: Shape ``(N, K)``.
        leads: By how much each right answer leads, ``(N, Q)``; NaN where none is known.
        harm: What the attack raises, ``(N,)``.
    """

    logits: Tensor
    leads: Tensor
    harm: Tensor

    @property
    def margins(self) -> Tensor:
        """By how much the surest right answer leads, ``(N,)``; below 0 no answer is right."""
        return self.leads.nan_to_num(nan=-torch.inf).amax(dim=1)

    @property
    def is_right(self) -> Tensor:
        """Of which images an answer is right, so that there is something left to turn, ``(N,)``."""
        return self.margins >= 0

    @property
    def n_right(self) -> Tensor:
        """How many answers are right about each image, ``(N,)``."""
        return (self.leads >= 0).sum(dim=1)

    @property
    def share_right(self) -> float:
        """Share of all known answers that are right."""
        return float(self.n_right.sum() / (~self.leads.isnan()).sum())

    def keep_worse(self, other: Answers) -> None:
        """Take over, image by image, what is worse."""
        is_worse = other.harm > self.harm
        self.put(is_worse, other, is_worse)

    def put(self, rows: Tensor, other: Answers, chosen: Tensor) -> None:
        """Replace what is at ``rows`` by what the other has at ``chosen``."""
        self.logits[rows] = other.logits[chosen]
        self.leads[rows] = other.leads[chosen]
        self.harm[rows] = other.harm[chosen]

    def copy(self) -> Answers:
        """Return answers that stay as they are."""
        return Answers(self.logits.clone(), self.leads.clone(), self.harm.clone())

    def of(self, rows: Tensor) -> Answers:
        """Return the answers on some of the images, as a copy."""
        return Answers(self.logits[rows], self.leads[rows], self.harm[rows])


@dataclass(slots=True)
class Found:
    """Changed images, ``(N, C, H, W)``, and what the network says about them."""

    images: Tensor
    answers: Answers

    def take(self, rows: Tensor, other: Found) -> None:
        """Replace what is at ``rows`` where the other, of as many images, is worse."""
        is_worse = other.answers.harm > self.answers.harm[rows]
        worse = rows[is_worse]
        self.images[worse] = other.images[is_worse]
        self.answers.put(worse, other.answers, is_worse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """What was found at one strength.

    Attributes:
        epsilon: Share of the grey range.
        worst: Worst cases over everything that was tried up to this strength.
        iterated: Worst cases of the steps along gradients alone.
        one_step: Images after one step along the gradient.
        noise: Images whose grey values went up or down at random, by ``epsilon`` each.
    """

    epsilon: float
    worst: Answers
    iterated: Answers
    one_step: Answers
    noise: Answers


class WorstCaseSearch:
    """Attacks some images at growing strengths.

    The network has to be in evaluation mode. Everything is drawn on the CPU from ``seed``.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        decision: Answering,
        *,
        n_steps: int = MIN_STEPS,
        seed: int = 0,
        batch_size: int = 8,
        on_images: Callable[[int], None] | None = None,
    ) -> None:
        """Look at the unchanged images.

        Args:
            network: Returns logits.
            images: Values in [0, 1], ``(N, C, H, W)``.
            labels: Class indices, int64 ``(N,)``; of findings ``(N, K)``, -1 where unknown.
            decision: When an answer is right, and what an attack raises.
            n_steps: Gradient steps from each start.
            seed: Of random starts and noise.
            batch_size: Images at a time.
            on_images: Called with a number of images after each of their passes; may raise.
        """
        self.images, self.labels, self.decision = images, labels, decision
        self.n_steps = n_steps
        self._network, self._batch_size = network, batch_size
        self._on_images = on_images or (lambda _n: None)
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = torch.arange(len(images), device=images.device)
        self._n_flat = self._n_slopes = 0
        self.clean, self._slope = self._look_closely()
        self._worst, self._epsilon = self.clean.copy(), 0.0
        self._iterated = Found(images.clone(), self.clean.copy())

    @property
    def has_one_answer(self) -> bool:
        """Whether the network says the same about every image."""
        logits = self.clean.logits
        return bool(((logits.amax(dim=0) - logits.amin(dim=0)) < _SAME).all())

    @property
    def share_without_gradient(self) -> float:
        """Share of all points so far, also on the way, at which no gradient says where to go."""
        return self._n_flat / self._n_slopes

    def strengthen(self, epsilon: float) -> Strength:
        """Return what changes up to ``epsilon`` can do.

        Raises:
            ValueError: If it isn't more than the last time.
        """
        if not self._epsilon < epsilon <= 1.0:
            raise ValueError(f"after a strength of {self._epsilon} comes a greater one")
        self._go_on(epsilon)
        for criterion in self.decision.restarts(self.clean.logits.shape[1]):
            rows = self._rows[self._iterated.answers.is_right]
            start = Ball(self.images[rows], epsilon).random(self._generator)
            self._iterated.take(rows, self.climb(rows, start, criterion, epsilon=epsilon))
        self._epsilon = epsilon
        one_step = self.look((self.images + epsilon * self._slope).clamp(0.0, 1.0)).answers
        signs = torch.randint(0, 2, self.images.shape, generator=self._generator).to(self.images)
        noise = self.look((self.images + epsilon * (2.0 * signs - 1.0)).clamp(0.0, 1.0)).answers
        for answers in (self._iterated.answers, one_step, noise):
            self._worst.keep_worse(answers)
        return Strength(
            epsilon=epsilon,
            worst=self._worst.copy(),
            iterated=self._iterated.answers.copy(),
            one_step=one_step,
            noise=noise,
        )

    def _go_on(self, epsilon: float) -> None:
        """Climb from where the weaker attack arrived, as far out as the new strength allows."""
        if self._epsilon > 0.0:
            factor = epsilon / self._epsilon
            start = torch.lerp(self.images, self._iterated.images, factor)
        else:
            start = Ball(self.images, epsilon).random(self._generator)
        climbed = self.climb(self._rows, start, self.decision.loss, epsilon=epsilon)
        self._iterated.take(self._rows, climbed)

    def climb(self, rows: Tensor, start: Tensor, criterion: Criterion, *, epsilon: float) -> Found:
        """Return the worst point of each path of signed gradient steps.

        Args:
            rows: Which images, ``(M,)``.
            start: Where their paths begin, ``(M, C, H, W)``.
            criterion: The loss to raise.
            epsilon: How far from the images the paths may lead.
        """
        parts = [
            self._climb_batch(some, start[i : i + self._batch_size], criterion, epsilon)
            for i, some in self._batches(rows)
        ]
        return self._joined(parts)

    def _climb_batch(self, rows: Tensor, at: Tensor, criterion: Criterion, epsilon: float) -> Found:
        images, labels = self.images[rows], self.labels[rows]
        at = Ball(images, epsilon).project(at)
        best = Found(at.clone(), self.clean.of(rows))
        best.answers.harm.fill_(-torch.inf)
        moving = torch.arange(len(rows), device=at.device)
        for step in range(self.n_steps):
            slope, logits = gradient(self._network, at[moving], labels[moving], criterion)
            self._on_images(len(moving))
            seen = self._answers(logits, labels[moving])
            best.take(moving, Found(at[moving], seen))
            goes_on = seen.margins > -REST
            moving, slope = moving[goes_on], slope[goes_on]
            if not len(moving):
                return best
            share = step / max(1, self.n_steps - 1)
            length = epsilon * (_FIRST_STEP + (_LAST_STEP - _FIRST_STEP) * share)
            ball = Ball(images[moving], epsilon)
            at[moving] = ball.project(at[moving] + length * self._direction(slope))
        best.take(moving, self._look_at(rows[moving], at[moving]))
        return best

    def _direction(self, slope: Tensor) -> Tensor:
        """Return where to step: up the slope, or anywhere from where there is none."""
        direction = slope.sign()
        is_flat = self._note_flat(slope)
        if is_flat.any():
            shape = (int(is_flat.sum()), *slope.shape[1:])
            direction[is_flat] = self._signs(shape).to(direction)
        return direction

    def _note_flat(self, slope: Tensor) -> Tensor:
        is_flat = (slope == 0).flatten(1).all(dim=1)
        self._n_flat += int(is_flat.sum())
        self._n_slopes += len(slope)
        return is_flat

    def look(self, images: Tensor, rows: Tensor | None = None) -> Found:
        """Return what the network says about changed copies of some (or all) images."""
        rows = self._rows if rows is None else rows
        parts = [
            self._look_at(some, images[i : i + self._batch_size]) for i, some in self._batches(rows)
        ]
        return self._joined(parts)

    def _look_at(self, rows: Tensor, images: Tensor) -> Found:
        with torch.no_grad():
            logits = self._network(images).float()
        self._on_images(len(rows))
        return Found(images, self._answers(logits, self.labels[rows]))

    def _answers(self, logits: Tensor, labels: Tensor) -> Answers:
        return Answers(
            logits, self.decision.leads(logits, labels), self.decision.loss(logits, labels)
        )

    def _look_closely(self) -> tuple[Answers, Tensor]:
        """Return the unchanged images, and the sign of the gradient at each of their pixels."""
        logits, slopes = [], []
        for _, rows in self._batches(self._rows):
            images, labels = self.images[rows], self.labels[rows]
            slope, said = gradient(self._network, images, labels, self.decision.loss)
            self._on_images(len(rows))
            self._note_flat(slope)
            slopes.append(slope.sign().to(torch.int8))
            logits.append(said)
        all_logits = torch.cat(logits)
        return self._answers(all_logits, self.labels), torch.cat(slopes)

    def search_blindly(self, rows: Tensor, *, epsilon: float, n_tries: int) -> Found:
        """Return the worst cases that random squares of changed greys give; no gradient is used.

        A simple form of the Square Attack: stripes to begin with, then squares that shrink, each
        kept by an image if it makes the right answer lead by less.
        """
        images = self.images[rows]
        ball = Ball(images, epsilon)
        stripes = self._signs((*images.shape[:2], 1, images.shape[3])).to(images)
        best = self.look(ball.project(images + epsilon * stripes), rows)
        for attempt in range(n_tries):
            change = best.images - images
            self._change_squares(change, epsilon, attempt / n_tries)
            best.take(
                torch.arange(len(rows), device=images.device),
                self.look(ball.project(images + change), rows),
            )
        return best

    def _change_squares(self, change: Tensor, epsilon: float, progress: float) -> None:
        height, width = change.shape[2:]
        side = max(1, round(_FIRST_SQUARE * (1.0 - progress) ** 2 * min(height, width)))
        tops = torch.randint(0, height - side + 1, (len(change),), generator=self._generator)
        lefts = torch.randint(0, width - side + 1, (len(change),), generator=self._generator)
        signs = self._signs((*change.shape[:2], 1, 1)).to(change)
        for one, top, left, sign in zip(change, tops, lefts, signs, strict=True):
            one[:, top : top + side, left : left + side] = epsilon * sign

    def _signs(self, shape: tuple[int, ...]) -> Tensor:
        return 2.0 * torch.randint(0, 2, shape, generator=self._generator) - 1.0

    def _batches(self, rows: Tensor) -> list[tuple[int, Tensor]]:
        size = self._batch_size
        return [(i, rows[i : i + size]) for i in range(0, len(rows), size)]

    def _joined(self, parts: list[Found]) -> Found:
        if not parts:
            return Found(self.images[:0], self.clean.of(self._rows[:0]))
        return Found(
            torch.cat([part.images for part in parts]),
            Answers(
                torch.cat([part.answers.logits for part in parts]),
                torch.cat([part.answers.leads for part in parts]),
                torch.cat([part.answers.harm for part in parts]),
            ),
        )
