"""Media with a DICOMDIR: the files that it names are the images, the rest came along.

References:
    DICOM PS3.3, Annex F (Basic Directory IOD); PS3.10, 8 (file ids).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from engine.contract.records import SkippedFile
from engine.data.listing import Listing
from engine.data.phrases import count_of
from engine.files import long_path

DICOMDIR_NAME: Final = "dicomdir"
_NOT_NAMED: Final = "The DICOMDIR doesn't name it."
_MISSING: Final = "The DICOMDIR names it, but it isn't there."


def is_dicomdir(name: str) -> bool:
    """Return whether a file is named like the directory of DICOM media."""
    return PurePosixPath(name).name.casefold() == DICOMDIR_NAME


@dataclass
class MediaImages:
    """Images of a source after its DICOMDIRs were obeyed.

    Attributes:
        names: The images, in the order of the listing.
        skipped: Images that no DICOMDIR names, and named ones that are missing.
        notes: Sentences for the user.
    """

    names: list[str]
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def obey_dicomdirs(
    listing: Listing, images: Sequence[str], tick: Callable[[], None]
) -> MediaImages:
    """Keep the images that DICOMDIRs name; folders without one keep all of theirs.

    One that is damaged, or none of whose files is there, doesn't count.
    """
    result = MediaImages(list(images))
    # The innermost last, as it decides for its own folder.
    for name in sorted(filter(is_dicomdir, listing.files), key=lambda n: n.count("/")):
        tick()
        _obey(name, listing, result)
    places = {name: place for place, name in enumerate(listing.files)}
    result.names.sort(key=places.__getitem__)
    return result


def _obey(name: str, listing: Listing, result: MediaImages) -> None:
    folder = name[: name.rfind("/") + 1]
    named = referenced_files(listing.path(name))
    if named is None:
        result.notes.append("A DICOMDIR is damaged and was not used.")
        return
    by_key = {_key(file[len(folder) :]): file for file in listing.files if file.startswith(folder)}
    found = {by_key[key] for path in named if (key := _key(path)) in by_key}
    if not found:
        result.notes.append("A DICOMDIR was not used: none of the files that it names are there.")
        return
    inside = [file for file in result.names if file.startswith(folder)]
    beside = set(inside) - found
    result.skipped += [
        SkippedFile(path=file, reason=_NOT_NAMED, kind="unmatched") for file in sorted(beside)
    ]
    result.skipped += [
        SkippedFile(path=folder + path, reason=_MISSING)
        for path in dict.fromkeys(named)
        if _key(path) not in by_key
    ]
    result.names = [f for f in result.names if f not in beside]
    result.names += sorted(found - set(inside))
    if beside:
        result.notes.append(
            f"{count_of(len(beside), 'image')} of the folder {'is' if len(beside) == 1 else 'are'} "
            "not in its DICOMDIR: left out."
        )


def referenced_files(path: Path) -> list[str] | None:
    """Return the files that a DICOMDIR names, relative to its folder; None if it is damaged."""
    import pydicom

    from engine.data.dicom_parse import DECODER_ERRORS

    try:
        records = pydicom.dcmread(long_path(path)).get("DirectoryRecordSequence") or []
        ids = [record.get("ReferencedFileID") for record in records]
    except (*DECODER_ERRORS, OSError):
        return None
    named = []
    for file_id in ids:
        parts = [file_id] if isinstance(file_id, str) else list(file_id or [])
        if parts:
            named.append("/".join(str(part).strip(" \0") for part in parts))
    return named


def _key(path: str) -> str:
    """Return a path without regard to case, versions (``;1``) and empty suffixes of ISO 9660."""
    return path.casefold().removesuffix(";1").removesuffix(".")
