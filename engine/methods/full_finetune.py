"""Full fine-tuning from a fitted head, earlier layers as gently as the settings say.

References: see ``engine.methods.descent``.
"""

from __future__ import annotations

from typing import ClassVar

from engine.methods.descent import DescentMethod


class FullFinetune(DescentMethod):
    """All stages but the frozen ones are trained."""

    key: ClassVar[str] = "full_finetune"
