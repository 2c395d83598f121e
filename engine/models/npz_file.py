"""Vision transformers from the ``.npz`` files of their authors, under timm's names.

The files are of the AugReg study's JAX code, which has kernels in the order (input, output), and
queries, keys and values apart and cut into heads; timm has them transposed and in one tensor.

References:
    Steiner et al., "How to train your ViT? Data, Augmentation, and Regularization in Vision
    Transformers", TMLR 2022.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.errors import WeightsError

_PREFIXES: Final = ("opt/target/", "params/", "")
_BLOCK: Final = re.compile(r"Transformer/encoderblock_(\d+)/(.+)")
_OUTER: Final = {
    "cls": "cls_token",
    "embedding/kernel": "patch_embed.proj.weight",
    "embedding/bias": "patch_embed.proj.bias",
    "Transformer/posembed_input/pos_embedding": "pos_embed",
    "Transformer/encoder_norm/scale": "norm.weight",
    "Transformer/encoder_norm/bias": "norm.bias",
    "head/kernel": "head.weight",
    "head/bias": "head.bias",
}
_INNER: Final = {
    "LayerNorm_0/scale": "norm1.weight",
    "LayerNorm_0/bias": "norm1.bias",
    "LayerNorm_2/scale": "norm2.weight",
    "LayerNorm_2/bias": "norm2.bias",
    "MlpBlock_3/Dense_0/kernel": "mlp.fc1.weight",
    "MlpBlock_3/Dense_0/bias": "mlp.fc1.bias",
    "MlpBlock_3/Dense_1/kernel": "mlp.fc2.weight",
    "MlpBlock_3/Dense_1/bias": "mlp.fc2.bias",
}
_ATTENTION: Final = "MultiHeadDotProductAttention_1/"


def is_npz(content: bytes) -> bool:
    """Return whether a file is an archive of NumPy arrays and nothing else."""
    if content[:4] != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_npz(content: bytes) -> dict[str, Tensor]:
    """Return the tensors of an ``.npz`` file, under timm's names where it is a vision transformer.

    Raises:
        WeightsError: If it is damaged, or holds Python objects, which can run a program.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(
            "The .npz file is damaged, or holds Python objects that could run a program; it was "
            "not opened.",
            remedy="Download or copy it again, or choose a file with plain arrays.",
        ) from error
    for prefix in _PREFIXES:
        if f"{prefix}embedding/kernel" in arrays:
            inside = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            return _transformer(inside)
    return {name: _tensor(array) for name, array in arrays.items() if _is_number(array)}


def _transformer(arrays: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    tensors = {_OUTER[n]: _tensor(_turned(n, a)) for n, a in arrays.items() if n in _OUTER}
    attention: dict[int, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        if (match := _BLOCK.fullmatch(name)) is None:
            continue
        block, inner = int(match[1]), match[2]
        if inner in _INNER:
            tensors[f"blocks.{block}.{_INNER[inner]}"] = _tensor(_turned(inner, array))
        elif inner.startswith(_ATTENTION):
            attention.setdefault(block, {})[inner.removeprefix(_ATTENTION)] = array
    for block, parts in attention.items():
        tensors |= {f"blocks.{block}.attn.{n}": _tensor(a) for n, a in _joined(parts).items()}
    return tensors


def _turned(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not name.endswith("kernel"):
        return array
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _joined(parts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return one block's attention, heads and the three projections put together."""
    projections = ("query", "key", "value")
    joined: dict[str, NDArray[Any]] = {}
    if all(f"{p}/kernel" in parts for p in projections):  # (width, heads, width of a head)
        kernels = [parts[f"{p}/kernel"] for p in projections]
        joined["qkv.weight"] = np.concatenate([k.reshape(len(k), -1).T for k in kernels])
    if all(f"{p}/bias" in parts for p in projections):
        joined["qkv.bias"] = np.concatenate([parts[f"{p}/bias"].reshape(-1) for p in projections])
    if "out/kernel" in parts:  # (heads, width of a head, width)
        out = parts["out/kernel"]
        joined["proj.weight"] = out.reshape(-1, out.shape[-1]).T
    if "out/bias" in parts:
        joined["proj.bias"] = parts["out/bias"]
    return joined


def _is_number(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fiu"


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
