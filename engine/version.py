"""The version of RadTune, read by the package's metadata too."""

from typing import Final

VERSION: Final = "0.1.0"
