"""Run when the built engine starts: matplotlib keeps its list of fonts in RadTune's cache.

Without it matplotlib would read the settings that the user has for other programs, and figures
would look different from one computer to the next.
"""

import os
from pathlib import Path

import platformdirs

_cache = platformdirs.user_cache_dir("RadTune", appauthor=False)
os.environ.setdefault("MPLCONFIGDIR", str(Path(_cache) / "matplotlib"))
