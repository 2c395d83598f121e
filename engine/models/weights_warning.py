"""What a job says at its start when not every layer begins from pre-trained weights."""

from __future__ import annotations

from engine.contract.config import BackboneConfig
from engine.contract.events import Warned
from engine.models.adapt import find_card
from engine.models.weights import FILE, SCRATCH, added_weights, weights_info, weights_state
from engine.models.weights_facts import share_words


def weights_warning(backbone: BackboneConfig, run: str = "") -> Warned | None:
    """Return what to say of the weights that a job starts from; None if they are whole.

    Args:
        backbone: Which network and which weights.
        run: The run's id; empty for other jobs.

    Raises:
        ConfigError: If there is no such backbone.
    """
    title = find_card(backbone.key).title
    if backbone.weights == SCRATCH and weights_state(backbone.key) != "missing":
        return Warned(
            run=run,
            message=f"{title} starts from scratch, as the settings say: with random weights it "
            "needs far more images to become any good.",
            remedy="Choose its pre-trained weights (backbone.weights=pretrained), unless this is "
            "meant.",
        )
    if backbone.weights == SCRATCH:
        return Warned(
            run=run,
            message="This backbone has no pre-trained weights here: it starts from scratch, "
            "with random ones, and needs far more images to become any good.",
            remedy="Add a weights file for it, or choose EfficientNet-Lite0.",
        )
    info = weights_info(backbone.key, backbone.weights)
    if info.is_whole:
        return None
    share = next(item.share for item in added_weights(backbone.key) if item.id == info.id)
    if share < 1:
        what = f"hold only {share_words(share)} of {title}: the rest starts from random ones."
    else:
        what = f"come from a file of another network, which has layers that {title} doesn't have."
    return Warned(
        run=run,
        message=f"The weights {FILE}{info.id} {what}",
        remedy=f"Add a whole weights file for {title}, or choose other weights.",
    )
