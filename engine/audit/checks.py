"""The checks of an audit, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.audit.borders import find_telling_borders
from engine.audit.burned_in import find_flagged_text, find_printed_text
from engine.audit.class_counts import find_class_counts, find_class_imbalance
from engine.audit.exact_duplicates import find_exact_duplicates
from engine.audit.file_names import find_identifying_names
from engine.audit.label_errors import find_label_errors
from engine.audit.near_duplicates import find_near_duplicates
from engine.audit.odd_pictures import (
    find_blank_images,
    find_inverted_images,
    find_padded_images,
)
from engine.audit.outliers import (
    find_few_of_a_kind,
    find_shape_outliers,
    find_size_outliers,
    find_small_images,
    find_window_outliers,
)
from engine.audit.patients import (
    find_patients_in_several_classes,
    find_split_leaks,
    find_unknown_patients,
)
from engine.audit.shortcuts import find_corner_shortcuts, find_header_shortcuts
from engine.audit.skipped_files import find_skipped_files, find_unlabelled
from engine.audit.study import Study
from engine.contract.records import Finding


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: Names it in the report.
        stage: What the user reads while it is made.
        find: Returns what was found. It may raise an ``EngineError`` that says why the check can't
            be made.
    """

    name: str
    stage: str
    find: Callable[[Study], list[Finding]]


CHECKS: Final = (
    Check("files", "Looking at files left out", find_skipped_files),
    Check("unlabelled", "Looking at files left out", find_unlabelled),
    Check("names", "Looking at file names", find_identifying_names),
    Check("patients", "Looking for patients on two sides", find_split_leaks),
    Check("patient_ids", "Looking for patients on two sides", find_unknown_patients),
    Check(
        "classes_of_patients", "Looking for patients on two sides", find_patients_in_several_classes
    ),
    Check("class_counts", "Counting classes", find_class_counts),
    Check("class_imbalance", "Counting classes", find_class_imbalance),
    Check("blank", "Looking at every image", find_blank_images),
    Check("inverted", "Looking at every image", find_inverted_images),
    Check("padded", "Looking at every image", find_padded_images),
    Check("size", "Looking for unusual images", find_size_outliers),
    Check("shape", "Looking for unusual images", find_shape_outliers),
    Check("window", "Looking for unusual images", find_window_outliers),
    Check("resolution", "Looking for unusual images", find_small_images),
    Check("kinds", "Looking for unusual images", find_few_of_a_kind),
    Check("copies", "Looking for copies", find_exact_duplicates),
    Check("shortcuts", "Trying what gives the class away", find_header_shortcuts),
    Check("borders", "Trying whether borders give the class away", find_telling_borders),
    Check("corners", "Trying whether the corners give the class away", find_corner_shortcuts),
    Check("text_in_header", "Looking for burned-in text", find_flagged_text),
    Check("text", "Looking for burned-in text", find_printed_text),
    # From here on a network is needed.
    Check("near_copies", "Looking for near copies", find_near_duplicates),
    Check("labels", "Looking for wrong labels", find_label_errors),
)
"""Cheap ones first; torch is loaded by the first that needs it."""
