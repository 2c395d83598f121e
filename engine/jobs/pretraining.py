"""Pre-training a backbone on several projects; one that was cut off goes on when it is repeated."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from engine.contract.backbones import BackboneCard
from engine.contract.commands import Pretrain
from engine.contract.config import BackboneConfig, ExperimentConfig, preset_config
from engine.contract.config_io import to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import ConfigError
from engine.contract.events import Event, JobProgressed
from engine.contract.pretraining import PretrainedOn, PretrainResult
from engine.contract.shell import train_line
from engine.data.pixels import open_pixels
from engine.hardware import apply_runtime, place_run
from engine.jobs.going_on import tell_changed_versions
from engine.jobs.memory_kills import MemoryKills
from engine.jobs.pretrain_sources import PretrainSource, opened_sources
from engine.models.fallback import expected_seconds, fallback_warning
from engine.models.registry import build_network, check_size
from engine.models.weights import (
    register_backbone,
    tensors_digest,
    weights_digest,
    weights_info,
    weights_state,
)
from engine.models.weights_warning import weights_warning
from engine.project.learned_before import note_pretraining
from engine.project.learned_here import note_learned_images
from engine.project.pretrainings import begin_or_go_on, data_of
from engine.project.searching import PRETRAIN
from engine.project.store import Project
from engine.seeding import seed_everything
from engine.trainer.checkpoint import has_state
from engine.trainer.full_disk import PatientPixels, waiting_as_warning, when_there_is_room
from engine.trainer.pretrain_state import Pretrained
from engine.trainer.pretrain_task import Task, n_outputs
from engine.trainer.pretraining import Pretrainer, PretrainProgress

FEWEST_PROJECTS: Final = 2
Emit = Callable[[Event], None]


def pretrain(command: Pretrain, emit: Emit, control: Control) -> PretrainResult:
    """Train one backbone on the training images of several projects and add it to the catalog.

    Test images are not touched, nor learned from as a copy in another project. The order in which
    the projects are given doesn't count. One that was cut off goes on if settings and data are the
    same.

    Raises:
        ConfigError: If fewer than two projects are given, or the backbone has no weights.
        DatasetError: If a project isn't ready for training, or two prepare images of other sizes.
        JobCanceled: If canceled, and then nothing is kept; or interrupted, and then the same
            command goes on.
        ProjectError: If a project can't be opened.
    """
    started = time.perf_counter()
    _check(command)
    config = _settings(command)
    with opened_sources(command.projects) as sources:
        check_size(command.backbone, sources[0].project.image_contract.size_px)
        with _kept(command, config, sources, emit, control) as place:
            ranked = sorted(sources, key=lambda source: data_of(source.project))
            kept, card = _train(command, config, ranked, place, emit, control)
            shares = _shares(sources, dict(zip(ranked, kept.val_aurocs, strict=True)))
            _note(sources, kept, emit, control)
            weights = _register(command, card, kept, shares)
    return PretrainResult(
        weights=weights,
        name=command.name,
        backbone=command.backbone,
        projects=shares,
        epochs=kept.epochs,
        best_epoch=kept.best_epoch,
        seconds=round(kept.seconds_before + time.perf_counter() - started, 2),
        sentences=(
            *(_told(share) for share in shares),
            f"To train on it: {_next(command, weights)}",
        ),
    )


@contextmanager
def _kept(
    command: Pretrain,
    config: ExperimentConfig,
    sources: Sequence[PretrainSource],
    emit: Emit,
    control: Control,
) -> Iterator[tuple[Project, Path]]:
    """Give who keeps the state, and its folder.

    That goes unless there is something in it to go on from.
    """
    asked = {"config": to_plain(config), "weights": weights_digest(command.backbone)}
    keeper, name = begin_or_go_on([source.project for source in sources], asked, command)
    tell_changed_versions(keeper, name, emit)
    folder = keeper.run_folder(name)
    try:
        yield keeper, folder
    except JobCanceled:
        if not control.interrupted:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except Exception:
        if not has_state(folder / "checkpoints"):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _train(
    command: Pretrain,
    config: ExperimentConfig,
    sources: Sequence[PretrainSource],
    place: tuple[Project, Path],
    emit: Emit,
    control: Control,
) -> tuple[Pretrained, BackboneCard]:
    """Train on the sources; return the best pass, its AUROCs in their order, and the card."""
    tasks = [_task(source, emit, control) for source in sources]
    runtime, fallback = place_run(config.runtime, safe_point=control.wait_point)
    apply_runtime(runtime)
    seed_everything(config.seed)
    network = build_network(
        command.backbone, n_outputs(tasks), seed=command.seed, features="last"
    ).to(runtime.device)
    if fallback is not None:
        size_px = sources[0].project.image_contract.size_px
        n_train, n_val = (sum(len(getattr(s, p)) for s in sources) for p in ("train", "val"))
        seconds = expected_seconds(network, size_px, n_train, n_val, command.epochs)
        emit(fallback_warning("", fallback, seconds))
    if (warned := weights_warning(BackboneConfig(key=command.backbone))) is not None:
        emit(warned)
    report, (keeper, folder) = _Reporter(emit), place
    memory_kills = MemoryKills(folder, keeper.require_there)
    trainer = Pretrainer(
        network,
        tasks,
        replace(config, image=sources[0].project.image_contract),
        runtime,
        control,
        report,
        report.describing,
        folder,
        emit,
        keeper.require_there,
        was_killed=memory_kills.have_ended_it(),
    )
    with memory_kills.noted():
        return trainer.train(), network.card


def _check(command: Pretrain) -> None:
    folders = {Path(project).absolute() for project in command.projects}
    if len(folders) < FEWEST_PROJECTS or len(folders) < len(command.projects):
        raise ConfigError(
            "Pre-training needs at least two different projects.",
            remedy="Choose projects whose images are labelled and divided.",
        )
    if not command.name.strip():
        raise ConfigError("The new backbone has no name.", remedy="Give it one.")
    if weights_state(command.backbone) == "missing":
        raise ConfigError(
            "The backbone to start from has no pre-trained weights here.",
            remedy="Choose EfficientNet-Lite0, or add a weights file for this one.",
        )


def _settings(command: Pretrain) -> ExperimentConfig:
    """Return the settings of Standard, with the command's; no pass is saved by stopping early."""
    config = preset_config("standard", backbone=command.backbone, seed=command.seed)
    method = replace(config.method, max_epochs=command.epochs, patience=command.epochs)
    return replace(config, method=method, runtime=command.runtime)


