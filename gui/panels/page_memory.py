"""What one page tells another through the session: which run, which bundle.

Kept on the session as dynamic properties: pages don't know each other.
"""

from __future__ import annotations

from typing import Final

from gui.session import Session

__all__ = ["exported_bundle", "set_exported_bundle", "set_shown_run", "shown_run"]

_RUN: Final = "shownRun"
_BUNDLE: Final = "exportedBundle"


def set_shown_run(session: Session, run: str) -> None:
    """Have the Evaluate page show a run when it is opened next."""
    session.setProperty(_RUN, run)


def shown_run(session: Session) -> str:
    """Return the run asked for, or an empty string."""
    return str(session.property(_RUN) or "")


def set_exported_bundle(session: Session, folder: str) -> None:
    """Have the Apply page offer a bundle that was just written."""
    session.setProperty(_BUNDLE, folder)


def exported_bundle(session: Session) -> str:
    """Return the folder of the bundle written last, or an empty string."""
    return str(session.property(_BUNDLE) or "")
