"""Full fine-tuning from a fitted head, earlier layers more gently than later ones.

References: see ``engine.methods.descent``.
"""

from __future__ import annotations

from typing import ClassVar

from engine.methods.descent import DescentMethod


class FullFinetune(DescentMethod):
    """Everything is trained, with layer-wise learning rates."""

    key: ClassVar[str] = "full_finetune"
