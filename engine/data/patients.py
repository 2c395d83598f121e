"""Where the patient id of an image comes from. Raw ids are hashed as soon as they are found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from engine.contract.errors import ConfigError, DatasetError
from engine.contract.import_rules import PatientRule
from engine.data.sheet import Item, count_of


class PatientFinder:
    """Finds patients by a rule and remembers which sources gave their ids."""

    def __init__(self, rule: PatientRule, *, has_column: bool, of_cases: bool = False) -> None:
        """Prepare.

        Args:
            rule: The user's rule.
            has_column: Whether the label sheet has patient ids.
            of_cases: Whether the source is a table of images, each a case of its own.

        Raises:
            ConfigError: If the pattern is no regular expression.
            DatasetError: If the rule asks for a column that isn't there.
        """
        if rule.source == "column" and not has_column:
            raise DatasetError(
                "The patient is to come from a column, but the labels have no patient column.",
                remedy="Name it with --patient-column, or choose another way to tell patients.",
            )
        self._rule = rule
        self._pattern = compile_pattern(rule.pattern) if rule.source == "pattern" else None
        self._of_cases = of_cases
        self._counts: Counter[str] = Counter()
        self._ids: set[str] = set()

    def find(self, item: Item, in_header: str | None, hashed: Callable[[str], str]) -> str | None:
        """Return the hash of an image's patient; None where the file is all that is known.

        Args:
            item: What the sheet and the file's name say.
            in_header: Hash of the id in the file's header, if it has one.
            hashed: Makes the project's hash of a raw id.
        """
        found, source = self._look(item, in_header, hashed)
        self._counts[source] += 1
        if found is not None:
            self._ids.add(found)
        return found

    def _look(
        self, item: Item, in_header: str | None, hashed: Callable[[str], str]
    ) -> tuple[str | None, str]:
        wanted = self._rule.source
        if wanted in ("auto", "column") and item.patient:
            return hashed(item.patient), "column"
        if wanted in ("auto", "dicom") and in_header:
            return in_header, "dicom"
        if self._pattern is not None and (raw := match_pattern(self._pattern, item.path)):
            return hashed(raw), "pattern"
        return None, "file"

    @property
    def allows_study(self) -> bool:
        """Whether images of one study may be kept together where no patient is known."""
        return self._rule.source != "file"

    @property
    def source(self) -> str:
        """Where most ids came from, as in ``PatientRule.source``."""
        known = Counter({s: n for s, n in self._counts.items() if s != "file"})
        return known.most_common(1)[0][0] if known else "file"

    def notes(self) -> list[str]:
        """Return what the user should know about the patients."""
        n_images, n_file = self._counts.total(), self._counts["file"]
        if not n_images:
            return []
        if n_file == n_images and self._of_cases:
            return [
                "The file holds no patient ids: each of its images is its own patient. If patients "
                "have several images in it, results may look too good."
            ]
        if n_file == n_images:
            return [
                "No patient ids were found: each file is its own patient (images of one DICOM "
                "study stay together). If patients have several images, give a patient column or "
                "a file-name pattern, or results may look too good."
                if self.allows_study
                else "Each file is its own patient."
            ]
        notes = []
        if n_file:
            notes.append(
                f"{count_of(n_file, 'image', 'has')} no patient id; each such file is "
                "its own patient."
            )
        if len(self._ids) == 1 and n_images > 1:
            notes.append(
                "All images have the same patient id, so they can't be divided; anonymised files "
                "often do. Give a patient column or a file-name pattern, or use the file."
            )
        return notes


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the pattern for patient ids in file names.

    Raises:
        ConfigError: If it is empty or no regular expression.
    """
    if not pattern:
        raise ConfigError(
            "There is no pattern for the patient id.",
            remedy="Give a regular expression whose first group is the id, such as ^([^_]+)_ .",
        )
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"The pattern for the patient id is no regular expression: {error.msg}.",
            remedy="Correct it; brackets stand in pairs, and the first group is the id.",
        ) from error


def match_pattern(pattern: re.Pattern[str], path: str) -> str | None:
    """Return the patient id that a pattern finds in a file's name, or None."""
    found = pattern.search(PurePosixPath(path).name)
    if found is None:
        return None
    return (found.group(1) if pattern.groups else found.group()) or None
