"""Random state that a run can rebuild from its seed alone.

Nothing random is drawn from a generator that lives through a run. Each step seeds its own from the
run's seed and its place in the run, so a resumed run draws what an uninterrupted one would, and no
generator state has to be saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable, Iterator

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (every device).

    Libraries that initialise layers or drop units draw from these.

    Args:
        seed: In ``[0, 2**63)``.
    """
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextlib.contextmanager
def untouched_generators() -> Iterator[None]:
    """Give the global generators of Python, NumPy and torch their state back afterwards.

    Whether what is done inside is done at all then makes no difference to what follows.
    """
    put_back = remembered_generators()
    try:
        yield
    finally:
        put_back()


def remembered_generators() -> Callable[[], None]:
    """Return what gives the global generators of Python, NumPy and torch their present state."""
    import torch

    python, numpy, processor = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cards = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(processor)
        if cards is not None:
            torch.cuda.set_rng_state_all(cards)

    return put_back


def step_seed(seed: int, *parts: int | str) -> int:
    """Return a seed in ``[0, 2**63)`` for one place in a run, the same on every machine.

    Places that differ in any part get unrelated seeds, so neighbouring steps share no pattern.

    Args:
        seed: The run's seed.
        parts: What names the place, for example ``"augment", epoch, batch``.
    """
    text = "\0".join(f"{type(part).__name__}:{part}" for part in (seed, *parts))
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
