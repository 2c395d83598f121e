"""The viewer's copy of an image: what is on the screen is what the network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from engine.contract.config import ImageContract
from engine.contract.errors import StorageError
from engine.contract.import_rules import FramePolicy
from engine.data.images import decode_image
from engine.data.rendering import to_pixels
from engine.data.viewing import write_view
from engine.project.records import NewRecord
from engine.project.store import Project
from tests.helpers.dicom_files import dicom_file, header, saved

PIXELS = np.random.default_rng(0).integers(0, 4096, (40, 40)).astype(np.uint16)


def view(
    tmp_path: Path, data: bytes, *, frame: int = 0, policy: FramePolicy | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "image").write_bytes(data)
    with Project.create(tmp_path / "project") as project:
        source_id = project.add_source(source, "folder")
        if policy is not None:
            project.set_frame_policy(source_id, policy)
        [record] = project.add_records(
            [NewRecord(source_id=source_id, path="image", row=0, frame=frame)]
        )
        shown = write_view(project, record, tmp_path / "out" / "view.npy")
    return np.load(shown["path"], allow_pickle=False), shown


def on_screen(values: np.ndarray, shown: dict[str, Any]) -> np.ndarray:
    """Return grey levels as a viewer makes them of values, centre and width."""
    low = shown["window_center"] - shown["window_width"] / 2
    levels: np.ndarray = np.clip((values - low) / shown["window_width"], 0, 1)
    return 1 - levels if shown["is_inverted"] else levels


def test_values_are_those_of_the_file_with_its_window(tmp_path):
    data = dicom_file(PIXELS, RescaleSlope=2, RescaleIntercept=-1, WindowCenter=90, WindowWidth=700)
    values, shown = view(tmp_path, data)
    np.testing.assert_array_equal(values, PIXELS.astype(int) * 2 - 1)
    assert (shown["window_center"], shown["window_width"]) == (90, 700)


def curved(kind: str) -> bytes:
    if kind == "sigmoid":
        return dicom_file(PIXELS, WindowCenter=2000, WindowWidth=900, VOILUTFunction="SIGMOID")
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 12])
    entries = (np.arange(4096) ** 2 // 4096).astype("<u2")
    table.add_new("LUTData", "OW", entries.tobytes())
    data = header(PIXELS, PhotometricInterpretation="MONOCHROME1", VOILUTSequence=[table])
    data.add_new("PixelData", "OW", PIXELS.tobytes())
    return saved(data)


@pytest.mark.parametrize("kind", ["sigmoid", "table"])
def test_curves_that_a_window_cannot_say_are_applied_before(tmp_path, kind):
    data = curved(kind)
    values, shown = view(tmp_path, data)
    assert values.dtype == np.uint16
    seen = to_pixels(decode_image(data), ImageContract(size_px=40))
    np.testing.assert_allclose(on_screen(values, shown) * 255, seen, atol=0.51)


def test_pixels_that_are_not_square_are_on_screen_as_in_the_network(tmp_path):
    smooth = np.add.outer(np.arange(40) * 50, np.arange(80) * 25).astype(np.uint16)
    data = dicom_file(smooth, PixelSpacing=[2, 1], WindowCenter=2000, WindowWidth=4000)
    values, shown = view(tmp_path, data)
    assert values.shape == (80, 80)
    seen = to_pixels(decode_image(data), ImageContract(size_px=80))
    np.testing.assert_allclose(on_screen(values, shown) * 255, seen, atol=2.5)


def test_a_slice_is_that_of_the_plane_it_was_imported_in(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.int16)
    data = nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes()
    values, _ = view(tmp_path, data, frame=3, policy=FramePolicy(axis="coronal"))
    np.testing.assert_array_equal(values, np.rot90(voxels[:, 3])[:, ::-1])


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "out").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError):
        view(tmp_path, dicom_file(PIXELS))
