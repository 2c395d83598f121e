"""How many threads a convolution should use, and how the C library keeps their memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_threads() -> int:
    """Return the physical cores that this process may use, at least 1.

    A second thread on one core slows convolutions down. ``OMP_NUM_THREADS``, the processor
    affinity and a container's quota are limits that others have set, and are kept.
    """
    import psutil

    limits = [psutil.cpu_count(logical=False) or os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    if (quota := cgroup_cpus()) is not None:
        limits.append(int(quota))
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal():
        limits.append(int(asked))
    return max(1, min(limits))


def cgroup_cpus(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many processors the container's quota allows, or None without a quota."""
    try:
        if (v2 := root / "cpu.max").exists():
            quota, period = v2.read_text(encoding="utf-8").split()
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or the word "max"
        return None


def let_waiting_threads_sleep() -> None:
    """Let OpenMP threads that wait for each other sleep instead of burning the processor.

    The default is to spin, which is a little faster on an idle machine. Beside anything else, such
    as the window, a viewer or a virus scanner, the spinning thread takes the processor from the
    one it waits for: with two busy neighbours on two cores inference was nine times slower. To be
    called before torch or scikit-learn is first loaded, since OpenMP reads it then. An explicit
    setting wins.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # GNU, in torch for Linux
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel and LLVM, in torch for Windows and macOS


def let_apple_gpu_fall_back() -> None:
    """Let an operation that an Apple GPU lacks run on the processor instead of ending the job.

    To be called before torch is first loaded. An explicit setting wins. The device checks say
    whether it happens.
    """
    if sys.platform == "darwin":
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed blocks instead of returning them to the system after every layer.

    A feature map is larger than malloc's threshold for a mapping of its own, so by default each
    layer's output is mapped, zeroed page by page by the kernel, and unmapped again. Without that,
    inference here is up to 1.7 times as fast and training 1.2 times. Best before the first tensor.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return
    # The names of malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD.
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**26)
