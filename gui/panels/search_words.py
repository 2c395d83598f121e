"""What the search page says of each kind of work."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from gui.panels.search_setup import Work

__all__ = ["explanation", "kinds"]


def kinds() -> dict[Work, tuple[str, str, str]]:
    """Return title, description and icon of each kind of work."""
    return {
        Work.SEARCH: (
            _tr("Search"),
            _tr("Tries many settings in the time that you give it, and ranks them."),
            "search",
        ),
        Work.CROSSVAL: (
            _tr("Cross-validate"),
            _tr("Measures the chosen settings without touching the test images."),
            "split",
        ),
        Work.RATE: (
            _tr("Find a learning rate"),
            _tr("Raises the rate until training breaks, to see what suits."),
            "train",
        ),
        Work.COMBINE: (
            _tr("Combine runs"),
            _tr("Lets several networks answer together: often better than the best."),
            "model",
        ),
    }


def explanation(work: Work) -> str:
    """Return what a kind of work does, for someone who doesn't know it."""
    return {
        Work.SEARCH: _tr(
            "Settings are compared on the validation images alone. The first round trains many "
            "of them briefly, and each later round trains the best of those longer."
        ),
        Work.CROSSVAL: _tr(
            "The training and validation images are divided into parts, patients kept whole. "
            "Each part is held out once and predicted by a network that learned from the "
            "others, so every image counts, and you see how much a result varies by chance."
        ),
        Work.RATE: _tr(
            "The learning rate says how far the weights move at each step: too small and "
            "nothing is learned, too large and everything is forgotten."
        ),
        Work.COMBINE: _tr(
            "The probabilities of several networks are averaged. They make different mistakes, "
            "so together they make fewer. Mark finished runs, or one cross-validation."
        ),
    }[work]


def _tr(text: str) -> str:
    return QCoreApplication.translate("SearchPanel", text)
