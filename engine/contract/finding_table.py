"""The results of several findings as a table of plain text, for files and spreadsheets."""

from __future__ import annotations

import csv
import io
import math

from engine.contract.results import Estimate, EvaluationResult

_ESTIMATES = ("auroc", "average_precision", "sensitivity", "specificity", "ppv", "npv")


def findings_csv(result: EvaluationResult) -> str:
    """Return a row a finding: counts, threshold, measures with 95 % limits, and calibration.

    The last row holds the mean of the AUROCs with its interval. What isn't defined is blank.

    Args:
        result: Of several findings at once.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    measures = [f"{name}{part}" for name in _ESTIMATES for part in ("", "_low", "_high")]
    counts = ["present", "absent", "unknown", "threshold"]
    writer.writerow(["finding", *counts, *measures, "brier", "calibration_error"])
    for found in result.findings:
        own = found.result.intervals
        estimates = [own.get(name) for name in _ESTIMATES]
        estimates[1] = found.average_precision
        writer.writerow(
            [
                found.name,
                found.n_present,
                found.n_absent,
                found.n_unknown,
                _number(found.result.threshold),
                *(cell for estimate in estimates for cell in _cells(estimate)),
                _number(found.brier),
                _number(found.calibration_error),
            ]
        )
    mean = [_number(value) for value in (result.auroc, result.auroc_low, result.auroc_high)]
    blank = [""] * (len(measures) - len(mean) + 2)
    writer.writerow(["mean of the findings", *[""] * len(counts), *mean, *blank])
    return text.getvalue()


def _cells(estimate: Estimate | None) -> list[str]:
    values = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return [_number(value) for value in values]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"
