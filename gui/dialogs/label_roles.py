"""What a column of a label sheet can be, in the user's words."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QCoreApplication

__all__ = ["FINDING", "MAIN_ROLES", "MORE_ROLES", "ROLES", "role_name", "role_word"]

MAIN_ROLES: Final = ("path", "label", "patient")
MORE_ROLES: Final = (
    "split",
    "study",
    "date",
    "site",
    "scanner",
    "sex",
    "age",
    "view",
    "frame",
)
ROLES: Final = MAIN_ROLES + MORE_ROLES
"""Fields of ``ColumnMapping`` that hold one column."""
FINDING: Final = "finding"
"""One of several columns of 0 and 1."""


def role_name(role: str) -> str:
    """Return what a field of the form is called."""
    names = {
        "path": _tr("Image file"),
        "label": _tr("Class"),
        "patient": _tr("Patient"),
        "split": _tr("Split (training, test…)"),
        "study": _tr("Study or examination"),
        "date": _tr("Date of the study"),
        "site": _tr("Hospital or site"),
        "scanner": _tr("Scanner"),
        "sex": _tr("Sex"),
        "age": _tr("Age"),
        "view": _tr("View"),
        "frame": _tr("Frame or slice, from 0"),
    }
    return names[role]


def role_word(role: str) -> str:
    """Return the one word that stands above a column."""
    words = {
        "path": _tr("Image"),
        "split": _tr("Split"),
        "study": _tr("Study"),
        "date": _tr("Date"),
        "site": _tr("Site"),
        "frame": _tr("Frame"),
        FINDING: _tr("Finding"),
    }
    return words.get(role) or role_name(role)


def _tr(text: str) -> str:
    return QCoreApplication.translate("LabelRoles", text)
