"""The process that decodes files, by itself, so that a crash in a codec costs one file.

It reads jobs from standard input, answers on standard output, and ends when its input ends. Beside
the work two threads live: one listens, so that the program's death ends this process in the middle
of a file, and one says every second what is being waited for.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.decode_messages import (
    PIXELS,
    THUMBNAIL,
    DecodedFrame,
    DecodeSettings,
    ImageFacts,
    Job,
    send,
)
from engine.data.decoded import DecodedImage, ImageFile
from engine.data.file_bytes import read_bytes
from engine.data.frames import choose_frames
from engine.data.images import open_image
from engine.data.rendering import to_pixels, to_pixels_and_thumbnail
from engine.data.voi import window_numbers
from engine.files import long_path
from engine.logs import log_failure

MEMORY_LIMIT: Final = 1 << 30
"""Bytes that one file may take."""
_SLACK_BYTES: Final = 384 << 20  # libraries that are loaded later, and address space never used
_BEAT_S: Final = 1.0
_SLOWEST_DISK: Final = 1_000_000
"""Bytes a second. What takes longer than this is a disk that has stopped."""
_STUCK_S: Final = 120
"""After so long inside one call of native code the process gives itself up."""
_LASTING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EISDIR})
_HASH_DIGITS: Final = 32


class Activity:
    """What the process is busy with, and since when."""

    def __init__(self) -> None:
        self._now: tuple[str, float, float] | None = None

    def begin_reading(self, n_bytes: int = 0) -> None:
        """Say that a disk is being waited for."""
        self._now = "reading", time.monotonic(), n_bytes / _SLOWEST_DISK

    def begin_decoding(self) -> None:
        """Say that the processor is at work."""
        self._now = "decoding", time.monotonic(), 0.0

    def end(self) -> None:
        """Say that nothing is going on."""
        self._now = None

    def message(self) -> dict[str, Any] | None:
        """Return what to tell about it, or None: the seconds beyond what is to be expected."""
        if self._now is None:
            return None
        phase, began, expected = self._now
        return {"type": "busy", "phase": phase, "seconds": time.monotonic() - began - expected}


Decode = Callable[[Job, DecodeSettings, Activity], Iterable[DecodedFrame]]


@dataclass(frozen=True, slots=True)
class _OpenFile:
    path: Path
    axis: str
    image: ImageFile
    n_bytes: int
    mtime_ns: int
    sha256: str


class FileDecoder:
    """Decodes the frames of files; keeps a file with several open for the next job."""

    def __init__(self) -> None:
        self._open: _OpenFile | None = None

    def __call__(
        self, job: Job, settings: DecodeSettings, activity: Activity
    ) -> Iterator[DecodedFrame]:
        """Yield the frames that a job asks for.

        Raises:
            UnreadableImageError: If the file, or one of the frames, can't be read.
        """
        file = self._opened(job, settings, activity)
        image = file.image
        frames = job.frames or choose_frames(
            image.n_frames, settings.policy, default=image.default_frame
        )
        for frame in frames[job.n_done :]:
            activity.begin_decoding()
            decoded = image.read(frame, settings.contract.size_px)
            yield _made_small(decoded, file, settings)

    def _opened(self, job: Job, settings: DecodeSettings, activity: Activity) -> _OpenFile:
        path = long_path(Path(job.root) / job.path)
        activity.begin_reading()
        try:
            status = path.stat()
        except OSError:
            read_bytes(path)  # says in words why not; or the disk is back already
            status = path.stat()
        axis, stamp = job.axis or settings.policy.axis, (status.st_size, status.st_mtime_ns)
        if self._is_open(path, axis, stamp):
            assert self._open is not None
            return self._open
        self._open = None  # let go of before the next one takes memory
        activity.begin_reading(status.st_size)
        data = read_bytes(path)
        activity.begin_decoding()
        image = open_image(data, suffix=path.suffix, axis=axis)
        file = _OpenFile(path, axis, image, *stamp, hashlib.sha256(data).hexdigest())
        if image.n_frames > 1:
            self._open = file
        return file

    def _is_open(self, path: Path, axis: str, stamp: tuple[int, int]) -> bool:
        file = self._open
        return (
            file is not None
            and (file.path, file.axis) == (path, axis)
            and (file.n_bytes, file.mtime_ns) == stamp
        )


def _made_small(image: DecodedImage, file: _OpenFile, settings: DecodeSettings) -> DecodedFrame:
    contract, pixels, thumbnail = settings.contract, None, None
    if THUMBNAIL in settings.parts:
        pixels, thumbnail, window = to_pixels_and_thumbnail(image, contract)
    else:
        pixels = to_pixels(image, contract) if PIXELS in settings.parts else None
        window = window_numbers(image, contract.window)
    facts = ImageFacts(
        frame=image.frame,
        n_frames=image.n_frames,
        format=image.format,
        modality=image.modality,
        photometric=image.photometric,
        width=image.width,
        height=image.height,
        bits=image.bits,
        is_color=image.is_color,
        window=window,
        patient_id=image.patient_id,
        study_uid=image.study_uid,
        site=image.site,
        acquired=None if image.acquired is None else image.acquired.toordinal(),
        burned_in=image.burned_in,
        covariates=image.covariates,
        dicom=image.dicom,
        notes=image.notes,
        pixel_hash=pixel_hash(image.values) if settings.parts else "",
        n_bytes=file.n_bytes,
        mtime_ns=file.mtime_ns,
        sha256=file.sha256,
    )
    return DecodedFrame(facts, pixels, thumbnail)


def pixel_hash(values: NDArray[Any]) -> str:
    """Return a hash of an image's values and shape, whatever type or format they came in.

    Whole numbers are hashed in the smallest type that holds them, so that a PNG made from a DICOM
    file without loss has the hash of that file.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize > 1 and values.size:
        low = int(values.min()) if values.dtype.kind == "i" else 0
        smallest = np.result_type(np.min_scalar_type(low), np.min_scalar_type(int(values.max())))
        values = values.astype(smallest.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:_HASH_DIGITS]