def _task(source: PretrainSource, emit: Emit, control: Control) -> Task:
    def on_progress(done: int, total: int) -> None:
        emit(JobProgressed(kind=PRETRAIN, stage="Reading images", done=done, total=total))

    table, contract = source.table, source.project.image_contract
    return Task(
        pixels=PatientPixels(
            open_pixels(source.project, contract, on_progress, control),
            run="",
            emit=waiting_as_warning(emit),
            control=control,
        ),
        train_rows=table.rows[source.train],
        train_labels=table.labels[source.train],
        val_rows=table.rows[source.val],
        val_labels=table.labels[source.val],
        n_classes=len(table.class_names),
        positive=table.positive,
        padding=contract.padding,
    )


class _Reporter:
    """Turns the trainer's progress into events."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def describing(self, done: int, total: int) -> None:
        """Tell how many images are described, for the heads to start from."""
        self._emit(JobProgressed(kind=PRETRAIN, stage="Describing images", done=done, total=total))

    def __call__(self, progress: PretrainProgress) -> None:
        """Tell how far training is."""
        stage = f"Training, pass {progress.epoch}"
        if progress.val_auroc is not None:
            stage += f" (best validation AUROC so far {progress.val_auroc:.3f})"
        self._emit(
            JobProgressed(
                kind=PRETRAIN,
                stage=stage,
                done=progress.step,
                total=progress.n_steps,
                seconds_left=progress.seconds_left,
            )
        )


def _shares(
    sources: Sequence[PretrainSource], aurocs: Mapping[PretrainSource, float]
) -> tuple[PretrainedOn, ...]:
    return tuple(
        PretrainedOn(
            name=source.project.name,
            classes=source.table.class_names,
            n_train=len(source.train),
            n_val=len(source.val),
            n_left_out=int((~source.is_kept & np.isin(source.table.split, (0, 1))).sum()),
            val_auroc=round(aurocs[source], 4),
        )
        for source in sources
    )


def _note(
    sources: Sequence[PretrainSource], kept: Pretrained, emit: Emit, control: Control
) -> None:
    """Keep what was learned from, before the backbone can be chosen for a run.

    Each project keeps it of itself; this computer, for others that hold some of the images.
    """
    digest = tensors_digest(kept.body)
    learned = [(source.project, source.table.record_ids[source.train]) for source in sources]
    notes = [partial(note_pretraining, project, digest, ids) for project, ids in learned]
    for note in (*notes, partial(note_learned_images, digest, learned)):
        when_there_is_room(note, run="", emit=waiting_as_warning(emit), control=control)


def _register(
    command: Pretrain, card: BackboneCard, kept: Pretrained, shares: Sequence[PretrainedOn]
) -> str:
    """Keep the backbone with its card and return what ``BackboneConfig.weights`` calls it."""
    start = weights_info(command.backbone)
    weights_id = register_backbone(
        command.backbone,
        kept.body,
        name=command.name.strip(),
        pretrained_on=_sentence(start.pretrained_on, shares),
        licence=start.licence,  # no freer than what it began from
        mean=card.mean,
        std=card.std,
    )
    return f"file:{weights_id}"


def _sentence(seen: str, shares: Sequence[PretrainedOn]) -> str:
    counted = ", ".join(f"“{share.name}” ({share.n_train:,} images)" for share in shares)
    return f"{seen}; then your projects {counted}"


def _told(share: PretrainedOn) -> str:
    text = (
        f"“{share.name}”: validation AUROC {share.val_auroc:.3f}, learned from "
        f"{share.n_train:,} images."
    )
    if share.n_left_out:
        text += f" Left out as equal to a test image: {share.n_left_out:,}."
    return text


def _next(command: Pretrain, weights: str) -> str:
    """Return the command that goes on from the new backbone with the first of the projects."""
    config = preset_config("standard")
    backbone = BackboneConfig(key=command.backbone, weights=weights)
    return train_line(command.projects[0], replace(config, backbone=backbone))
