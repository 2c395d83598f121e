"""What to do about classes of unequal size, said before training.

A few times more images of one class than of another are evened out well by weights. From tenfold
on, the weight of a rare image is so large that single ones decide a step of training; adjusting
the logits evens out the same without making any step larger (Menon et al., "Long-tail learning via
logit adjustment", ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_EQUAL: Final = 1.5
_MANIFOLD: Final = 10.0
_FEW: Final = 20


def imbalance_advice(counts: Sequence[int]) -> tuple[str, str]:
    """Return which choice of ``LossConfig.imbalance`` fits, and a sentence that says why.

    Args:
        counts: Training images of each class; classes without images don't count.
    """
    present = [count for count in counts if count > 0]
    if len(present) < 2:
        return "none", "There is only one class with images, so there is nothing to even out."
    ratio = max(present) / min(present)
    if ratio < _EQUAL:
        return "none", "The classes are about equally common; nothing needs evening out."
    times = f"{ratio:.0f} times" if ratio >= 3 else f"{ratio:.1f} times"
    about = f"The most common class has {times} the images of the rarest"
    if ratio < _MANIFOLD:
        choice = "weights"
        advice = "counting images of rarer classes more keeps them from being missed"
    else:
        choice = "logit_adjustment"
        advice = (
            "adjusting for how common each class is keeps rare ones from being missed, and is "
            "steadier than weights at such a difference"
        )
    warning = (
        f" With {min(present)} images of one class, more of them would help most."
        if min(present) < _FEW
        else ""
    )
    return choice, f"{about}: {advice}.{warning}"
