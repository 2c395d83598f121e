"""Writing a bundle, and reading it back before it is called done."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save

from engine.bundle.difference import difference_of
from engine.bundle.familiarity import Familiarity, watch_head
from engine.bundle.format import (
    BUNDLE_VERSION,
    CARD_NAME,
    FAMILIARITY_NAME,
    WEIGHTS_NAME,
    BackboneFacts,
    BundleFacts,
)
from engine.bundle.read import largest_difference, pretrained_tensors, read_bundle
from engine.contract.bundle_facts import FACTS_NAME, facts_digest
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import finite, from_plain, to_plain
from engine.contract.control import Control
from engine.contract.errors import BundleError, EngineError
from engine.contract.events import Event, JobProgressed
from engine.contract.import_rules import FramePolicy
from engine.contract.records import SPLITS
from engine.contract.results import EvaluationResult, FindingResult
from engine.contract.targets import SOFTMAX
from engine.data.pixels import load_pixels
from engine.evaluate.findings import choose_thresholds
from engine.evaluate.report import choose_threshold
from engine.evaluate.score import FinishedRun, chosen_by, load_run, score_validation
from engine.export.model_card import model_card
from engine.export.predictor import Predictor
from engine.files import (
    long_path,
    make_folder,
    replace_folder,
    sha256_file,
    storage_error,
    write_atomic,
    write_json,
)
from engine.metrics.few_groups import scarce_classes
from engine.models.ensemble import EnsembleNetwork
from engine.models.network import Network
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.trainer.steps import predict_batch

_BUNDLE_FILES: Final = frozenset({FACTS_NAME, WEIGHTS_NAME, CARD_NAME, FAMILIARITY_NAME})
_MOST_DESCRIBED: Final = {0: 400, 1: 200}  # training and validation images
_N_VERIFIED: Final = 32
_TOLERANCE: Final = 1e-3
_HEADLINE: Final = [
    "n_known",
    "auroc",
    "auroc_low",
    "auroc_high",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "f1",
    "n_images",
    "n_patients",
    "looks",
]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A verified bundle.

    Attributes:
        bundle: Its folder.
        max_difference: Largest difference of a probability between the run and the bundle.
        n_verified: Images that were compared.
        from_originals: Whether those images were read from the original files.
        weights_bytes: Size of the file with the weights.
        is_difference: Whether that file holds only what differs from the pre-trained weights.
    """

    bundle: str
    max_difference: float
    n_verified: int
    from_originals: bool
    weights_bytes: int
    is_difference: bool


def export_bundle(
    project: Project,
    run: str,
    out: Path,
    emit: Callable[[Event], None],
    control: Control,
    *,
    difference_only: bool = False,
) -> Exported:
    """Write a bundle of a finished run and verify it on real images.

    Args:
        project: Holds the run.
        run: Its id.
        out: Folder of the bundle; an earlier bundle there is replaced.
        emit: Receives the progress.
        control: Requests to honour between pieces of work.
        difference_only: Whether to store only what differs from the pre-trained weights.

    Raises:
        BundleError: If the folder holds something else, the bundle doesn't reproduce the run, or
            there are no pre-trained weights to differ from.
        RunError: If the run isn't finished.
        StorageError: If the disk is full or can't be written.
    """
    _check_target(out)
    loaded = load_run(project, run, emit=emit, safe_point=control.wait_point)
    if difference_only and loaded.members:
        raise BundleError(
            "A run that combines others is exported whole.",
            remedy="Export it without leaving out the pre-trained weights.",
        )
    if difference_only and loaded.config.backbone.weights == "scratch":
        raise BundleError(
            "This run began from random weights, so there is nothing its weights differ from.",
            remedy="Export the whole bundle.",
        )
    table = project.training_table()
    n_looks = 2 * int(np.isin(table.split, (0, 1)).sum())
    if (warned := loaded.fallback_warning(n_looks, deed="computes")) is not None:
        emit(warned)
    # Short, as the bundle's name may be as long as the disk allows.
    name = hashlib.sha256(os.fsencode(out.name)).hexdigest()[:12]
    writing = out.with_name(f".radtune-{name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    try:
        _progress(emit, "Writing the bundle", 0)
        familiarity = _familiarity(loaded, table, control)
        facts = replace(_facts(project, loaded, table), is_difference=difference_only)
        _write(writing, facts, loaded, familiarity)
        control.safe_point()
        _progress(emit, "Checking it on real images", 1)
        difference, n, from_originals = _verify(project, loaded, table, writing)
        if difference > _TOLERANCE:
            raise BundleError(
                f"The exported bundle differs from the run by up to {difference:.2g}.",
                remedy="Nothing was kept. Try again; if it happens again, report it.",
            )
        weights_bytes = (writing / WEIGHTS_NAME).stat().st_size
        replace_folder(writing, out)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    _progress(emit, "Checking it on real images", 2)
    return Exported(
        bundle=str(out),
        max_difference=difference,
        n_verified=n,
        from_originals=from_originals,
        weights_bytes=weights_bytes,
        is_difference=difference_only,
    )


def _progress(emit: Callable[[Event], None], stage: str, done: int) -> None:
    emit(JobProgressed(kind="export", stage=stage, done=done, total=2))


def _check_target(out: Path) -> None:
    """Refuse a place that holds anything but an earlier bundle, which would be lost."""
    folder = long_path(out)
    try:
        others = {path.name for path in folder.iterdir()} - _BUNDLE_FILES
        is_free = not others and (not any(folder.iterdir()) or (folder / FACTS_NAME).is_file())
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, "the bundle") from error
    if not is_free:
        raise BundleError(
            "The chosen folder holds other files.",
            remedy="Choose an empty folder or a new name for the bundle.",
        )


