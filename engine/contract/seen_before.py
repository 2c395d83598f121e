"""How many of the patients that a network is measured on it learned from before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

UNTOLD: Final = (
    "RadTune trained this backbone, and on which images was not kept with it: it is of a "
    "classifier, or an earlier version pre-trained it. If this project's were among them, results "
    "on its validation and test images may be too good."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPart:
    """A part of the split, and what of it a network knows.

    Attributes:
        n_known: Images of patients that the network learned from.
        n_patients: Patients; those that are linked count as one.
    """

    n_images: int = 0
    n_known: int = 0
    n_patients: int = 0
    n_known_patients: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBefore:
    """What a network learned from before the run whose results are in question.

    Attributes:
        unknown: Why that can't be said in full, in a sentence; empty if it can.
        unlisted: SHA-256 of pre-trained weights that the project says nothing of. If an earlier
            version of RadTune made them, nobody knows whom they know.
    """

    train: SeenPart = field(default_factory=SeenPart)
    val: SeenPart = field(default_factory=SeenPart)
    test: SeenPart = field(default_factory=SeenPart)
    unknown: str = ""
    unlisted: tuple[str, ...] = ()

    @property
    def is_measured(self) -> bool:
        """Whether validation or test patients are among those that it learned from."""
        return bool(self.val.n_known or self.test.n_known)

    @property
    def is_doubtful(self) -> bool:
        """Whether results are too good, or may be."""
        return self.is_measured or bool(self.unknown)

    @property
    def n_known_test(self) -> int | None:
        """Test patients that it learned from; None if nobody knows."""
        is_unknown = bool(self.unknown) and not self.test.n_known
        return None if is_unknown else self.test.n_known_patients

    def with_untold(self, untold: Collection[str]) -> SeenBefore:
        """Return the same, given the SHA-256 of weights of which no version kept anything."""
        if self.unknown or not set(untold) & set(self.unlisted):
            return self
        return replace(self, unknown=UNTOLD)
