"""DICOM files as images: what was parsed, decoded and looked up, put together frame by frame.

References:
    DICOM PS3.3, C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from engine.contract.errors import UnreadableImageError
from engine.data.decoded import DecodedImage, ImageFile, VoiLut, Window
from engine.data.dicom_frames import Frames
from engine.data.dicom_header import (
    acquisition_day,
    burned_in,
    covariates,
    field_text,
    raw_patient_id,
    raw_site,
    raw_sop_uid,
    raw_study_uid,
    whitelisted_fields,
)
from engine.data.dicom_kinds import without_pixels
from engine.data.dicom_parse import DECODER_ERRORS, REMEDY, parse_dicom
from engine.data.dicom_pixels import decode_frame
from engine.data.dicom_views import HeaderViews
from engine.data.pictures import grey_if_equal
from engine.data.proportions import shown_size
from engine.data.units import possible_range

__all__ = ["DECODER_ERRORS", "DicomFile"]

_LONGEST_MODALITY: Final = 16


class DicomFile(ImageFile):
    """A DICOM file with pixels."""

    format = "DICOM"

    def __init__(self, data: bytes) -> None:
        """Parse the header and find the frames.

        Args:
            data: The whole file, with or without preamble and file meta information.

        Raises:
            NotAnImageError: If it is a sound object without pixels.
            UnreadableImageError: If it is damaged, cut off, or too large.
        """
        parsed = parse_dicom(data)
        self._header = parsed.header
        if parsed.pixels is None:
            raise without_pixels(parsed.header)
        try:
            self._frames = Frames(parsed)
        except DECODER_ERRORS as error:
            raise _damaged() from error
        self._syntax, self._is_little = parsed.syntax, parsed.is_little_endian
        self.n_frames = self._frames.n_frames
        self.default_frame = (self.n_frames - 1) // 2
        self.photometric = self._frames.facts.photometric
        self.transfer_syntax = str(parsed.syntax or "")
        self.notes = (*parsed.notes, *self._frames.notes)

    def read(self, frame: int | None = None, at_least_px: int | None = None) -> DecodedImage:
        """Decode one frame at full size; see :class:`ImageFile`."""
        frame = self.chosen(frame)
        stored, notes = self._decoded(frame)
        try:
            return self._assembled(stored, frame, notes)
        except MemoryError as error:
            raise _too_large() from error
        except DECODER_ERRORS as error:
            raise _undecodable(self._syntax, error) from error

    def stored(self, frame: int) -> NDArray[Any]:
        """Return the stored values of a frame; see :class:`ImageFile`."""
        return self._decoded(self.chosen(frame))[0]

    @cached_property
    def _facts_of_all_frames(self) -> dict[str, Any]:
        header = self._header
        return {
            "format": self.format,
            "modality": field_text(header, "Modality", longest=_LONGEST_MODALITY),
            "photometric": self.photometric,
            "n_frames": self.n_frames,
            "patient_id": raw_patient_id(header),
            "study_uid": raw_study_uid(header),
            "sop_uid": raw_sop_uid(header),
            "site": raw_site(header),
            "acquired": acquisition_day(header),
            "burned_in": burned_in(header),
            "covariates": covariates(header),
            "dicom": whitelisted_fields(header),
        }

    def _decoded(self, frame: int) -> tuple[NDArray[Any], list[str]]:
        try:
            return decode_frame(self._frames, frame, self._syntax, is_little=self._is_little)
        except UnreadableImageError:
            raise
        except MemoryError as error:
            raise _too_large() from error
        except DECODER_ERRORS as error:
            raise _undecodable(self._syntax, error) from error

    def _assembled(self, stored: NDArray[Any], frame: int, notes: list[str]) -> DecodedImage:
        header, pixels = self._header, self._frames.facts
        views = HeaderViews(header, pixels, frame, is_little=self._is_little)
        bits = pixels.stored
        if pixels.photometric == "PALETTE COLOR":
            stored, bits = views.to_color(stored)
        width, height, shape_notes = shown_size(
            stored.shape[1], stored.shape[0], views.pixel_aspect()
        )
        facts: dict[str, Any] = {
            "width": width,
            "height": height,
            "bits": bits,
            "frame": frame,
            "notes": (*self.notes, *notes, *shape_notes),
            **self._facts_of_all_frames,
        }
        if stored.ndim == 3:
            top = float(max(2**bits - 1, int(stored.max())))
            return DecodedImage(values=grey_if_equal(stored), value_range=(0.0, top), **facts)
        return self._grey(stored, views, facts)

    def _grey(
        self, stored: NDArray[Any], views: HeaderViews, facts: dict[str, Any]
    ) -> DecodedImage:
        values, transform = views.to_units(stored)
        if values.dtype.kind == "f":
            values = np.nan_to_num(values.astype(np.float32, copy=False), posinf=0, neginf=0)
        windows, tables = views.windows(), views.voi_tables(values)
        views_of_frame: list[Window | VoiLut] = [*windows, *tables]
        return DecodedImage(
            values=values,
            value_range=possible_range(values, stored, facts["bits"], transform),
            window=windows[0] if windows else None,
            voi_lut=tables[0] if tables else None,
            named_views=tuple(view for view in views_of_frame if view.name),
            is_inverted=self.photometric == "MONOCHROME1",
            padding=views.padding(transform),
            **facts,
        )


def _damaged() -> UnreadableImageError:
    return UnreadableImageError(
        "The DICOM file is damaged: its pixels don't fit its header.", remedy=REMEDY
    )


def _too_large() -> UnreadableImageError:
    return UnreadableImageError("The DICOM image doesn't fit into memory.", remedy="Leave it out.")


def _undecodable(syntax: UID | None, error: BaseException) -> UnreadableImageError:
    text = str(error).lower()
    if any(words in text for words in ("truncated", "less than expected", "not enough")):
        message = "The DICOM file is cut off: pixel data are missing at its end."
    elif "unable to decode" in text or isinstance(error, NotImplementedError):
        name = getattr(syntax, "name", "unknown")
        message = f"The DICOM file's pixels can't be decoded; its compression is: {name}."
    else:
        message = "The DICOM file is damaged: its pixels don't fit its header."
    return UnreadableImageError(
        message, remedy="Export it again from the archive, uncompressed if possible."
    )
