"""Updates of the weights: a batch's gradients, in as many parts as memory asks for, then a step.

Until all gradients are there nothing has changed that a second try would see, so a batch for which
memory didn't suffice can be computed again in smaller parts.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.contract.config import ExperimentConfig
from engine.data.transforms import Augment, pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.hardware.out_of_memory import is_out_of_memory
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.network import Network
from engine.seeding import step_seed
from engine.trainer.batch_parts import part_bounds, shares_of, weigher
from engine.trainer.losses import training_loss
from engine.trainer.optimizer import average_weights, build_optimizer, set_lr
from engine.trainer.optimizer_state import (
    pack_optimizer,
    pack_scaler,
    unpack_optimizer,
    unpack_scaler,
)
from engine.trainer.yardstick import yardstick

Batch = TypeVar("Batch", bound=Sized)
_GROUP: Final = 16  # images that are read and changed at random together, whatever the parts are


class HalfUpdatedError(Exception):
    """Memory ran out while the weights were being changed: they are neither the old nor the new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLoss:
    """What a batch's gradients said.

    Attributes:
        loss: Mean over the batch, before the update.
        is_finite: Whether it and all gradients are numbers; otherwise the update must be skipped.
    """

    loss: float
    is_finite: bool


class Setup(Protocol):
    """What every training is made with."""

    @property
    def config(self) -> ExperimentConfig:
        """The settings."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Device and precision."""
        ...


class BatchUpdater(ABC, Generic[Batch]):
    """Changes a network batch by batch; what a batch is, a subclass says.

    Attributes:
        optimizer: Over the parameters that the method trains; the others are frozen.
        n_images: Images of a whole batch.
    """

    n_images: int

    def __init__(self, network: Network, method: FineTuneMethod, setup: Setup) -> None:
        self._network, self._method = network, method
        self._config, self._runtime = setup.config, setup.runtime
        groups = method.parameter_groups(network, setup.config)
        trained = {id(p) for group in groups for p in group.parameters}
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self.optimizer = build_optimizer(groups, setup.config.optimizer)
        decay = setup.config.optimizer.ema_decay
        self._average = average_weights(network, decay) if decay > 0 else None
        self._scaler = torch.amp.GradScaler(
            self._runtime.device, enabled=self._runtime.precision == "fp16"
        )
        self._norms_before: list[tuple[Tensor, Tensor]] = []

    @abstractmethod
    def example(self, n: int) -> Batch:
        """Return a batch of ``n`` images, at most ``n_images``, to find out what memory holds."""

    @abstractmethod
    def copied(self) -> BatchUpdater[Batch]:
        """Return one that changes a copy of the network and of everything else."""

    @abstractmethod
    def _parts(
        self, batch: Batch, bounds: Sequence[tuple[int, int]], seed: int
    ) -> Iterator[Callable[[], Tensor]]:
        """Give, for each part of a batch, what computes its share of the batch's loss.

        A part's images are read when it is its turn.
        """

    @property
    def averaged(self) -> Network:
        """The network with averaged weights, where an average is kept."""
        averaged = self._network if self._average is None else self._average.module
        assert isinstance(averaged, Network)
        return averaged

    @property
    def is_scaled(self) -> bool:
        """Whether gradients are scaled, so that some updates are skipped as a matter of course."""
        return self._scaler.is_enabled()

    @property
    def learning_rate(self) -> float:
        """The head's present rate."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def gradients(self, batch: Batch, *, seed: int, lr_share: float, micro_batch: int) -> BatchLoss:
        """Compute a batch's gradients; :meth:`apply` or :meth:`skip` must follow.

        Args:
            batch: Which images.
            seed: Decides every random draw.
            lr_share: Share of the peak rate that the update will have.
            micro_batch: Most images that are computed at once.

        Raises:
            Exception: Anything; the network is as before then, and this can be called again.
        """
        set_lr(self.optimizer, lr_share)
        self.optimizer.zero_grad(set_to_none=True)
        self._norms_before = [(t, t.clone()) for t in _norm_statistics(self._network)]
        try:
            loss = self._accumulate(batch, seed, micro_batch)
            norm = self._clipped_norm()
            # The one place where a device is waited for: before the update, so that its own work
            # goes on while the next images are read.
            found = torch.stack([loss.float(), norm.to(loss.device).float()])
            loss_value, norm_value = found.tolist()
        except Exception:
            self._forget()
            raise
        is_finite = bool(np.isfinite([loss_value, norm_value]).all())
        return BatchLoss(loss=loss_value, is_finite=is_finite)

    def _accumulate(self, batch: Batch, seed: int, micro_batch: int) -> Tensor:
        norms = (m for m in self._network.modules() if isinstance(m, _BatchNorm))
        fewest = 2 if any(norm.training for norm in norms) else 1  # one image has no variance
        bounds = part_bounds(len(batch), micro_batch, fewest=fewest)
        total = torch.zeros((), device=self._runtime.device)
        for part, loss_of in enumerate(self._parts(batch, bounds, seed)):
            # Dropout and stochastic depth draw from the global generator.
            torch.manual_seed(step_seed(seed, "part", part) if part else seed)
            with autocast(self._runtime):
                loss = loss_of()
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _clipped_norm(self) -> Tensor:
        self._scaler.unscale_(self.optimizer)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        largest = self._config.optimizer.gradient_clip
        if largest > 0:
            return nn.utils.clip_grad_norm_(parameters, largest)
        return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])

    def apply(self) -> None:
        """Make the update that the gradients ask for.

        Raises:
            HalfUpdatedError: If memory didn't suffice.
        """
        try:
            self._scaler.step(self.optimizer)
            self._scaler.update()
            self._method.after_step(self._network, self.optimizer)
            if self._average is not None:
                self._average.update_parameters(self._network)
        except Exception as error:
            if is_out_of_memory(error):
                raise HalfUpdatedError from error
            raise

    def skip(self) -> None:
        """Leave the network as it was before the batch; a scaler takes a smaller scale."""
        if self._scaler.is_enabled():
            self._scaler.update()
        for present, before in self._norms_before:
            present.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)

    def _forget(self) -> None:
        """Be as before a batch whose gradients weren't finished."""
        for present, before in self._norms_before:
            present.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)
        self._renew_scaler()

    def _renew_scaler(self) -> None:
        """Take a scaler with the same scale that knows of no unfinished update."""
        if self._scaler.is_enabled():
            state = self._scaler.state_dict()
            self._scaler = torch.amp.GradScaler(self._runtime.device)
            self._scaler.load_state_dict(state)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that the next update depends on, by name, on the CPU.

        On the CPU they share memory with the network.
        """
        return packed(self._network, self._average, self.optimizer, self._scaler)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Be as when :meth:`tensors` gave these."""
        self.optimizer.zero_grad(set_to_none=True)
        self._renew_scaler()
        unpack(tensors, self._network, self._average, self.optimizer, self._scaler)


