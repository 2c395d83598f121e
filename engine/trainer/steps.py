"""One update of the weights, and one pass over validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.data.transforms import pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.hardware.out_of_memory import in_parts
from engine.metrics.findings import findings_log_loss
from engine.metrics.validation import validation_auroc
from engine.models.features import PixelRows
from engine.models.network import probabilities_of


def train_step(
    loss_of: Callable[[], Tensor],
    *,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    runtime: Runtime,
    gradient_clip: float,
) -> float:
    """Make one update and return the batch's loss before it.

    Args:
        loss_of: Returns the loss of the batch, a scalar; called once, under autocast.
        optimizer: Its parameters are those of the loss.
        scaler: Belongs to the optimizer.
        runtime: Device and precision.
        gradient_clip: Largest norm of the gradient; 0 for none.

    The scaler keeps small gradients from vanishing in fp16 (Micikevicius et al., "Mixed Precision
    Training", ICLR 2018); switched off, as in every other precision, it changes nothing.
    """
    optimizer.zero_grad(set_to_none=True)
    with autocast(runtime):
        loss = loss_of()
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch says no types here
    scaler.unscale_(optimizer)
    if gradient_clip > 0:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, gradient_clip)
    scaler.step(optimizer)
    scaler.update()
    return float(loss.item())


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a pass over validation gave.

    Attributes:
        probabilities: Shape ``(N, K)``, float64; of classes rows sum to 1, of findings each value
            stands alone.
    """

    loss: float
    auroc: float
    probabilities: NDArray[np.float64]


def predict_probabilities(
    network: nn.Module,
    reader: PixelRows,
    rows: NDArray[np.int64],
    runtime: Runtime,
    *,
    batch_size: int = 64,
    views: Callable[[Tensor], list[Tensor]] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Return class probabilities, shape ``(N, K)``, averaged over test-time views if given.

    Args:
        network: In whichever mode it is, it is switched to evaluation mode.
        reader: Cached pixels.
        rows: Rows to predict, shape ``(N,)``.
        runtime: Device, precision and memory layout.
        batch_size: Images per forward pass; fewer where memory doesn't suffice.
        views: Returns the moved copies of a batch whose probabilities are averaged.
        on_batch: Called with images done and in total.
    """
    parts: list[NDArray[np.float64]] = []

    def predict(start: int, stop: int) -> None:
        pixels = reader.read(rows[start:stop])
        parts.append(predict_batch(network, pixels, runtime, views=views))

    def tell(done: int) -> None:
        if on_batch is not None:
            on_batch(done, len(rows))

    in_parts(len(rows), batch_size, predict, on_part=tell)
    return np.concatenate(parts) if parts else np.empty((0, 0))


def predict_batch(
    network: nn.Module,
    pixels: NDArray[np.generic],
    runtime: Runtime,
    *,
    views: Callable[[Tensor], list[Tensor]] | None = None,
) -> NDArray[np.float64]:
    """Return the class probabilities of one batch of pixels, shape ``(N, K)``."""
    network.eval()
    with torch.inference_mode():
        batch = pixels_to_batch(pixels, runtime.device)
        copies = views(batch) if views is not None else [batch]
        mean = torch.stack([_probabilities(network, copy, runtime) for copy in copies]).mean(0)
        return mean.cpu().numpy()


def _probabilities(network: nn.Module, batch: Tensor, runtime: Runtime) -> Tensor:
    with autocast(runtime):
        logits = network(batch)
    return probabilities_of(network, logits)


def validate(
    network: nn.Module,
    reader: PixelRows,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    runtime: Runtime,
    *,
    class_weights: NDArray[np.float64] | None,
    positive: int | None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Validation:
    """Return loss and AUROC on the validation images."""
    probabilities = predict_probabilities(network, reader, rows, runtime, on_batch=on_batch)
    return Validation(
        loss=log_loss(probabilities, labels, class_weights),
        auroc=validation_auroc(probabilities, labels, positive),
        probabilities=probabilities,
    )


def log_loss(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    class_weights: NDArray[np.float64] | None,
) -> float:
    """Return the class-weighted mean negative log-likelihood; of findings the known count."""
    if labels.ndim == 2:
        return findings_log_loss(probabilities, labels)
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, 1.0)
    weights = np.ones(len(labels)) if class_weights is None else class_weights[labels]
    return float(-(weights * np.log(chosen)).sum() / weights.sum())
