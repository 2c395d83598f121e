"""What a pre-trained network says about every image, in few numbers; shared with training.

The features are those that the linear probe of the default backbone uses, kept in the project: a
run that follows finds them there, and the audit finds those of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from engine.audit.study import Study
from engine.contract.config import BackboneConfig, RuntimeConfig
from engine.methods.linear_head import standardisation

N_COMPONENTS: Final = 256
_MOST_FITTED: Final = 2048
_AT_ONCE: Final = 4096
_SEED: Final = 0


def describe_images(study: Study) -> NDArray[np.float32]:
    """Return the principal components of all images' features, float32 ``(N, D)``.

    ``D`` is at most 256. The axes are those of at most 2,048 images, chosen at random; labels and
    split play no part.

    Raises:
        JobCanceled: If the user had enough; what was computed is mostly kept.
        WeightsError: If the backbone's weights are missing or damaged.
        DatasetError: If originals are needed and can't be read.
    """
    from engine.hardware import apply_runtime, place_run
    from engine.models.fallback import looking_warning
    from engine.models.features import cached_features
    from engine.models.registry import build_network

    study.pixels.close()  # they must be there
    runtime, fallback = place_run(RuntimeConfig(), safe_point=study.control.wait_point)
    apply_runtime(runtime)
    network = build_network(BackboneConfig().key, 2).to(runtime.device)
    n = len(study)
    if fallback is not None:
        size_px = study.project.image_contract.size_px
        study.warn(looking_warning(fallback, network, size_px, n, deed="describes images"))

    def features_of(chosen: NDArray[np.int64], n_before: int) -> NDArray[np.float32]:
        return cached_features(
            study.project,
            network,
            study.project.image_contract,
            study.rows[chosen],
            runtime,
            control=study.control,
            on_progress=lambda done, total: study.tick(n_before + done, n),
        )

    parts = [np.arange(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE)]
    for part in parts:  # computes what is missing; all at once would not fit into memory
        features_of(part, int(part[0]))
    sample = np.sort(np.random.default_rng(_SEED).permutation(n)[:_MOST_FITTED])
    axes = principal_axes(features_of(sample, 0), network.feature_blocks)
    return np.concatenate([axes.project(features_of(part, int(part[0]))) for part in parts])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrincipalAxes:
    """The directions in which standardised features vary most.

    Attributes:
        mean: Shape ``(F,)``.
        scale: Shape ``(F,)``.
        directions: Orthonormal, shape ``(F, D)``.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features in these directions, shape ``(N, D)``."""
        standardised = (features - self.mean) * self.scale
        return np.asarray(standardised @ self.directions, dtype=np.float32)


def principal_axes(features: NDArray[np.float32], widths: Sequence[int]) -> PrincipalAxes:
    """Return the axes of some images' features, each block of features counting alike.

    Args:
        features: Shape ``(N, F)``.
        widths: Widths of the blocks, summing to F.
    """
    mean64, scale64 = standardisation(features, widths)
    mean, scale = mean64.astype(np.float32), scale64.astype(np.float32)
    values = (features - mean) * scale
    n_wanted = min(N_COMPONENTS, len(values))
    # Far fewer images than features: their products have the same axes as the features' ones.
    products = (values @ values.T).astype(np.float64)
    lengths, mixtures = eigh(products, subset_by_index=(len(values) - n_wanted, len(values) - 1))
    kept = lengths > max(float(lengths.max(initial=0.0)) * 1e-6, 1e-12)
    longest_first = (mixtures[:, kept] / np.sqrt(lengths[kept]))[:, ::-1].astype(np.float32)
    directions = np.asarray(values.T @ longest_first, dtype=np.float32)
    return PrincipalAxes(mean=mean, scale=scale, directions=directions)
