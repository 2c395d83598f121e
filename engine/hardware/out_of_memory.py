"""Memory that doesn't suffice: telling it from other failures, and working on in smaller parts."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Final, TypeVar

# What torch's allocators, cuDNN, cuBLAS, Metal and the C++ library say, in lower case. oneDNN, for
# convolutions on processors, doesn't say why it can't make a primitive: with little address space
# that was what most steps in bfloat16 ended in.
_MARKS: Final = (
    "out of memory",
    "defaultcpuallocator",
    "alloc_failed",
    "bad_alloc",
    "bad allocation",
    "paging file",
    "could not create a primitive",
    "could not create a memory",
)
# Windows: not enough memory (8, 14), no system resources (1450), paging file too small (1455).
_WINDOWS_CODES: Final = (8, 14, 1450, 1455)

Done = TypeVar("Done")
_listener: ContextVar[Callable[[int], None] | None] = ContextVar("_listener", default=None)


class SingleItemError(MemoryError):
    """Memory doesn't suffice for one image alone: smaller parts can't help."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory, of the computer or of a device, didn't suffice."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or getattr(error, "winerror", 0) in _WINDOWS_CODES
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error).lower() for mark in _MARKS)


def release_memory() -> None:
    """Give back what nothing uses any more, also the blocks that a device's allocator keeps.

    To be called when the error is gone: as long as it is there, it holds all that was computed.
    """
    gc.collect()
    _trim_heap()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _trim_heap() -> None:
    """Let glibc return what it keeps for reuse: other allocators of the process can't have that."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library, such as musl
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def again_if_short(act: Callable[[], Done], tell: Callable[[], None]) -> Done:
    """Return what ``act`` does; if memory didn't suffice, tell so and try once more.

    Raises:
        Exception: What the second try raises, or the first for any other reason.
    """
    try:
        return act()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Out here the error is gone, and what it held.
    release_memory()
    tell()
    return act()


def unless_short(act: Callable[[], Done]) -> Done | None:
    """Return what ``act`` does, something that can be done without; None if memory didn't suffice.

    Raises:
        Exception: What ``act`` raises for any other reason.
    """
    try:
        return act()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Out here the error is gone, and what it held.
    release_memory()
    return None


def in_parts(
    n: int,
    size: int,
    work: Callable[[int, int], None],
    *,
    on_part: Callable[[int], None] | None = None,
) -> None:
    """Work through ``n`` items, in smaller parts from where memory didn't suffice.

    Args:
        n: Number of items.
        size: Items of a part, at first.
        work: Called with the first item of a part and the one after its last. Called again for a
            smaller part from the same first item if memory didn't suffice.
        on_part: Called after each part with the number of items done.

    Raises:
        SingleItemError: If there isn't memory enough for a single item.
        Exception: What ``work`` raises for any other reason.
    """
    start, told = 0, size
    while start < n:
        stop = min(start + size, n)
        if _fits(work, start, stop):
            start = stop
            if size < told and (listener := _listener.get()) is not None:
                listener(size)
            told = size
            if on_part is not None:
                on_part(stop)
            continue
        release_memory()
        size = (stop - start) // 2


def _fits(work: Callable[[int, int], None], start: int, stop: int) -> bool:
    try:
        work(start, stop)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if stop - start == 1:
            raise SingleItemError("not even one item fits") from error
        return False
    return True


@contextlib.contextmanager
def telling_smaller_parts(tell: Callable[[int], None]) -> Iterator[None]:
    """Let :func:`in_parts`, wherever it runs, tell how many items it takes once fewer fit."""
    token = _listener.set(tell)
    try:
        yield
    finally:
        _listener.reset(token)
