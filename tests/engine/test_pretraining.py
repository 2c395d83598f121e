"""One backbone from several projects: what it learns from, what it leaves alone, how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.control import Control, JobCanceled
from engine.contract.targets import UNKNOWN
from engine.hardware import Runtime
from engine.models.registry import build_network
from engine.trainer.pretrain_state import Pretrained
from engine.trainer.pretrain_task import Task, n_outputs
from engine.trainer.pretraining import Pretrainer, PretrainProgress
from tests.helpers.tiny_study import SIZE_PX, small_config


class Pixels:
    """Images in memory that remember which of them were read."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        self.values = values
        self.seen: set[int] = set()

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        self.seen |= set(rows.tolist())
        return self.values[rows]


def make_task(n_classes: int = 2, counts: tuple[int, ...] = (24, 8), *, colour: bool = False):
    """Return a task whose class is the way that stripes run; its last ten rows are nobody's."""
    random = np.random.default_rng(n_classes)
    labels = np.repeat(np.arange(n_classes), counts)
    n_val = 4 * n_classes
    val_labels = np.arange(n_val) % n_classes
    every = np.concatenate([labels, val_labels, np.zeros(10, dtype=np.int64)])
    # Soft blobs of many greys under stripes: of plain noise a network describes next to nothing.
    coarse = random.integers(40, 140, (len(every), 1, 8, 8))
    values = np.kron(coarse, np.ones((SIZE_PX // 8, SIZE_PX // 8)))[:, 0].astype(np.uint8)
    down, right = np.indices((SIZE_PX, SIZE_PX))
    stripes = [(way // 4 % 2) * 100 for way in (down, right, down + right)]
    for image, label in zip(values, every, strict=True):
        image += stripes[label].astype(np.uint8)
    if colour:
        values = np.repeat(values[..., None], 3, axis=3)
    return Task(
        pixels=Pixels(values),
        train_rows=np.arange(len(labels)),
        train_labels=labels,
        val_rows=np.arange(len(labels), len(labels) + n_val),
        val_labels=val_labels,
        n_classes=n_classes,
        positive=1 if n_classes == 2 else None,
        padding="black",
    )


def make_findings_task(n: int = 40) -> Task:
    """Return a task of two findings, stripes in the upper and in the lower half; one is rare."""
    random = np.random.default_rng(7)
    labels = np.stack([np.arange(n + 12) % 2, np.arange(n + 12) % 5 == 0], axis=1).astype(np.int64)
    coarse = random.integers(40, 140, (len(labels), 1, 8, 8))
    values = np.kron(coarse, np.ones((SIZE_PX // 8, SIZE_PX // 8)))[:, 0].astype(np.uint8)
    down, right = np.indices((SIZE_PX, SIZE_PX))
    for image, states in zip(values, labels, strict=True):
        for way, half, is_present in zip((down, right), np.split(image, 2), states, strict=True):
            half += np.uint8(is_present) * ((way // 4 % 2) * 100).astype(np.uint8)[: len(half)]
    labels[3::9, 0] = UNKNOWN
    return Task(
        pixels=Pixels(values),
        train_rows=np.arange(n),
        train_labels=labels[:n],
        val_rows=np.arange(n, n + 12),
        val_labels=labels[n:],
        n_classes=2,
        positive=None,
        padding="black",
    )


def settings(max_epochs: int = 1, **optimizer: Any) -> ExperimentConfig:
    config = small_config(max_epochs=max_epochs)
    return replace(config, optimizer=replace(config.optimizer, **optimizer))


def pretrain(
    tasks: list[Task],
    config: ExperimentConfig,
    control: Control | None = None,
    on_progress: Any = lambda progress: None,
    weights: str = "pretrained",
) -> Pretrained:
    network = build_network(
        "efficientnet_lite0", n_outputs(tasks), features="last", weights=weights
    )
    trainer = Pretrainer(network, tasks, config, Runtime(), control or Control(), on_progress)
    return trainer.train()


def test_learns_every_task_and_reads_no_other_image():
    tasks = [make_task(), make_task(3, (8, 8, 8), colour=True)]
    kept = pretrain(tasks, settings(max_epochs=2))
    assert len(kept.val_aurocs) == 2
    assert min(kept.val_aurocs) > 0.9
    for task in tasks:
        assert isinstance(task.pixels, Pixels)
        assert max(task.pixels.seen) <= int(task.val_rows.max())


def test_the_backbone_changes_and_its_frozen_part_does_not():
    before = build_network("efficientnet_lite0", 2, features="last").body.state_dict()
    kept = pretrain([make_task(), make_task()], settings())
    assert kept.body.keys() == before.keys()
    changed = {name for name, tensor in kept.body.items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("blocks.6") for name in changed)
    assert not any(name.startswith(("conv_stem", "blocks.0", "blocks.1.")) for name in changed)


def test_the_same_seed_gives_the_same_bits():
    tasks = [make_task(), make_task(3, (8, 8, 8))]
    one, other = pretrain(tasks, settings()), pretrain(tasks, settings())
    assert all(torch.equal(one.body[name], other.body[name]) for name in one.body)
    another = pretrain(tasks, replace(settings(), seed=1))
    assert not all(torch.equal(one.body[name], another.body[name]) for name in one.body)


def test_a_draw_gives_every_class_its_share():
    task = make_task(2, (190, 10))
    chosen = task.draw(2000, np.random.default_rng(0))
    share = float((task.train_labels[chosen] == 1).mean())
    assert share == pytest.approx(0.5, abs=0.04)
    assert len(np.unique(chosen)) > 150


def test_findings_are_learned_beside_classes():
    tasks = [make_findings_task(), make_task(3, (8, 8, 8), colour=True)]
    kept = pretrain(tasks, settings(max_epochs=2))
    assert min(kept.val_aurocs) > 0.9
    one, other = (pretrain(tasks, settings()).body for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_loss_of_findings_is_that_of_what_is_known_as_a_share_of_guessing():
    task = make_findings_task()
    guess = task.loss(torch.zeros(4, 2), torch.tensor([[1, 0]] * 4), label_smoothing=0.0)
    assert float(guess) == pytest.approx(1.0)
    logits, labels = torch.tensor([[2.0, 9.0], [-1.0, 0.5]]), torch.tensor([[1, UNKNOWN], [1, 0]])
    known = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0])
    )
    found = task.loss(logits, labels, label_smoothing=0.0)
    assert float(found) == pytest.approx(float(known) / np.log(2))


def test_what_is_unknown_is_not_measured():
    task = make_findings_task()
    right = torch.from_numpy(np.where(task.val_labels == 1, 4.0, -4.0))
    auroc, loss = task.measured(right)
    assert auroc == 1.0
    assert loss == pytest.approx(float(np.log1p(np.exp(-4.0))))
    right[torch.from_numpy(task.val_labels == UNKNOWN)] = 50.0
    again, loss_again = task.measured(right)
    assert again == auroc
    assert loss_again == pytest.approx(loss)


def test_a_draw_shows_a_rare_finding_more_often():
    task = make_findings_task()
    chosen = task.draw(4000, np.random.default_rng(0))
    share = float((task.train_labels[chosen, 1] == 1).mean())
    assert share > 1.5 * float((task.train_labels[:, 1] == 1).mean())


def test_progress_counts_every_update_and_tells_the_best_so_far():
    seen: list[PretrainProgress] = []
    pretrain([make_task(), make_task()], settings(max_epochs=2), on_progress=seen.append)
    assert [progress.step for progress in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].step == seen[-1].n_steps
    assert seen[0].val_auroc is None
    assert seen[-1].val_auroc is not None


def test_a_cancel_ends_at_the_next_batch():
    control, seen = Control(), []

    def cancel_at_third(progress: PretrainProgress) -> None:
        seen.append(progress)
        if progress.step == 3:
            control.cancel()

    with pytest.raises(JobCanceled):
        pretrain([make_task(), make_task()], settings(5), control, cancel_at_third)
    assert len(seen) == 3


def test_a_stop_keeps_the_best_epoch():
    control = Control()
    kept = pretrain(
        [make_task(), make_task()], settings(50), control, lambda progress: control.stop()
    )
    assert (kept.epochs, kept.best_epoch) == (1, 1)


def test_starts_from_heads_that_already_tell_the_classes_apart():
    frozen = settings(learning_rate=1e-6, warmup=0.0)
    assert min(pretrain([make_task(), make_task(3, (8, 8, 8))], frozen).val_aurocs) > 0.8


def test_a_network_of_another_size_is_a_mistake():
    network = build_network("efficientnet_lite0", 3, features="last")
    with pytest.raises(ValueError, match="2 logits"):
        Pretrainer(network, [make_task()], settings(), Runtime(), Control(), lambda progress: None)
