"""NIfTI volumes: orientation, numbers of every type, and files that are not what they claim."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import nibabel
import numpy as np
import pytest

from engine.contract.errors import UnreadableImageError
from engine.data.images import decode_image, open_image
from engine.data.voi import display_levels

RANDOM = np.random.default_rng(0)
VOXELS = RANDOM.integers(-1000, 3000, (5, 7, 9)).astype(np.int16)
AXES = ("sagittal", "coronal", "axial")


def volume(voxels: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    data: bytes = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine).to_bytes()
    return data


def test_slices_are_shown_as_radiologists_see_them():
    # Axes that point right, forward and up; marks at the right, the front and the top.
    voxels = np.zeros((20, 30, 40), np.uint8)
    voxels[-1, :, :], voxels[:, -1, :], voxels[:, :, -1] = 50, 100, 200
    data = volume(voxels)
    axial = decode_image(data, axis="axial", frame=5).values
    assert axial.shape == (30, 20)
    assert (axial[1:, 0] == 50).all()  # the right of the patient is on the left of the screen
    assert (axial[0] == 100).all()  # the front is on top
    coronal = decode_image(data, axis="coronal", frame=5).values
    assert coronal.shape == (40, 20)
    assert (coronal[1:, 0] == 50).all()
    assert (coronal[0] == 200).all()
    sagittal = decode_image(data, axis="sagittal", frame=5).values
    assert sagittal.shape == (40, 30)
    assert (sagittal[1:, 0] == 100).all()  # the front is on the left
    assert (sagittal[0] == 200).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
@pytest.mark.parametrize("axis", AXES)
def test_the_way_a_volume_is_stored_does_not_show(order, flips, axis):
    stored = np.ascontiguousarray(VOXELS[:: flips[0], :: flips[1], :: flips[2]].transpose(order))
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, world in enumerate(order):
        affine[world, column] = flips[world]
        if flips[world] < 0:
            affine[world, 3] = VOXELS.shape[world] - 1
    plain, other = (
        open_image(volume(VOXELS), axis=axis),
        open_image(volume(stored, affine), axis=axis),
    )
    assert plain.n_frames == other.n_frames == VOXELS.shape[AXES.index(axis)]
    for frame in range(plain.n_frames):
        np.testing.assert_array_equal(other.read(frame).values, plain.read(frame).values)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("is_zipped", [False, True])
def test_numbers_of_every_type_are_read(kind, version, is_zipped):
    voxels = RANDOM.integers(0, 100, (4, 5, 3)).astype(kind)
    data = version(voxels, np.diag([-1, 1, 1, 1]), dtype=voxels.dtype).to_bytes()
    file = open_image(gzip.compress(data) if is_zipped else data)
    expected = np.rot90(voxels[..., 1])  # stored from right to left
    np.testing.assert_array_equal(file.stored(1), expected)
    np.testing.assert_array_equal(file.read(1).values, expected)
    assert file.format == "NIfTI"


def test_colours_are_read():
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    voxels = np.zeros((4, 5, 3), kind)
    voxels["R"], voxels["B"] = 200, 30
    image = decode_image(volume(voxels))
    assert image.values.shape == (5, 4, 3)
    assert image.values[0, 0].tolist() == [200, 0, 30]


def test_slope_and_intercept_give_the_values():
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    data = bytearray(image.to_bytes())
    # nibabel rescales when it writes; what is tested is how the stored numbers are read.
    struct.pack_into("<2f", data, 112, 0.5, -3)
    at = struct.unpack_from("<f", data, 108)[0]
    stored = np.frombuffer(bytes(data), "<i2", VOXELS.size, int(at)).reshape(
        VOXELS.shape, order="F"
    )
    read = open_image(bytes(data)).read(4)
    np.testing.assert_allclose(read.values, np.rot90(stored[..., 4])[:, ::-1] * 0.5 - 3)


def test_the_display_range_of_the_file_is_its_window():
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header["cal_min"], image.header["cal_max"] = 0, 500
    read = decode_image(image.to_bytes())
    expected = np.clip(read.values / 500, 0, 1)
    np.testing.assert_allclose(display_levels(read, "file"), expected, atol=1e-5)


def test_voxels_that_are_not_cubes_are_shown_in_true_proportions():
    data = volume(VOXELS, np.diag([1, 1, 4, 1]))
    sizes = {}
    for axis in AXES:
        image = decode_image(data, axis=axis)
        sizes[axis] = (image.width, image.height)
    assert sizes == {"axial": (5, 7), "coronal": (5, 36), "sagittal": (7, 36)}


def test_of_several_volumes_the_first_is_read_and_that_is_said():
    series = np.stack([VOXELS, VOXELS + 1, VOXELS + 2], axis=3)
    for data in (volume(series), gzip.compress(volume(series))):
        file = open_image(data)
        assert file.n_frames == 9
        assert "3 volumes" in file.notes[0]
        np.testing.assert_array_equal(file.stored(0), np.rot90(VOXELS[..., 0])[:, ::-1])


def test_a_flat_file_is_one_slice():
    flat = volume(VOXELS[..., 0])
    assert open_image(flat).n_frames == 1


def test_a_volume_that_does_not_say_how_it_lies_is_read_with_a_note():
    image = nibabel.Nifti1Image(VOXELS, None)
    data = bytearray(image.to_bytes())
    struct.pack_into("<2h", data, 252, 0, 0)  # neither of both codes
    file = open_image(bytes(data))
    assert any("doesn't say how it lies" in note for note in file.notes)
    assert file.read().values.shape == (7, 5)
    struct.pack_into("<h", data, 254, 2)
    struct.pack_into("<12f", data, 280, *[float("nan")] * 12)
    assert open_image(bytes(data)).read().values.shape == (7, 5)


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_zipped", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_volume_that_is_cut_off_is_not_read(is_zipped, share):
    voxels = RANDOM.integers(0, 3000, (20, 20, 20)).astype(np.int16)
    data = gzip.compress(volume(voxels)) if is_zipped else volume(voxels)
    with pytest.raises(UnreadableImageError, match=r"cut off|damaged") as caught:
        open_image(data[: int(len(data) * share)], suffix=".nii")
    assert caught.value.remedy


@pytest.mark.parametrize("is_zipped", [False, True])
def test_claims_of_size_are_refused_before_memory_is_used(is_zipped):
    import tracemalloc

    data = bytearray(volume(VOXELS))
    struct.pack_into("<4h", data, 40, 3, 30_000, 30_000, 30_000)
    bomb = gzip.compress(bytes(data)) if is_zipped else bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImageError):
            open_image(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


def test_zeros_that_inflate_beyond_the_limit_are_refused():
    head = bytearray(volume(VOXELS)[:352])
    struct.pack_into("<4h", head, 40, 3, 1000, 1000, 1000)  # 2 GB of 16 bits
    deflater = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = deflater.compress(bytes(head)) + deflater.compress(bytes(1 << 24)) + deflater.flush()
    with pytest.raises(UnreadableImageError, match=r"inflates to 1\.9 GB"):
        open_image(bomb)


def test_random_damage_never_raises_anything_else():
    whole = volume(VOXELS)
    for data in (whole, gzip.compress(whole, mtime=0)):
        for _ in range(150):
            hurt = np.frombuffer(data, np.uint8).copy()
            where = RANDOM.integers(0, min(len(hurt), 400), 6)
            hurt[where] = RANDOM.integers(0, 256, 6)
            try:
                decode_image(hurt.tobytes(), suffix=".nii")
            except UnreadableImageError as error:
                assert error.message
                assert error.remedy


def test_half_of_a_pair_and_numbers_without_a_picture_are_named():
    pair = nibabel.Nifti1Pair(VOXELS, np.eye(4))
    header = io.BytesIO()
    pair.header.write_to(header)
    with pytest.raises(UnreadableImageError, match="in two files"):
        open_image(header.getvalue(), suffix=".hdr")
    with pytest.raises(UnreadableImageError, match="another kind"):
        open_image(volume(VOXELS.astype(np.complex64)))
