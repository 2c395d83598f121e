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
    warning = (
        f" With {min(present)} images of one class, more of them would help most."
        if min(present) < _FEW
        else ""
    )
    if ratio < _MANIFOLD:
        advice = "counting images of rarer classes more keeps them from being missed"
        return "weights", f"{about}: {advice}.{warning}"
    advice = (
        "adjusting for how common each class is keeps rare ones from being missed, and is steadier "
        "than weights at such a difference"
    )
    return "logit_adjustment", f"{about}: {advice}.{warning}"


def findings_advice(counts: Sequence[int], n_images: int) -> tuple[str, str]:
    """Return the same for several findings an image, each of which is present or absent.

    Findings don't compete for an image, so it isn't their sizes that count but how much rarer than
    its absence the rarest of them is.

    Args:
        counts: Training images that show each finding; findings that none shows don't count.
        n_images: All training images.
    """
    rarest = min((count for count in counts if count > 0), default=0)
    if rarest == 0:
        return "none", "No image shows a finding yet, so there is nothing to even out."
    ratio = (n_images - rarest) / rarest
    if ratio < _EQUAL:
        return "none", "Every finding is about as often present as absent, or more often."
    about = f"The rarest finding is present in {rarest:,} of {n_images:,} images"
    warning = " More images that show it would help most." if rarest < _FEW else ""
    if ratio < _MANIFOLD:
        advice = "counting such images more keeps it from being missed"
        return "weights", f"{about}: {advice}.{warning}"
    advice = (
        "adjusting for how common each finding is keeps it from being missed, and is steadier than "
        "weights at such a difference"
    )
    return "logit_adjustment", f"{about}: {advice}.{warning}"
