"""How DICOM values are meant and shown: units, windows, tables, palettes, padding, proportions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from engine.contract.config import ImageContract
from engine.contract.errors import ConfigError
from engine.contract.limits import check_limits
from engine.data.decoded import DecodedImage, Window
from engine.data.images import decode_image, open_image
from engine.data.rendering import in_square_pixels, to_pixels
from engine.data.voi import display_levels, effective_window
from tests.helpers.dicom_files import dicom_file, header, saved

RANDOM = np.random.default_rng(0)
RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
SIGNED = RANDOM.integers(-1000, 1000, (16, 16)).astype(np.int16)
PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def table_item(entries: list[int], first: int, bits: int, syntax: str, **fields) -> Dataset:
    item = Dataset()
    descriptor = [len(entries) % 65_536, first, bits]
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", descriptor)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    item.add_new("LUTData", "OW", np.array(entries, f"{order}u2").tobytes())
    for name, value in fields.items():
        setattr(item, name, value)
    return item


def file_window(image: DecodedImage, mode: str = "file") -> Window:
    window = effective_window(image, mode)
    assert isinstance(window, Window)
    return window


# --- units ---------------------------------------------------------------------------------------


def test_rescale_then_window_then_inversion():
    data = dicom_file(
        RAMP,
        BitsStored=12,
        HighBit=11,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=[1000, 5],
        WindowWidth=[2000, 7],
        PhotometricInterpretation="MONOCHROME1",
    )
    image = decode_image(data)
    units = RAMP.astype(int) * 2 - 1000
    np.testing.assert_array_equal(image.values, units)
    assert image.is_inverted
    expected = 1 - np.clip(((units - 999.5) / 1999) + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
    np.testing.assert_allclose(display_levels(image, "file"), expected, atol=1e-6)


def test_a_fractional_slope_gives_float_values():
    image = decode_image(dicom_file(SIGNED, RescaleSlope="0.5", RescaleIntercept="0.25"))
    assert image.values.dtype == np.float32
    np.testing.assert_allclose(image.values, SIGNED * 0.5 + 0.25)


def test_rescaled_values_beyond_sixteen_bits_are_kept():
    stored = np.array([[0, 65_535], [1, 2]], np.uint16)
    image = decode_image(dicom_file(stored, RescaleSlope=4, RescaleIntercept=-100))
    assert image.values.tolist() == [[-100, 262_040], [-96, -92]]


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize("first", [0, 7, -900])
def test_a_modality_table_is_applied_as_pydicom_applies_it(syntax, first):
    entries = RANDOM.integers(0, 60_000, 900).tolist()
    pixels = SIGNED if first < 0 else RAMP
    data = header(pixels)
    data.ModalityLUTSequence = [table_item(entries, first, 16, syntax)]
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data.add_new("PixelData", "OW", pixels.astype(f"{order}{pixels.dtype.str[1:]}").tobytes())
    image = decode_image(saved(data, syntax))
    np.testing.assert_array_equal(image.values, apply_modality_lut(pixels, data))
    assert image.value_range == (image.values.min(), image.values.max())


def test_each_frame_of_an_enhanced_file_has_its_own_rescale_and_window():
    frames = np.stack([RAMP, RAMP])
    data = header(RAMP, NumberOfFrames=2)
    groups = []
    for slope in (1, 3):
        units, shown, group = Dataset(), Dataset(), Dataset()
        units.RescaleSlope, units.RescaleIntercept = slope, -slope
        shown.WindowCenter, shown.WindowWidth = 100 * slope, 50
        shown.VOILUTFunction = "LINEAR_EXACT"
        group.PixelValueTransformationSequence = [units]
        group.FrameVOILUTSequence = [shown]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [2, 1]
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    data.add_new("PixelData", "OW", frames.tobytes())
    file = open_image(saved(data))
    for number, slope in enumerate((1, 3)):
        image = file.read(number)
        np.testing.assert_array_equal(image.values, RAMP.astype(int) * slope - slope)
        assert image.window == Window(center=100 * slope, width=50, kind="linear_exact")
        assert (image.width, image.height) == (16, 32)


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_every_window_function_is_that_of_the_standard(function):
    fields: dict[str, Any] = {"WindowCenter": 300, "WindowWidth": 900, "BitsStored": 16}
    if function is not None:
        fields["VOILUTFunction"] = function
    image = decode_image(dicom_file(SIGNED, **fields))
    described = header(SIGNED, **fields)
    expected = (apply_windowing(SIGNED.copy(), described) + 2**15) / (2**16 - 1)
    np.testing.assert_allclose(display_levels(image, "file"), expected, atol=2e-5)


def test_a_window_is_chosen_by_its_name():
    data = dicom_file(
        RAMP,
        WindowCenter=[1000, 2000],
        WindowWidth=[100, 300],
        WindowCenterWidthExplanation=["SOFT TISSUE", "LUNG"],
    )
    image = decode_image(data)
    assert image.dicom["Window names"] == "SOFT TISSUE × LUNG"
    lung = Window(center=2000, width=300, kind="linear", name="LUNG")
    assert effective_window(image, "name:lung ") == lung
    assert file_window(image).center == 1000
    assert file_window(image, "name:BONE").center == 1000  # where there is none of that name
    by_name, by_order = (
        to_pixels(image, ImageContract(size_px=32, window=window))
        for window in ("name:LUNG", "file")
    )
    assert (by_name != by_order).any()


@pytest.mark.parametrize("window", ["file", "robust", "full", "name:LUNG", "name:骨窗"])
def test_an_image_contract_may_name_a_window(window):
    check_limits(ImageContract(window=window))


@pytest.mark.parametrize(
    "window", ["", "bone", "name:", "name:  ", "name:a\nb", "name:" + "x" * 70]
)
def test_other_words_for_a_window_are_refused(window):
    with pytest.raises(ConfigError, match="window"):
        check_limits(ImageContract(window=window))


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_table_is_applied_and_clamps(syntax, bits):
    top = 2**bits - 1
    item = table_item([0, top // 5, top], 1, bits, syntax)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    stored = np.array([[0, 1, 2, 3, 9]], np.uint16)
    data = header(stored, WindowCenter=1, WindowWidth=1)
    data.VOILUTSequence = [item]
    data.add_new("PixelData", "OW", stored.astype(f"{order}u2").tobytes())
    image = decode_image(saved(data, syntax))
    np.testing.assert_allclose(display_levels(image, "file"), [[0, 0, 0.2, 1, 1]], atol=2e-3)


def test_a_voi_table_starts_below_zero_where_the_units_do_and_has_a_name():
    item = table_item([0, 255, 100], -2, 8, ExplicitVRLittleEndian, LUTExplanation="BONE")
    stored = np.array([[-3, -2, -1, 0, 9]], np.int16)
    data = header(stored)
    data.VOILUTSequence = [table_item([255, 0], 0, 8, ExplicitVRLittleEndian), item]
    data.add_new("PixelData", "OW", stored.tobytes())
    image = decode_image(saved(data))
    expected = [[0, 0, 1, 100 / 255, 100 / 255]]
    np.testing.assert_allclose(display_levels(image, "name:bone"), expected, atol=1e-6)
    np.testing.assert_allclose(display_levels(image, "file"), [[1, 1, 1, 1, 0]])


def test_entries_of_one_byte_in_a_voi_table_are_read():
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 0, 8])
    item.add_new("LUTData", "OW", bytes([0, 51, 102, 255]))
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    data = header(stored)
    data.VOILUTSequence = [item]
    data.add_new("PixelData", "OW", stored.tobytes())
    np.testing.assert_allclose(
        display_levels(decode_image(saved(data)), "file"), [[0, 0.2, 0.4, 1]], atol=1e-6
    )


# --- no window -----------------------------------------------------------------------------------


def tissue(low: int, high: int, background: int, size: int = 100) -> np.ndarray:
    """Return a square of values inside a background that fills five sixths of the image."""
    values = np.full((size, size), background, np.int16)
    inside = slice(size * 3 // 10, size * 7 // 10)
    n = size * 4 // 10
    values[inside, inside] = np.linspace(low, high, n * n).reshape(n, n)
    return values


def test_declared_padding_is_left_out_of_the_percentiles():
    data = header(SIGNED)
    values = tissue(0, 1000, -2000)
    values[0, 0] = 500  # so that it isn't the surroundings that are left out
    data.Rows = data.Columns = 100
    data.add_new("PixelPaddingValue", "SS", -2000)
    data.add_new("PixelData", "OW", values.tobytes())
    image = decode_image(saved(data))
    assert image.padding == (-2000, -2000)
    window = file_window(image)
    assert window.center == pytest.approx(500, abs=5)
    assert window.width == pytest.approx(990, abs=5)


@pytest.mark.parametrize("limit", [-1500, -2500])
def test_a_range_of_padding_is_left_out_in_modality_units(limit):
    values = tissue(0, 1000, -2000)
    values[:20] = np.linspace(min(limit, -2000), max(limit, -2000), 2000).reshape(20, 100)
    data = header(values, RescaleSlope=2, RescaleIntercept=-10)
    data.add_new("PixelPaddingValue", "SS", -2000)
    data.add_new("PixelPaddingRangeLimit", "SS", limit)
    data.add_new("PixelData", "OW", values.tobytes())
    image = decode_image(saved(data))
    assert image.padding == (min(limit, -2000) * 2 - 10, max(limit, -2000) * 2 - 10)
    assert file_window(image).center == pytest.approx(990, abs=20)


def test_padding_that_was_read_with_the_wrong_sign_is_mended():
    data = header(SIGNED)
    data.add_new("PixelPaddingValue", "US", 65_536 - 2000)
    data.add_new("PixelData", "OW", SIGNED.tobytes())
    assert decode_image(saved(data)).padding == (-2000, -2000)


def test_surroundings_of_one_value_and_air_in_ct_are_left_out():
    dark = decode_image(dicom_file(tissue(300, 900, 0)))
    assert file_window(dark).center == pytest.approx(600, abs=10)
    bright = decode_image(dicom_file(tissue(300, 900, 30_000)))
    assert file_window(bright).center == pytest.approx(600, abs=10)
    air = tissue(-50, 250, -1000)
    air += RANDOM.integers(-20, 20, air.shape).astype(np.int16)  # noisy, so not one value
    ct = decode_image(dicom_file(air, Modality="CT"))
    assert file_window(ct).center == pytest.approx(100, abs=15)
    assert file_window(ct, "robust").center == pytest.approx(100, abs=15)


def test_an_image_of_surroundings_alone_still_has_a_window():
    image = decode_image(dicom_file(np.full((20, 20), -1000, np.int16), Modality="CT"))
    assert file_window(image).width > 0


# --- palettes ------------------------------------------------------------------------------------


def palette_header(pixels: np.ndarray, tables: list[bytes], descriptor: list[int], kind: str):
    data = header(pixels, PhotometricInterpretation="PALETTE COLOR")
    for color, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        name = f"{color}PaletteColorLookupTable"
        data.add_new(f"{name}Descriptor", "SS" if descriptor[1] < 0 else "US", descriptor)
        data.add_new(f"{kind}{name}Data", "OW", table)
    return data


@pytest.mark.parametrize("syntax", PLAIN)
@pytest.mark.parametrize("first", [0, 3, -5])
def test_palettes_of_16_bits_are_applied_as_pydicom_applies_them(syntax, first):
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    tables = RANDOM.integers(0, 65_536, (3, 200)).astype("u2")
    pixels = RANDOM.integers(-9 if first < 0 else 0, 120, (8, 10)).astype(
        np.int8 if first < 0 else np.uint8
    )
    swapped = [table.astype(f"{order}u2").tobytes() for table in tables]
    data = palette_header(pixels, swapped, [200, first, 16], "")
    data.add_new("PixelData", "OB", pixels.tobytes())
    image = decode_image(saved(data, syntax))
    native = palette_header(pixels, [t.tobytes() for t in tables], [200, first, 16], "")
    np.testing.assert_array_equal(image.values, apply_color_lut(pixels, native))
    assert image.bits == 16


def test_wide_indices_into_a_palette_of_bytes_do_not_wrap():
    tables = RANDOM.integers(0, 256, (3, 1000)).astype(np.uint8)
    pixels = RANDOM.integers(0, 1000, (20, 20)).astype(np.uint16)
    data = palette_header(pixels, [t.tobytes() for t in tables], [1000, 0, 8], "")
    data.add_new("PixelData", "OW", pixels.tobytes())
    image = decode_image(saved(data))
    np.testing.assert_array_equal(image.values, tables[:, pixels].transpose(1, 2, 0))
    assert image.values.dtype == np.uint8


@pytest.mark.parametrize("is_wide", [False, True])
def test_segmented_palettes_are_expanded_as_pydicom_expands_them(is_wide):
    # A run, a ramp, and a copy of both (PS3.3, C.7.9.2).
    words = [0, 3, 10, 20, 30, 1, 5, 200]
    copy = [2, 2, 0, 0] if is_wide else [2, 2, 0, 0, 0, 0]
    kind = "<u2" if is_wide else "u1"
    table = np.array([*words, *copy], kind).tobytes()
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    data = palette_header(pixels, [table] * 3, [16, 0, 16 if is_wide else 8], "Segmented")
    data.add_new("PixelData", "OB", pixels.tobytes())
    raw = saved(data)
    expected = apply_color_lut(pixels, data)[..., 0]
    assert len(np.unique(expected)) == 8
    image = decode_image(raw)
    assert not image.is_color  # three equal channels are grey
    np.testing.assert_array_equal(image.values, expected)


# --- proportions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"PixelSpacing": [0.5, 0.5]}, (40, 20)),
        ({"PixelSpacing": [0.5, 0.5001]}, (40, 20)),
        ({"PixelSpacing": [2, 1]}, (40, 40)),
        ({"PixelSpacing": [1, 2]}, (80, 20)),
        ({"ImagerPixelSpacing": [0.3, 0.1]}, (40, 60)),
        ({"PixelAspectRatio": [4, 3]}, (40, 27)),
        ({"PixelSpacing": [1, 1], "PixelAspectRatio": [4, 3]}, (40, 20)),
        ({"PixelSpacing": [0, 0], "PixelAspectRatio": [3, 4]}, (53, 20)),
        ({"PixelSpacing": [100, 1]}, (40, 20)),
    ],
)
def test_pixels_that_are_not_square_are_shown_in_true_proportions(fields, size):
    pixels = RANDOM.integers(0, 4096, (20, 40)).astype(np.uint16)
    image = decode_image(dicom_file(pixels, **fields))
    assert (image.width, image.height) == size
    np.testing.assert_array_equal(image.values, pixels)
    assert bool(image.notes) == (size != (40, 20) or fields["PixelSpacing"][0] == 100)


def test_screen_and_network_see_the_same_proportions():
    circle = np.zeros((60, 120), np.uint16)
    y, x = np.mgrid[:60, :120]
    circle[((y - 30) * 2) ** 2 + (x - 60) ** 2 < 50**2] = 4000  # pixels twice as high as wide
    image = decode_image(dicom_file(circle, PixelSpacing=[2, 1]))
    screen = in_square_pixels(image.values, image)
    assert screen.shape == (120, 120)
    assert screen.dtype == np.uint16
    seen = to_pixels(image, ImageContract(size_px=120, window="full"))
    shown = np.rint(screen / 65_535 * 255)
    assert np.corrcoef(seen.ravel(), shown.ravel())[0, 1] > 0.99
    for side in (screen.max(axis=0), screen.max(axis=1)):
        assert np.count_nonzero(side > 2000) == pytest.approx(100, abs=2)
