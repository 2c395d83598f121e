"""Which frames of a file with several become images."""

from __future__ import annotations

from engine.contract.import_rules import FramePolicy


def choose_frames(
    n_frames: int, policy: FramePolicy, *, default: int | None = None
) -> tuple[int, ...]:
    """Return frames from 0, in order.

    Args:
        n_frames: Of the file, at least 1.
        policy: ``middle`` takes one; ``every`` the first and each ``step``-th after it; ``all``
            takes all of them.
        default: What ``middle`` takes instead of the middle frame: ``ImageFile.default_frame``,
            which is the first page of a TIFF.

    Raises:
        ValueError: If there are no frames.
    """
    if n_frames < 1:
        raise ValueError(f"{n_frames} frames")
    if policy.frames == "all":
        return tuple(range(n_frames))
    if policy.frames == "every":
        return tuple(range(0, n_frames, policy.step))
    return ((n_frames - 1) // 2 if default is None else default,)