def _write(
    folder: Path, facts: BundleFacts, loaded: FinishedRun, familiarity: Familiarity | None
) -> None:
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in loaded.network.state_dict().items()
    }
    if facts.is_difference:
        tensors = difference_of(tensors, pretrained_tensors(facts))
    make_folder(folder)
    write_atomic(folder / WEIGHTS_NAME, save(tensors))
    write_atomic(folder / CARD_NAME, model_card(facts))
    names = [WEIGHTS_NAME, CARD_NAME]
    if familiarity is not None:
        write_atomic(folder / FAMILIARITY_NAME, save(familiarity.tensors()))
        names.append(FAMILIARITY_NAME)
    files = {name: sha256_file(folder / name) for name in names}
    plain = finite(to_plain(replace(facts, files=files)))
    write_json(folder / FACTS_NAME, plain | {"facts_digest": facts_digest(plain)})


def _familiarity(loaded: FinishedRun, table: TrainingTable, control: Control) -> Familiarity | None:
    """Return what training and validation images look like to the network, from a part of them.

    Nothing where the network learned from validation images: it would take too much for familiar.
    """
    if loaded.held_out is not None:
        return None
    seen = []
    for code, most in _MOST_DESCRIBED.items():
        found = np.flatnonzero(table.split == code)
        chosen = found[np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)]
        parts = np.array_split(table.rows[chosen], max(1, len(chosen) // 64))
        with watch_head(loaded.network) as inputs:
            for rows in parts:
                control.safe_point()
                predict_batch(loaded.network, loaded.pixels.read(rows), loaded.runtime)
        seen.append(np.concatenate(inputs))
    return Familiarity.fit(*seen)


def _facts(project: Project, loaded: FinishedRun, table: TrainingTable) -> BundleFacts:
    config = loaded.config
    summary = project.run_summary(loaded.id)
    val = score_validation(loaded, table)
    return BundleFacts(
        bundle_version=BUNDLE_VERSION,
        name=project.name,
        classes=loaded.class_names,
        positive=loaded.positive,
        threshold=None if loaded.is_multi else choose_threshold(val, loaded.positive),
        activation=loaded.recipe.get("activation", SOFTMAX),
        thresholds=choose_thresholds(val) if loaded.is_multi else (),
        image=config.image,
        backbone=_backbone_facts(loaded),
        test_time_views=config.evaluation.test_time_views,
        precision=loaded.runtime.precision,
        metrics=_metrics(project.evaluation(loaded.id), summary.val_auroc),
        data=_data_summary(loaded, table) | {"run_mark": project.run_mark(loaded.id)},
        method={"preset": config.preset, "epochs": summary.epochs, "settings": to_plain(config)},
        versions=loaded.recipe["versions"],
        frames=_frames(project),
        members=tuple(
            _facts_of_weights(network, member.config, member.weights)
            for network, member in zip(_networks(loaded), loaded.members, strict=True)
        ),
    )


def _networks(loaded: FinishedRun) -> list[Network]:
    """Return the networks of a run that combines others, none of another run."""
    network = loaded.network
    return list(network.networks()) if isinstance(network, EnsembleNetwork) else []


def _backbone_facts(loaded: FinishedRun) -> BackboneFacts:
    if "classifier" in loaded.recipe:  # applied as it was
        facts: BackboneFacts = from_plain(BackboneFacts, loaded.recipe["classifier"]["backbone"])
        return facts
    if loaded.members:
        first = loaded.members[0]
        return _facts_of_weights(_networks(loaded)[0], first.config, first.weights)
    assert isinstance(loaded.network, Network)
    return _facts_of_weights(loaded.network, loaded.config, loaded.recipe["weights"])


def _facts_of_weights(
    network: Network, config: ExperimentConfig, weights: dict[str, Any]
) -> BackboneFacts:
    card = network.card
    is_scratch = config.backbone.weights == "scratch"
    pretrained_on = weights.get("pretrained_on") or card.pretrained_on
    return BackboneFacts(
        key=card.key,
        family=card.library,
        builder=card.builder,
        features=network.feature_kind,
        mean=card.mean,
        std=card.std,
        pretrained_on="nothing (random weights)" if is_scratch else pretrained_on,
        weights_digest="" if is_scratch else weights["digest"],
        licence="none: random weights" if is_scratch else weights["licence"],
    )


def _frames(project: Project) -> FramePolicy:
    """Return the frame policy that most images were imported with."""
    sources = project.sources()
    return max(sources, key=lambda source: source.n_images).frames if sources else FramePolicy()


def _metrics(result: EvaluationResult | None, val_auroc: float | None) -> dict[str, Any]:
    metrics: dict[str, Any] = {"validation_auroc": val_auroc, "test": None}
    if result is not None:
        metrics["test"] = {name: getattr(result, name) for name in _HEADLINE}
        metrics["test"]["intervals_95"] = to_plain(result.intervals)
        metrics["test"]["confusion"] = to_plain(result.confusion)
        if result.findings:
            metrics["test"]["findings"] = [_finding_metrics(found) for found in result.findings]
    return metrics


def _finding_metrics(found: FindingResult) -> dict[str, Any]:
    own = found.result
    names = ("sensitivity", "specificity", "ppv", "npv")
    return {
        "name": found.name,
        "n_present": found.n_present,
        "n_absent": found.n_absent,
        "n_unknown": found.n_unknown,
        "threshold": own.threshold,
        "auroc": to_plain(own.intervals["auroc"]),
        "average_precision": to_plain(found.average_precision),
        **{name: to_plain(own.intervals[name]) for name in names},
        "brier": found.brier,
        "calibration_error": found.calibration_error,
    }


def _data_summary(loaded: FinishedRun, table: TrainingTable) -> dict[str, Any]:
    if table.is_multi:
        is_class = table.labels == 1
    else:
        is_class = table.labels[:, np.newaxis] == np.arange(len(loaded.class_names))
    return {
        "images": {
            name: {
                label: int((is_class[:, k] & (table.split == code)).sum())
                for k, label in enumerate(loaded.class_names)
            }
            for code, name in enumerate(SPLITS)
        },
        "patients": {
            name: len(np.unique(table.patients[table.split == code]))
            for code, name in enumerate(SPLITS)
        },
        "scarce": {
            name: scarce_classes(table.labels[of], table.groups[of], loaded.class_names)
            for name, of in (("val", chosen_by(loaded, table)), ("test", table.split == 2))
        },
        "kept_together": table.unit,
    }


def _verify(
    project: Project, loaded: FinishedRun, table: TrainingTable, folder: Path
) -> tuple[float, int, bool]:
    """Compare the bundle with the run on validation images, through the original files if there.

    Validation, because only an evaluation may look at the test images.
    """
    val = np.flatnonzero(table.split == 1)
    chosen = val[np.linspace(0, len(val) - 1, min(_N_VERIFIED, len(val))).astype(int)]
    predictor = Predictor(read_bundle(folder), loaded.runtime)
    pixels, from_originals = _pixels(project, loaded, table, chosen)
    expected = loaded.probabilities(table.rows[chosen])
    difference = largest_difference(expected, predictor.predict_pixels(pixels))
    return difference, len(chosen), from_originals


def _pixels(
    project: Project, loaded: FinishedRun, table: TrainingTable, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.generic], bool]:
    contract = loaded.config.image
    records = [int(record) for record in table.record_ids[chosen]]
    try:
        images = [
            load_pixels(original.file, contract, frame=original.frame, axis=original.axis)[0]
            for original in project.originals(records)
        ]
        return np.stack(images), True
    except EngineError:  # originals moved away: the cached pixels came from them
        return loaded.pixels.read(table.rows[chosen]), False
