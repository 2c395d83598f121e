"""When to stop: no better validation for a while."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class EarlyStopping:
    """Keeps the best epoch by validation AUROC and counts the epochs since.

    At equal AUROC the lower validation loss is better: on easy tasks AUROC saturates at 1 while
    the network still improves.

    Attributes:
        patience: Epochs without a better result after which training should end.
        counts_from: Epoch after which those are counted.
    """

    patience: int
    counts_from: int = 0
    best_epoch: int = 0
    best_auroc: float = float("-inf")
    best_loss: float = float("inf")

    def update(self, epoch: int, auroc: float, loss: float, *, is_forced: bool = False) -> bool:
        """Take in an epoch's validation and return whether it is the best so far.

        Args:
            epoch: From 1.
            auroc: On validation.
            loss: On validation.
            is_forced: Whether it takes the place of the best whatever it is like.
        """
        is_better = is_forced or (auroc, -loss) > (self.best_auroc, -self.best_loss)
        if is_better:
            self.best_epoch, self.best_auroc, self.best_loss = epoch, auroc, loss
        return is_better

    def is_over(self, epoch: int) -> bool:
        """Whether patience has run out after ``epoch``; never while there is no best."""
        since = max(self.best_epoch, self.counts_from)
        return self.best_epoch > 0 and epoch - since >= self.patience
