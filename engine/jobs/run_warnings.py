"""What a run warns of before it trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.events import Warned
from engine.contract.recommendation import shortage
from engine.hardware import Fallback
from engine.jobs.seen_before import backbone_warning
from engine.models.fallback import expected_seconds, fallback_warning
from engine.models.network import Network
from engine.models.weights_warning import weights_warning
from engine.project.cautions import left_out_sentence, val_scarcity
from engine.project.setup_facts import image_counts
from engine.project.store import Project
from engine.project.table import TrainingTable

_SCARCITY_REMEDY: Final = "Divide the images anew with a larger share for validation, or add some."


def data_warnings(run: str, table: TrainingTable, method: str, *, is_new: bool) -> Iterator[Warned]:
    """Yield what is left out of the images, and for a new run whether they are few.

    Args:
        run: Its id.
        table: The images.
        method: Key of the method that learns from them.
        is_new: Whether the run begins.
    """
    if left_out := left_out_sentence(table):
        yield Warned(run=run, message=left_out)
    if not is_new:
        return
    if few := shortage(image_counts(table, table.split == 0), method):
        yield Warned(run=run, message=few)
    yield from scarcity_warnings(run, table)


def scarcity_warnings(run: str, table: TrainingTable) -> Iterator[Warned]:
    """Yield which classes validation has too few patients of."""
    if scarce := val_scarcity(table):
        yield Warned(run=run, message=scarce, remedy=_SCARCITY_REMEDY)


def backbone_warnings(
    run: str, project: Project, table: TrainingTable, backbone: BackboneConfig
) -> Iterator[Warned]:
    """Yield what is to be said of the pre-trained weights that a run begins with."""
    for warned in (
        weights_warning(backbone, run),
        backbone_warning(project, table, backbone, run),
    ):
        if warned is not None:
            yield warned


def processor_warning(
    run: str,
    why: Fallback,
    network: Network,
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    trains_epochs: bool,
) -> Warned:
    """Return that the processor trains, why, and for about how long."""
    n_train, n_val = (int((table.split == part).sum()) for part in (0, 1))
    epochs = config.method.max_epochs if trains_epochs else 0
    seconds = expected_seconds(network, config.image.size_px, n_train, n_val, epochs)
    return fallback_warning(run, why, seconds, is_most=epochs > 0)
