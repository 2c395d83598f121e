"""What a network says about each image before its head, computed once and kept in the project."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.data.transforms import pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.hardware.out_of_memory import in_parts
from engine.models.network import Network
from engine.project.folder import ProjectFolder
from engine.project.segment_reader import SegmentReader
from engine.project.segments import SegmentWriter

BATCH_SIZE: Final = 32
_ROWS_PER_COMMIT: Final = 1024  # what a cancel or a crash loses, at most


class PixelRows(Protocol):
    """Where pixels come from; a ``SegmentReader`` in a run."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return ``(len(rows), H, W)`` or ``(len(rows), H, W, 3)``, uint8 or uint16."""
        ...


def extract(
    network: Network,
    reader: PixelRows,
    rows: NDArray[np.int64],
    runtime: Runtime,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    control: Control | None = None,
) -> NDArray[np.float32]:
    """Return the network's features of pixel rows, shape ``(len(rows), F)``.

    The network is left in the mode it was in.

    Args:
        network: On the runtime's device.
        reader: Cached pixels.
        rows: Shape ``(N,)``.
        runtime: Device and precision.
        on_progress: Called after each batch with images done and in total.
        control: Asked before each batch.

    Raises:
        JobCanceled: If the job was asked to cancel.
    """
    features = np.empty((len(rows), network.n_features), dtype=np.float32)
    was_training = network.training

    def describe(start: int, stop: int) -> None:
        batch = pixels_to_batch(reader.read(rows[start:stop]), runtime.device)
        with torch.inference_mode(), autocast(runtime):
            features[start:stop] = network.features(batch).cpu().numpy()

    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(done, len(rows))
        if control is not None and done < len(rows):
            control.safe_point()

    network.eval()
    try:
        if control is not None:
            control.safe_point()
        in_parts(len(rows), BATCH_SIZE, describe, on_part=tell)
    finally:
        network.train(was_training)
    return features


def cached_features(
    project: ProjectFolder,
    network: Network,
    contract: ImageContract,
    rows: NDArray[np.int64],
    runtime: Runtime,
    *,
    body: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    control: Control | None = None,
) -> NDArray[np.float32]:
    """Return features of pixel rows, computing those that the project doesn't have yet.

    The body must be as it was built: features of trained layers are of no use to anyone else.

    Args:
        project: Where pixels and features are kept; the pixels must be there.
        network: On the runtime's device.
        contract: The image contract of the pixels.
        rows: Shape ``(N,)``.
        runtime: Device and precision.
        body: Names the network's body; None takes its own ``body_name``.
        on_progress: Called with images done and in total, counting only those computed now.
        control: Asked before each batch.

    Returns:
        Shape ``(N, F)``, in the order of ``rows``.

    Raises:
        JobCanceled: If the job was asked to cancel; what was computed so far is mostly kept.
        ProjectError: If pixels are missing.
        StorageError: If the disk is full or read-only.
    """
    kind = features_kind(network, contract, runtime, body=body)
    reader = SegmentReader(project, kind)
    missing = np.unique(reader.missing(np.asarray(rows, dtype=np.int64)))
    if len(missing):
        pixels = SegmentReader(project, f"pixels-{contract.key()}")
        _compute(
            SegmentWriter(project, kind, (network.n_features,), np.float32),
            lambda part, progress: extract(
                network, pixels, part, runtime, on_progress=progress, control=control
            ),
            missing,
            on_progress,
        )
        reader.refresh()
    features: NDArray[np.float32] = reader.read(rows)
    reader.close()
    return features.reshape(len(rows), network.n_features)


def features_kind(
    network: Network, contract: ImageContract, runtime: Runtime, *, body: str | None = None
) -> str:
    """Return the kind of segment that holds features; anything that changes them changes it.

    See :func:`cached_features`. Normalisation counts by itself: the same tensors can be added with
    another mean and standard deviation.
    """
    parts = (
        network.card.key,
        network.feature_kind,
        network.body_name if body is None else body,
        repr((network.card.mean, network.card.std)),
        contract.key(),
        runtime.device,
        runtime.precision,
    )
    return f"features-{hashlib.sha256('|'.join(parts).encode('utf-8')).hexdigest()[:12]}"


_Progress = Callable[[int, int], None]


def _compute(
    writer: SegmentWriter,
    extract_rows: Callable[[NDArray[np.int64], _Progress], NDArray[np.float32]],
    missing: NDArray[np.int64],
    on_progress: _Progress | None,
) -> None:
    with writer:
        for start in range(0, len(missing), _ROWS_PER_COMMIT):
            part = missing[start : start + _ROWS_PER_COMMIT]

            def progress(done: int, _: int, start: int = start) -> None:
                if on_progress is not None:
                    on_progress(start + done, len(missing))

            writer.append(extract_rows(part, progress), part)
            writer.commit()