def serve(requests: BinaryIO, replies: BinaryIO, decode: Decode | None = None) -> NoReturn:
    """Work through jobs until the input ends, which ends the process.

    Args:
        requests: JSON lines.
        replies: Unbuffered; see ``engine.data.decode_messages``.
        decode: What is done with a job.
    """
    child = _Child(replies, decode or FileDecoder())
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    threading.Thread(target=child.beat, daemon=True).start()
    _limit_memory()
    child.send({"type": "ready"})
    while True:
        child.handle(inbox.get())


def _listen(requests: BinaryIO, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in requests:
        inbox.put(json.loads(line))
    os._exit(0)


class _Child:
    """Answers messages, one at a time."""

    def __init__(self, replies: BinaryIO, decode: Decode) -> None:
        self._replies = replies
        self._decode = decode
        self._lock = threading.Lock()
        self._activity = Activity()
        self._settings: DecodeSettings | None = None

    def send(self, plain: dict[str, Any], arrays: list[NDArray[Any]] | None = None) -> None:
        """Answer; if nobody listens any more, there is nothing left to do."""
        try:
            with self._lock:
                send(self._replies, plain, arrays)
        except OSError:
            os._exit(0)

    def beat(self) -> None:
        """Say every second what the process is busy with, as long as Python code can run."""
        while True:
            time.sleep(_BEAT_S)
            # Native code that neither returns nor lets go of the interpreter also keeps this
            # thread from putting the end off.
            faulthandler.dump_traceback_later(_STUCK_S, exit=True)
            if (message := self._activity.message()) is not None:
                self.send(message)

    def handle(self, message: dict[str, Any]) -> None:
        """Do what a message asks for."""
        match message["type"]:
            case "settings":
                self._settings = DecodeSettings.from_json(message["settings"])
            case "probe":
                self.send({"type": "probed", "is_there": is_there(message["root"])})
            case "decode":
                self._decode_file(Job.from_json(message["job"]))
        self._activity.end()

    def _decode_file(self, job: Job) -> None:
        """Send the frames of a file, each when the next is known to come or not to come."""
        assert self._settings is not None
        frame: DecodedFrame | None = None
        try:
            for following in self._decode(job, self._settings, self._activity):
                self._activity.end()  # the other side may let this one wait
                if frame is not None:
                    self.send(*frame.to_message())
                frame = following
        except BaseException as failure:  # noqa: BLE001 - a codec in Rust panics past Exception
            if frame is not None:
                self.send(*frame.to_message())
            self.send(_failed(job, failure))
            return
        if frame is not None:
            self.send(*frame.to_message(is_last=True))
        else:
            self.send({"type": "done"})


def _failed(job: Job, failure: BaseException) -> dict[str, Any]:
    """Return why a file has no image, and whether that may pass."""
    cause = failure.__cause__
    answer: dict[str, Any] = {"type": "failed", "kind": "unreadable", "stamp": _stamp(job)}
    if isinstance(failure, MemoryError) or isinstance(cause, MemoryError):
        answer["reason"] = "The image needs more than 1 GB of memory."
    elif isinstance(failure, UnreadableImageError):
        answer["reason"] = failure.message
        if isinstance(failure, NotAnImageError):
            answer["kind"] = "not_image"
        if isinstance(cause, OSError) and cause.errno is not None:  # codecs' have no number
            answer["is_source_gone"] = not is_there(job.root)
            answer["may_pass"] = cause.errno not in _LASTING
    else:
        log_failure(failure)
        name = type(failure).__name__
        answer["reason"] = f"Reading the file failed in a way nobody thought of ({name})."
    return answer


def _stamp(job: Job) -> tuple[int, int] | None:
    """Return size and time of change of a file, by which it is known not to have changed."""
    with contextlib.suppress(OSError):
        status = long_path(Path(job.root) / job.path).stat()
        return status.st_size, status.st_mtime_ns
    return None


def is_there(root: str) -> bool:
    """Return whether a folder can be reached and isn't the empty place of a disk that is gone."""
    with contextlib.suppress(OSError), os.scandir(long_path(Path(root))) as entries:
        return next(entries, None) is not None
    return False


def _limit_memory() -> None:
    """Let a file that takes too much fail by itself, where the system has such a limit.

    Elsewhere, and for what a limit on address space doesn't see, the other side watches.
    """
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = n_pages * resource.getpagesize() + MEMORY_LIMIT + _SLACK_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
