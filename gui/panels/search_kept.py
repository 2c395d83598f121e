"""What a project keeps of earlier searches and cross-validations, beside the present settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QCoreApplication

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain
from engine.contract.errors import ConfigError
from engine.contract.searching import CrossvalResult
from engine.project.searching import KeptResults
from gui.messages import time_text
from gui.panels.search_setup import Work

__all__ = ["best_fitting", "older_text"]


def best_fitting(results: Sequence[CrossvalResult], config: ExperimentConfig) -> CrossvalResult:
    """Return the newest cross-validation of some settings, or else the newest of all.

    Args:
        results: At least one, the newest first.
        config: The settings.
    """
    return next((result for result in results if _is_of(result, config)), results[0])


def older_text(
    work: Work,
    kept: KeptResults,
    *,
    crossval: CrossvalResult | None,
    config: ExperimentConfig,
    is_shown: bool,
) -> str:
    """Return what there is to say of results that are not shown, or not of the present settings.

    Args:
        work: Which kind is looked at.
        kept: What the project keeps.
        crossval: The cross-validation that is shown, if any.
        config: The present settings.
        is_shown: Whether there is a result of this kind on the page.
    """
    if work is Work.SEARCH and kept.interrupted:
        minutes = float(kept.interrupted[0].get("minutes") or 0.0)
        return _tr(
            "A search of {0} was interrupted. Started again with the same choices, it goes on."
        ).format(time_text(60.0 * minutes))
    if work is Work.CROSSVAL and crossval is not None and not _is_of(crossval, config):
        return _tr("The result below is of other settings than these.")
    if kept.n_stale and not is_shown:
        return _tr(
            "Images, labels or the split have changed since the last results were found, so those "
            "are not shown."
        )
    return ""


def _is_of(result: CrossvalResult, settings: ExperimentConfig) -> bool:
    """Return whether a cross-validation had some settings, whatever their image contract."""
    try:
        config: ExperimentConfig = from_plain(ExperimentConfig, result.config)
    except ConfigError:  # of another version
        return False
    return replace(config, image=settings.image) == settings


def _tr(text: str) -> str:
    return QCoreApplication.translate("SearchPanel", text)
