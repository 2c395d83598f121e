"""Localised numbers, and counted nouns such as "1,000 images"."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale

__all__ = ["decimal_text", "images_text", "patients_text"]


def images_text(n_images: int) -> str:
    """Return "1 image", "1,000 images"."""
    noun = _tr("image") if n_images == 1 else _tr("images")
    return f"{QLocale().toString(n_images)} {noun}"


def patients_text(n_patients: int) -> str:
    """Return "1 patient", "1,000 patients"."""
    noun = _tr("patient") if n_patients == 1 else _tr("patients")
    return f"{QLocale().toString(n_patients)} {noun}"


def decimal_text(value: float, n_decimals: int) -> str:
    """Return "0.862" with the decimal sign of the user's language."""
    # Qt refuses whole numbers and NumPy's own floats here.
    return QLocale().toString(float(value), "f", n_decimals)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Counts", text)
