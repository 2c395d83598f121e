"""What a program and its decode processes say to each other.

A message is a JSON object, followed by the raw bytes of arrays where it has some: no pickle, which
would run whatever a damaged process sent. Both sides are of the same version, since the one starts
the other. What identifies a patient crosses the pipe and is hashed on the other side.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ImageContract
from engine.contract.config_io import from_plain, to_plain
from engine.contract.import_rules import FramePolicy

_LENGTHS: Final = struct.Struct("<II")

PIXELS: Final = "pixels"
THUMBNAIL: Final = "thumbnail"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSettings:
    """What is made of every file.

    Attributes:
        contract: How pixels are made.
        policy: Which frames of a file are taken where the job doesn't name them.
        parts: Which arrays are wanted: ``pixels``, ``thumbnail``, both or none.
    """

    contract: ImageContract
    policy: FramePolicy = field(default_factory=FramePolicy)
    parts: tuple[str, ...] = (PIXELS, THUMBNAIL)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return what :meth:`to_json` was made from."""
        return cls(
            contract=from_plain(ImageContract, plain["contract"]),
            policy=from_plain(FramePolicy, plain["policy"]),
            parts=tuple(plain["parts"]),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A file to decode.

    Attributes:
        root: Folder of the source, whose disappearance is told from a file's.
        path: The file, relative to ``root``.
        frames: Frames to take, from 0; None leaves it to the policy.
        axis: Plane of the slices of a volume; None takes the policy's.
        n_done: How many of the frames have been decoded already and aren't wanted again.
    """

    root: str
    path: str
    frames: tuple[int, ...] | None = None
    axis: str | None = None
    n_done: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in _JOB_FIELDS}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return what :meth:`to_json` was made from."""
        frames = plain["frames"]
        return cls(**{**plain, "frames": None if frames is None else tuple(frames)})


_JOB_FIELDS: Final = tuple(Job.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of one image of a file.

    Attributes:
        n_frames: How many frames the file has.
        window: Centre and width of the window used.
        patient_id: As in the file. Memory only: hash it at once.
        study_uid: Likewise.
        site: Name of the institution, likewise.
        acquired: Day of acquisition as ``date.toordinal`` gives it, likewise.
        pixel_hash: See ``engine.project.records.NewRecord``.
        mtime_ns: Of the file when it was opened.
    """

    frame: int
    n_frames: int
    format: str
    modality: str
    photometric: str
    width: int
    height: int
    bits: int
    is_color: bool
    window: tuple[float, float]
    patient_id: str | None
    study_uid: str | None
    site: str | None
    acquired: int | None
    burned_in: str
    covariates: dict[str, str]
    dicom: dict[str, str]
    notes: tuple[str, ...]
    pixel_hash: str
    n_bytes: int
    mtime_ns: int
    sha256: str


_FACTS: Final = tuple(ImageFacts.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One image: its facts and, as far as they were asked for, its small versions.

    Attributes:
        pixels: As the contract wants them.
        thumbnail: uint8, ``(128, 128)`` or ``(128, 128, 3)``.
    """

    facts: ImageFacts
    pixels: NDArray[Any] | None = None
    thumbnail: NDArray[np.uint8] | None = None

    def to_message(self, *, is_last: bool = False) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """Return the message that carries it.

        Args:
            is_last: Whether nothing more comes of its file.
        """
        arrays = {PIXELS: self.pixels, THUMBNAIL: self.thumbnail}
        sent = {name: array for name, array in arrays.items() if array is not None}
        shapes = {name: (array.dtype.str, array.shape) for name, array in sent.items()}
        facts = {name: getattr(self.facts, name) for name in _FACTS}  # asdict() would copy all
        plain = {"type": "frame", "facts": facts, "arrays": shapes, "is_last": is_last}
        return plain, list(sent.values())

    @classmethod
    def from_message(cls, plain: dict[str, Any], payload: memoryview) -> Self:
        """Return what :meth:`to_message` was made from; arrays are views of the payload."""
        facts = plain["facts"]
        facts["window"], facts["notes"] = tuple(facts["window"]), tuple(facts["notes"])
        arrays, start = {}, 0
        for name, (dtype, shape) in plain["arrays"].items():
            array = np.frombuffer(payload, dtype, count=math.prod(shape), offset=start)
            arrays[name] = array.reshape(shape)
            start += array.nbytes
        return cls(ImageFacts(**facts), arrays.get(PIXELS), arrays.get(THUMBNAIL))


def send(stream: BinaryIO, plain: dict[str, Any], arrays: list[NDArray[Any]] | None = None) -> None:
    """Write a message to an unbuffered stream.

    Raises:
        OSError: If nobody reads any more.
    """
    text = json.dumps(plain).encode()  # names that are no Unicode travel as JSON's own escapes
    payload = [np.ascontiguousarray(array).tobytes() for array in arrays or ()]
    message = b"".join([_LENGTHS.pack(len(text), sum(map(len, payload))), text, *payload])
    left = memoryview(message)
    while left:
        left = left[stream.write(left) :]


def receive(stream: BinaryIO) -> tuple[dict[str, Any], memoryview] | None:
    """Read a message and the bytes of its arrays; None at the end, also one within a message."""
    head = _exactly(stream, _LENGTHS.size)
    if head is None:
        return None
    n_text, n_payload = _LENGTHS.unpack(head)
    body = _exactly(stream, n_text + n_payload)
    if body is None:
        return None
    return json.loads(bytes(body[:n_text])), body[n_text:]


def _exactly(stream: BinaryIO, n_bytes: int) -> memoryview | None:
    whole = memoryview(bytearray(n_bytes))
    n_read = 0
    while n_read < n_bytes:
        n = stream.readinto(whole[n_read:])  # type: ignore[attr-defined]
        if not n:
            return None
        n_read += n
    return whole
