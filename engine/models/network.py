"""A backbone with a new head, from image values to logits."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from engine.contract.backbones import BackboneCard
from engine.contract.targets import ACTIVATIONS, SIGMOID, SOFTMAX
from engine.hardware.exact import in_float64
from engine.models.adapt import tap_widths
from engine.models.body import Body, TokenBody

FEATURE_KINDS: Final = ("stages", "last")
_STD_EPSILON: Final = 1e-6  # keeps the gradient finite where a map is constant


class Network(nn.Module):
    """A pre-trained body, pooling over the image, and a linear head.

    Input: ``(N, 1, H, W)`` or ``(N, 3, H, W)`` float values in [0, 1]; a grey image is repeated
    over the body's three channels. Output: ``(N, K)`` float32 logits. Normalisation with the card's
    mean and standard deviation is part of the network, so nothing outside can forget it; its
    constants come from the card and are not among the saved tensors.

    Under autocast the body computes in lower precision, pooling and head in float32: 16-bit logits
    would tie cases that differ.

    Two kinds of features:

    - ``stages``: mean and standard deviation over the image of each scale's maps. Findings in
      radiographs are often texture, which early layers keep and the last one, made for objects in
      photographs, has given up.
    - ``last``: mean of the last maps alone, as in the original networks. MobileNets' are those
      before the hidden layer of their original classifier.

    A vision transformer's maps are the tokens of its patches, where they lie in the image. Its
    class token, which its original head saw, is part of the first kind of features and all of the
    second.

    Attributes:
        card: Facts about the backbone; mean and standard deviation are those of its weights.
        body: The library's layers before pooling, under the library's names.
        head: The decision layer over the standardised features.
        weights_digest: Names the weights that the body started from, in bundles.
        body_name: Names the body as it was built, in caches (``engine.models.weights.body_name``).
        feature_kind: One of :data:`FEATURE_KINDS`.
        feature_blocks: Width of each part of the features that was pooled in one way.
        channels_last: Whether the body gets its images pixel by pixel in memory.
        activation: What turns logits into probabilities: ``softmax`` of classes of which an image
            has one, ``sigmoid`` of findings of which it has any number.
    """

    mean: Tensor
    std: Tensor
    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        card: BackboneCard,
        body: Body,
        n_classes: int,
        *,
        features: str = "stages",
        weights_digest: str = "",
        body_name: str = "",
        activation: str = SOFTMAX,
    ) -> None:
        super().__init__()
        if features not in FEATURE_KINDS:
            raise ValueError(f"no features of the kind {features!r}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"no activation {activation!r}")
        self.card = card
        self.body = body
        self.weights_digest = weights_digest
        self.body_name = body_name
        self.channels_last = True
        self.feature_kind = features
        self.activation = activation
        self._taps = body.layout.taps if features == "stages" else body.layout.taps[-1:]
        self.feature_blocks = _feature_blocks(card.key, body, features)
        for name, values in (("mean", card.mean), ("std", card.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        n_features = sum(self.feature_blocks)
        self.register_buffer("feature_mean", torch.zeros(n_features))
        self.register_buffer("feature_scale", torch.ones(n_features))
        self.head = nn.Linear(n_features, n_classes)

    @property
    def n_features(self) -> int:
        """Width of the features."""
        return self.head.in_features

    @property
    def n_classes(self) -> int:
        """Number of logits."""
        return self.head.out_features

    @property
    def is_pretrained(self) -> bool:
        """Whether the body started from pre-trained weights."""
        return bool(self.weights_digest) and not self.weights_digest.startswith("scratch")

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Modules of the body in running order, by stage."""
        return tuple(
            tuple(self.body.get_submodule(name) for name in names)
            for names in self.body.layout.stages
        )

    def feature_maps(self, images: Tensor) -> Tensor:
        """Return the body's last feature maps, ``(N, C, h, w)``.

        Raises:
            ValueError: If the images have neither 1 nor 3 channels, or an impossible size.
        """
        return self.body.as_maps(self._run(images)[1])

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features, ``(N, F)`` float32, before standardisation.

        Raises:
            ValueError: If the images have neither 1 nor 3 channels, or an impossible size.
        """
        return torch.cat(self._run(images)[0], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits, ``(N, K)``, of features as :meth:`features` gives them."""
        logits: Tensor = self.head((features - self.feature_mean) * self.feature_scale)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(N, K)`` float32."""
        features = self.features(images)
        device = features.device.type
        if torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self.classify(features)
        return self.classify(features)

    def _run(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        pooled: list[Tensor] = []
        x = self._normalised(images)
        for name in (name for names in self.body.layout.stages for name in names):
            x = self.body.step(name, x)
            if name in self._taps:
                pooled += self._pool(x, is_last=name == self._taps[-1])
        return pooled, x

    def _pool(self, x: Tensor, *, is_last: bool) -> list[Tensor]:
        token = self.body.class_token(x) if is_last else None
        summary = [] if token is None else [token.float()]
        maps = self.body.as_maps(x)
        if self.feature_kind == "last":
            return summary or [maps.mean(dim=(2, 3), dtype=torch.float32)]
        # In two steps: torch.var_mean is ten times as slow on maps that lie pixel by pixel.
        maps = maps.float()
        mean = maps.mean(dim=(2, 3), keepdim=True)
        variance = (maps - mean).square().mean(dim=(2, 3))
        return [*summary, mean.flatten(1), (variance + _STD_EPSILON).sqrt()]

    def set_standardisation(self, mean: Tensor, scale: Tensor) -> None:
        """Fix what the head sees: ``(features - mean) * scale``, each of shape ``(F,)``.

        Features of one scale differ a hundredfold in size; without this, one learning rate would
        not fit all of the head's weights.

        Raises:
            ValueError: If a shape is not ``(F,)``.
        """
        if mean.shape != self.feature_mean.shape or scale.shape != self.feature_mean.shape:
            raise ValueError(f"there are {self.n_features} features, not {tuple(mean.shape)}")
        with torch.no_grad():
            self.feature_mean.copy_(mean)
            self.feature_scale.copy_(scale)

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Copy a decision layer, fitted on standardised features, into the head.

        Args:
            weight: Shape ``(K, F)``.
            bias: Shape ``(K,)``.

        Raises:
            ValueError: If a shape differs from the head's.
        """
        if weight.shape != self.head.weight.shape or bias.shape != self.head.bias.shape:
            raise ValueError(f"the head is {tuple(self.head.weight.shape)}, not {weight.shape}")
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.copy_(bias)

    def _normalised(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"images must be (N, 1 or 3, H, W), not {tuple(images.shape)}")
        x = (images - self.mean) / self.std  # one channel becomes three here
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x


def probabilities_of(network: nn.Module, logits: Tensor) -> Tensor:
    """Return the probabilities, float64 ``(N, K)``, that a network's logits stand for.

    A module that doesn't name an activation tells classes apart, of which an image has one.
    """
    if getattr(network, "activation", SOFTMAX) == SIGMOID:
        return in_float64(logits).sigmoid()
    return in_float64(logits).softmax(dim=1)


def _feature_blocks(key: str, body: Body, features: str) -> tuple[int, ...]:
    widths = tap_widths(key)
    if features == "last":
        return widths[-1:]
    blocks = [width for width in widths for _ in range(2)]
    if isinstance(body, TokenBody):
        blocks.append(widths[-1])
    return tuple(blocks)
