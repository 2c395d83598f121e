"""Where the pre-trained weights are kept that were added: they belong to no project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_VARIABLE: Final = "RADTUNE_WEIGHTS"


def weights_folder() -> Path:
    """Return where added weights are kept: ``RADTUNE_WEIGHTS``, or the user's data folder."""
    import platformdirs

    if named := os.environ.get(_VARIABLE):
        return Path(named)
    return Path(platformdirs.user_data_dir("RadTune", appauthor=False)) / "weights"