class Updater(BatchUpdater[NDArray[np.int64]]):
    """Changes a network by batches of one project, given as indices into its table, ``(N,)``.

    Attributes:
        criterion: The training loss.
    """

    def __init__(self, network: Network, method: FineTuneMethod, context: MethodContext) -> None:
        super().__init__(network, method, context)
        self._context, config = context, context.config
        self.n_images = min(config.optimizer.batch_size, max(1, len(context.data.train)))
        self.criterion = training_loss(
            config.loss,
            context.data.class_counts(),
            self._runtime.device,
            is_ordinal=context.data.table.is_ordinal,
        )
        self._yardstick = yardstick(config.loss, context.data, self._runtime.device)
        self._weigh = weigher(self.criterion)
        self._augment = Augment(config.augmentation, padding=config.image.padding)

    def example(self, n: int) -> NDArray[np.int64]:
        """Return the first training images."""
        return self._context.data.train[:n]

    def copied(self) -> Updater:
        """Return one that changes a copy of the network and of everything else."""
        # Together, so that a method that holds on to its network is left with the copy.
        network, method = copy.deepcopy((self._network, self._method))
        return Updater(network, method, self._context)

    def _parts(
        self, batch: NDArray[np.int64], bounds: Sequence[tuple[int, int]], seed: int
    ) -> Iterator[Callable[[], Tensor]]:
        labels = torch.from_numpy(self._context.data.table.labels[batch])
        shares = shares_of([self._weigh(labels[start:stop]) for start, stop in bounds])
        images_of = self._reading(batch, seed)
        for (start, stop), share in zip(bounds, shares, strict=True):
            images = images_of(start, stop)
            its_labels = labels[start:stop].to(self._runtime.device)
            yield partial(self._loss, images, its_labels, share)

    def _loss(self, images: Tensor, labels: Tensor, share: float) -> Tensor:
        loss = self._method.loss(self._network, images, labels, self.criterion, self._yardstick)
        return loss * share

    def _reading(self, chosen: NDArray[np.int64], seed: int) -> Callable[[int, int], Tensor]:
        """Return what gives a batch's images, randomly changed in the same way in any parts."""
        held: tuple[int, Tensor] | None = None

        def images(start: int, stop: int) -> Tensor:
            nonlocal held
            pieces = []
            for group in range(start // _GROUP, (stop - 1) // _GROUP + 1):
                first = group * _GROUP
                if held is None or held[0] != group:
                    held = None
                    rows = chosen[first : first + _GROUP]
                    held = (group, self._read(rows, step_seed(seed, group) if group else seed))
                pieces.append(held[1][max(0, start - first) : stop - first])
            return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

        return images

    def _read(self, chosen: NDArray[np.int64], seed: int) -> Tensor:
        data = self._context.data
        images = pixels_to_batch(data.pixels.read(data.table.rows[chosen]), self._runtime.device)
        return self._augment(images, torch.Generator().manual_seed(seed))


def packed(
    network: nn.Module,
    average: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> dict[str, Tensor]:
    """Return all that an update depends on, by name, on the CPU."""
    found = {f"network.{n}": t.detach().cpu() for n, t in network.state_dict().items()}
    if average is not None:
        found |= {f"average.{n}": t.detach().cpu() for n, t in average.state_dict().items()}
    return found | pack_optimizer(optimizer) | pack_scaler(scaler)


def unpack(
    tensors: dict[str, Tensor],
    network: nn.Module,
    average: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Put what :func:`packed` gave back into parts that were made alike.

    Raises:
        RuntimeError: If the networks have other tensors.
    """
    _load(network, tensors, "network.")
    if average is not None:
        _load(average, tensors, "average.")
    unpack_optimizer(optimizer, tensors)
    unpack_scaler(scaler, tensors)


def _norm_statistics(network: nn.Module) -> list[Tensor]:
    """Return what a forward pass changes in a network: running statistics that adapt."""
    norms = (m for m in network.modules() if isinstance(m, _BatchNorm) and m.training)
    return [buffer for norm in norms for buffer in norm.buffers(recurse=False)]


def _load(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    module.load_state_dict(
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    )
