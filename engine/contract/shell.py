"""Commands as they are typed at a terminal, for people to copy."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Final

from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.config_edit import changes_between

PROGRAM: Final = "radtune-engine"


def shell_line(words: tuple[str, ...], *, is_windows: bool = os.name == "nt") -> str:
    """Return a command as it is typed, with quotes where the system's shell needs them."""
    return subprocess.list2cmdline(words) if is_windows else shlex.join(words)


def train_line(project: str, config: ExperimentConfig) -> str:
    """Return the command that trains with these settings.

    Args:
        project: Its folder.
        config: What the command brings about, but for what the method doesn't look at and for the
            image contract, which is the project's.
    """
    key, method, seed = config.backbone.key, config.method.key, config.seed
    words = [PROGRAM, "train", "--project", project, "--preset", config.preset]
    words += ["--method", method, "--backbone", key]
    if seed:
        words += ["--seed", str(seed)]
    start = preset_config(config.preset, backbone=key, method=method, seed=seed)
    for change in changes_between(start, config):
        words += ["--set", change]
    return shell_line(tuple(words))
