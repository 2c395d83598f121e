"""What the images that an import has read become, by what its source says about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from engine.data.patients import PatientFinder
from engine.data.sheet import Item
from engine.project.staged import Entry, StagedKey
from engine.project.staging import Staging
from engine.project.store import Project

_FEW: Final = 4096


class Decider:
    """Joins staged images with the items of an import.

    Attributes:
        n_frames: Frames of every file that was met.
    """

    def __init__(
        self, project: Project, staging: Staging, patients: PatientFinder, items: Sequence[Item]
    ) -> None:
        """Prepare.

        Args:
            project: Has the salt and the names of the institutions.
            staging: Has the images.
            patients: Tells the patients apart.
            items: In the order in which records are numbered.
        """
        self._project, self._staging, self._patients = project, staging, patients
        self._items = items
        self._places = {(item.path, item.frame): place for place, item in enumerate(items)}
        # New ones are numbered now, in a moment of writing, and not while images are decided.
        self._sites = {item.site: project.site(item.site) for item in items}
        self._hashed = lru_cache(_FEW)(project.patient_hash)
        self._study = lru_cache(_FEW)(project.study)
        self._day = lru_cache(_FEW)(project.day)
        self.n_frames: dict[str, int] = {}

    def item(self, path: str, frame: int) -> Item:
        """Return the item that an image belongs to; there must be one."""
        place = self._place(path, frame)
        assert place is not None
        return self._items[place]

    def _place(self, path: str, frame: int) -> int | None:
        place = self._places.get((path, frame))
        return self._places.get((path, None)) if place is None else place

    def entries(self, tick: Callable[[], None]) -> Iterator[Entry]:
        """Yield what becomes of every staged image that an item names.

        Args:
            tick: Called for every image; may raise to give up.
        """
        for key in self._staging.images():
            tick()
            place = self._place(key.path, key.frame)
            if place is not None:
                self.n_frames[key.path] = key.n_frames
                yield self._entry(key, place, self._items[place])

    def _entry(self, key: StagedKey, place: int, item: Item) -> Entry:
        patient = self._patients.find(item, key.patient, self._hashed)
        study = self._study(item.study) or key.study
        if patient is None and not self._patients.allows_study:
            study = None
        origin = "patient"
        if patient is None:
            source = self._staging.source_id
            case = f"{key.path}#{key.frame}" if item.is_case else key.path
            patient, origin = self._project.own_patient_hash(source, case, study)
        return Entry(
            staged=key,
            place=place,
            label=item.label,
            patient=patient,
            origin=origin,
            study=study,
            sheet=self._said(item),
        )

    def _said(self, item: Item) -> dict[str, Any]:
        """Return what a sheet says, by column of the record; identifiers in the project's terms."""
        return {
            "site": self._sites[item.site],
            "acquired": self._day(item.acquired),
            "view": item.view,
            "sex": item.sex,
            "age": item.age,
            "device": item.scanner,
            "numbers": item.numbers,
        }
