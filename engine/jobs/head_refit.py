"""Fitting the decision layer alone, quickly enough to follow someone who relabels images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.commands import RefitHead
from engine.contract.config import BackboneConfig, preset_config
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.events import Event, JobProgressed
from engine.contract.results import HeadRefit
from engine.data.pixels import open_pixels, pixel_kind
from engine.hardware import apply_runtime, place_run
from engine.jobs.bench import Bench
from engine.jobs.fresh_network import fresh_network
from engine.jobs.head_probabilities import head_probabilities
from engine.jobs.run_checks import with_weights_there_are
from engine.jobs.seen_before import backbone_warning
from engine.methods.head_solver import one_blas_thread
from engine.methods.linear_head import LinearHead, fit_linear_head
from engine.methods.linear_probe import fit_head, head_loss, install_head
from engine.methods.method import MethodContext, TrainingData
from engine.methods.registry import get_method
from engine.metrics.validation import validation_auroc
from engine.models.fallback import looking_warning
from engine.models.features import features_kind
from engine.models.network import Network
from engine.models.weights_warning import weights_warning
from engine.project.access import open_alone
from engine.project.segment_reader import SegmentReader
from engine.project.table import TrainingTable
from engine.splits.folds import make_folds
from engine.trainer.full_disk import waiting_as_warning

_N_FOLDS: Final = 2
_SURE: Final = 0.8  # probability of another class from which a label is worth a second look
_MOST_DOUBTED: Final = 50


def refit_head(command: RefitHead, emit: Callable[[Event], None], control: Control) -> HeadRefit:
    """Fit a linear probe to the present labels, and say how good it is and what it contradicts.

    The division of the images is taken as it is, also where labels have changed since it was made:
    what is wanted is whether they have become better. Images that came later are in no part. Test
    images take no part. How good it is goes out as the facts of a :class:`JobProgressed` as soon
    as it is known: ``val_auroc``, as in the result.

    Raises:
        DatasetError: If a part lacks a class, or only described images are wanted and some aren't.
        JobCanceled: If canceled.
        ProjectError: If the project can't be written.
    """
    started = time.perf_counter()

    def show(stage: str, done: int, total: int) -> None:
        emit(JobProgressed(kind="refit_head", stage=stage, done=done, total=total))

    with open_alone(Path(command.project), owner="a fit of the decision layer") as project:
        table = project.training_table()
        _require_classes(table)
        config = preset_config("quick", method="linear_probe")
        chosen = BackboneConfig(key=command.backbone, weights=command.weights)
        config = replace(config, image=project.image_contract, backbone=chosen)
        config = with_weights_there_are(config)
        runtime, fallback = place_run(config.runtime, safe_point=control.wait_point)
        apply_runtime(runtime)
        bench = Bench(
            project=project,
            table=table,
            image=config.image,
            runtime=runtime,
            control=control,
            on_event=waiting_as_warning(emit),
        )
        network = fresh_network(config, get_method(config.method.key), table, runtime)
        used = table.rows[(table.split == 0) | (table.split == 1)]
        kind = features_kind(network, config.image, runtime)
        n_missing = _n_missing(SegmentReader(project, kind), used)
        if command.described_only and n_missing:
            raise DatasetError(
                f"{n_missing:,} images haven't been described by the backbone yet.",
                remedy="Train a linear probe once; then the decision layer follows the labels.",
            )
        for warned in (
            weights_warning(config.backbone),
            backbone_warning(project, table, config.backbone),
        ):
            if warned is not None:
                emit(warned)
        if fallback is not None:
            deed = "describes images" if n_missing else "fits the decision layer"
            size_px = config.image.size_px
            emit(looking_warning(fallback, network, size_px, n_missing, deed=deed))
        if command.described_only:
            pixels = SegmentReader(project, pixel_kind(config.image))
        else:
            pixels = open_pixels(project, config.image, control=control)

        def features_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return bench.features(network, rows, control, on_progress=show)

        data = TrainingData(table=table, pixels=pixels, features_of=features_of)
        context = MethodContext(
            config=config, data=data, runtime=runtime, report=show, control=control
        )
        with one_blas_thread():
            head = fit_head(network, context, features_of)
            install_head(network, head)
            auroc = validation_auroc(
                head_probabilities(network, features_of(table.rows[data.val])),
                table.labels[data.val],
                table.positive,
            )
            emit(_fitted(auroc))
            doubted = () if table.is_multi else _doubted(network, context, head)
    return HeadRefit(
        val_auroc=auroc,
        n_train=len(data.train),
        n_val=len(data.val),
        seconds=round(time.perf_counter() - started, 3),
        doubted=doubted,
    )


def _fitted(auroc: float) -> JobProgressed:
    """Return what whoever relabels waits for, before a second look at the labels takes its time."""
    facts = {"val_auroc": auroc}
    return JobProgressed(
        kind="refit_head", stage="Looking at labels again", done=0, total=0, facts=facts
    )


def _doubted(network: Network, context: MethodContext, head: LinearHead) -> tuple[int, ...]:
    """Return records whose label a head contradicts that hasn't seen it, the surest first.

    Validation images are judged by the head itself, which saw them only to choose its strength;
    each training image by one of the same strength, fitted without the image's patient.
    """
    data, table = context.data, context.data.table
    features = data.features_of(table.rows[data.train])
    labels = table.labels[data.train]
    try:
        folds = make_folds(labels, table.groups[data.train], _N_FOLDS, seed=0)
    except DatasetError:  # a class of so few patients
        return ()
    probabilities = np.empty((len(labels), data.n_classes))
    for fold in range(_N_FOLDS):
        context.control.safe_point()
        inside, outside = folds != fold, folds == fold
        fitted = fit_linear_head(
            (features[inside], labels[inside]),
            (features[outside], labels[outside]),
            widths=network.feature_blocks,
            class_weights=None,
            loss=head_loss(context.config.loss, data),
            score=lambda *_: 0.0,  # there is one strength to choose from
            strengths=(head.strength,),
            start=head,
        )
        probabilities[outside] = fitted.probabilities(features[outside])
    of_val = head.probabilities(data.features_of(table.rows[data.val]))
    judged = np.concatenate([data.train, data.val])
    probabilities = np.concatenate([probabilities, of_val])
    own = probabilities[np.arange(len(judged)), table.labels[judged]]
    is_doubted = probabilities.max(axis=1) >= _SURE
    is_doubted &= probabilities.argmax(axis=1) != table.labels[judged]
    chosen = np.flatnonzero(is_doubted)
    chosen = chosen[np.argsort(own[chosen], kind="stable")][:_MOST_DOUBTED]
    return tuple(int(record) for record in table.record_ids[judged[chosen]])


def _n_missing(features: SegmentReader, rows: NDArray[np.int64]) -> int:
    n_missing = len(features.missing(rows))
    features.close()
    return n_missing


def _require_classes(table: TrainingTable) -> None:
    if table.is_multi:  # each finding that it holds can be learned
        return
    for code, name in ((0, "training"), (1, "validation")):
        if len(np.unique(table.labels[table.split == code])) < max(2, len(table.class_names)):
            raise DatasetError(
                f"The {name} images don't hold all classes, so there is nothing to measure yet.",
                remedy="Make a split, or label more images.",
            )
