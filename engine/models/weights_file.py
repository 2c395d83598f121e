"""Tensors from a weights file of unknown origin, without running what may be in it.

PyTorch's own format is a pickle, which can call any function when it is read. Its instructions are
listed first, without following them, and anything but tensors is refused; then torch reads it with
``weights_only=True``, which refuses on its own.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from torch import Tensor

from engine.contract.errors import WeightsError
from engine.files import long_path, storage_error
from engine.models.npz_file import is_npz, read_npz

MAX_BYTES: Final = 2**31
_ALIKE: Final = 0.9  # share of the most tensors that another copy of the network has at least
_BETTER_COPIES: Final = ("teacher", "model_ema", "state_dict_ema", "ema", "ema_state_dict")
_LEGACY_PICKLES: Final = 5  # magic number, protocol, machine, content, storage keys
_CALLING: Final = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
_HARMLESS: Final = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch Size",
        "torch device",
        "torch.serialization _get_layout",
        "torch.storage TypedStorage",
        "torch.storage UntypedStorage",
    }
)
_STORAGES: Final = frozenset(
    f"{kind}Storage"
    for kind in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long")
)
_DTYPES: Final = frozenset(
    {"bfloat16", "bool", "float16", "float32", "float64", "int16", "int32", "int64", "uint8"}
)


def read_file(file: Path) -> bytes:
    """Return the content of a weights file.

    Raises:
        WeightsError: If it is no file, empty, or far larger than any backbone here.
        StorageError: If the disk refuses.
    """
    file = long_path(file)
    if not file.is_file():
        raise WeightsError(
            "The weights file is not there.",
            remedy="Choose a .safetensors, .pth, .pt, .ckpt or .npz file.",
        )
    try:
        size = file.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise WeightsError(
                "The weights file is empty." if not size else "The weights file is over 2 GiB.",
                remedy="Download or copy it again, or choose another file.",
            )
        return file.read_bytes()
    except OSError as error:
        raise storage_error(error, "the weights file", reading=True) from error


def read_tensors(content: bytes) -> dict[str, Tensor]:
    """Return the tensors of a weights file by the names they have in it.

    The file is safetensors, PyTorch's own format, or a vision transformer's ``.npz``, whose tensors
    get timm's names. Of a training checkpoint, that is the part with the most tensors: the network,
    and of several copies the averaged one or the teacher.

    Raises:
        WeightsError: If the file is of another kind, damaged, holds code, or no tensors.
    """
    if content[8:9] == b"{":
        tensors = _read_safetensors(content)
    elif is_npz(content):
        tensors = read_npz(content)
    elif content[:4] == b"PK\x03\x04" or content[:1] == b"\x80":
        _refuse_code(content)
        tensors = _largest_state(_read_torch(content))
    else:
        raise _unknown_kind()
    if not tensors:
        raise WeightsError(
            "The file holds no tensors.", remedy="Choose a file with a network's weights."
        )
    return tensors


def _read_safetensors(content: bytes) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise _damaged() from error


def _read_torch(content: bytes) -> Any:
    import torch

    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _has_code("something other than tensors") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged() from error


def _refuse_code(content: bytes) -> None:
    try:
        wanted = [name for stream in _pickles_in(content) for name in _globals_of(stream)]
    except (ValueError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise _damaged() from error
    for name in wanted:
        module, _, attribute = name.partition(" ")
        is_torch_type = module == "torch" and attribute in _STORAGES | _DTYPES
        if name not in _HARMLESS and not is_torch_type:
            raise _has_code(name.replace(" ", "."))


def _pickles_in(content: bytes) -> list[io.BytesIO]:
    if content[:1] == b"\x80":
        return [io.BytesIO(content)]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if any(name.endswith("constants.pkl") for name in names):
            raise _has_code("a TorchScript program")
        if not any(PurePosixPath(name).name == "data.pkl" for name in names):
            raise _unknown_kind()
        return [io.BytesIO(archive.read(name)) for name in names if name.endswith(".pkl")]


def _globals_of(stream: io.BytesIO) -> Iterator[str]:
    """Yield every ``module name`` that the pickles in a stream ask for, without loading them."""
    for _ in range(_LEGACY_PICKLES):
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "GLOBAL":
                yield str(argument)
            elif opcode.name in _CALLING:
                yield f"pickle {opcode.name}"
        if stream.tell() >= len(stream.getbuffer()):
            return


def _largest_state(loaded: Any) -> dict[str, Tensor]:
    """Return the mapping with most tensors; a checkpoint keeps optimiser state beside it."""
    found: list[tuple[str, dict[str, Tensor]]] = []
    level: list[tuple[str, Any]] = [("", loaded)]
    for _ in range(3):
        mappings = [(name, item) for name, item in level if isinstance(item, Mapping)]
        for name, mapping in mappings:
            tensors = {str(k): v.detach() for k, v in mapping.items() if isinstance(v, Tensor)}
            if tensors:
                found.append((name, tensors))
        level = [(str(name), v) for _, mapping in mappings for name, v in mapping.items()]
    most = max((len(tensors) for _, tensors in found), default=0)
    alike = [(name, tensors) for name, tensors in found if len(tensors) >= _ALIKE * most]
    best = [tensors for wanted in _BETTER_COPIES for name, tensors in alike if name == wanted]
    largest = [tensors for _, tensors in alike if len(tensors) == most]
    return next(iter([*best, *largest]), {})


def _unknown_kind() -> WeightsError:
    return WeightsError(
        "This is not a weights file that RadTune can read.",
        remedy="Choose a .safetensors file, a PyTorch .pth, .pt or .ckpt file with tensors only, "
        "or a vision transformer's .npz.",
    )


def _damaged() -> WeightsError:
    return WeightsError(
        "The weights file is damaged or incomplete.", remedy="Download or copy it again."
    )


def _has_code(what: str) -> WeightsError:
    return WeightsError(
        f"The file asks for more than tensors ({what}) and could run a program, so it was not "
        "opened.",
        remedy="Where it comes from and is trusted, load it in Python, save its state_dict with "
        "safetensors.torch.save_file, and add that file.",
    )
