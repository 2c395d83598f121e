"""What a network's head says of images whose features are at hand."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from engine.models.network import Network, probabilities_of


def head_probabilities(network: Network, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return class probabilities, ``(N, K)``, of features that a network's head takes."""
    network.eval()
    with torch.inference_mode():
        device = network.head.weight.device
        logits = network.classify(torch.from_numpy(features).to(device))
        return probabilities_of(network, logits).cpu().numpy()
