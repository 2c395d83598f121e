"""Files of every kind Pillow reads, and the sentence for those that are none."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from engine.contract.config import ImageContract
from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.decoded import DecodedImage, VoiLut, Window
from engine.data.images import decode_image, is_candidate, read_image
from engine.data.rendering import to_pixels, to_thumbnail
from engine.data.voi import apply_window, display_levels, effective_window, window_numbers

DEEP = (np.arange(12 * 20).reshape(12, 20) * 270).astype(np.uint16)  # 0 to 64,530
GREY = (DEEP // 256).astype(np.uint8)


def saved(array: np.ndarray, format_: str, mode: str | None = None, **options) -> bytes:
    picture = Image.fromarray(array)
    stream = io.BytesIO()
    (picture if mode is None else picture.convert(mode)).save(stream, format_, **options)
    return stream.getvalue()


def image_of(values: np.ndarray, **facts) -> DecodedImage:
    defaults = {
        "width": values.shape[1],
        "height": values.shape[0],
        "value_range": (0.0, 255.0),
        "bits": 8 * values.dtype.itemsize,
        "format": "DICOM",
        "photometric": "MONOCHROME2",
    }
    return DecodedImage(values=values, **(defaults | facts))


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_sixteen_bits_stay_sixteen_bits(format_):
    image = decode_image(saved(DEEP, format_))
    assert image.values.dtype == np.uint16
    assert (image.bits, image.format) == (16, format_)
    np.testing.assert_array_equal(image.values, DEEP)


@pytest.mark.parametrize(
    ("format_", "mode"),
    [
        *(
            (format_, mode)
            for format_ in ("PNG", "TIFF")
            for mode in ("L", "LA", "P", "RGB", "RGBA")
        ),
        *(("BMP", mode) for mode in ("L", "P", "RGB", "RGBA")),
    ],
)
def test_colour_files_of_a_grey_picture_are_grey(format_, mode):
    image = decode_image(saved(GREY, format_, mode))
    assert not image.is_color
    np.testing.assert_array_equal(image.values, GREY)


RED = np.zeros((16, 16, 3), np.uint8)
RED[..., 0] = 255


@pytest.mark.parametrize(
    ("format_", "mode"),
    [
        *(("TIFF", mode) for mode in ("RGB", "CMYK", "YCbCr", "LAB")),
        *(("JPEG", mode) for mode in ("RGB", "CMYK", "YCbCr")),
    ],
)
def test_real_colour_becomes_rgb(format_, mode):
    if mode == "LAB":
        picture = Image.new("LAB", (16, 16), (136, 81 + 128, 70 + 128))  # red in CIE L*a*b*
        stream = io.BytesIO()
        picture.save(stream, format_)
        data, tolerance = stream.getvalue(), 70  # Pillow takes the white of another light
    else:
        data, tolerance = saved(RED, format_, mode), 3  # JPEG's rounding
    values = decode_image(data).values.astype(int)
    assert values.shape == (16, 16, 3)
    assert abs(values - RED).max() <= tolerance


def test_cmyk_is_read_inverted_only_where_adobe_wrote_it():
    ink = saved(RED, "JPEG", "CMYK")  # Pillow writes Adobe's marker and inverts
    at = ink.index(b"\xff\xee")
    length = int.from_bytes(ink[at + 2 : at + 4], "big")
    assert ink[at + 4 : at + 9] == b"Adobe"
    plain = ink[:at] + ink[at + 2 + length :]
    with_marker = decode_image(ink).values.astype(int)
    without = decode_image(plain).values.astype(int)
    assert abs(with_marker - RED).max() <= 3
    # The same numbers read as ink: full black.
    assert without.max() <= 3


def test_a_picture_of_one_bit_is_black_and_white():
    checked = np.indices((8, 8)).sum(axis=0) % 2 * 255
    image = decode_image(saved(checked.astype(np.uint8), "PNG", "1"))
    assert image.bits == 1
    np.testing.assert_array_equal(image.values, checked)


def test_float_pixels_lose_what_is_no_number():
    values = np.linspace(-1, 1, 240, dtype=np.float32).reshape(12, 20)
    values[0, 0] = np.nan
    read = decode_image(saved(values, "TIFF")).values
    assert read.dtype == np.float32
    assert read[0, 0] == 0
    np.testing.assert_array_equal(read[1:], values[1:])


def test_what_is_reduced_to_8_bits_is_said():
    deep = RED.reshape(16, 48).astype(">u2") * 257
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    png = b"\x89PNG\r\n\x1a\n"
    for name, chunk in (
        (b"IHDR", struct.pack(">2L5B", 16, 16, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ):
        png += struct.pack(">L", len(chunk)) + name + chunk
        png += struct.pack(">L", zlib.crc32(name + chunk))
    image = decode_image(png)
    assert "16 bits for each colour" in image.notes[0]
    np.testing.assert_array_equal(image.values, RED)


def test_a_tiff_whose_zero_is_white_is_turned_round():
    def white_is_zero(data: bytes) -> bytes:
        changed = bytearray(data)
        start = struct.unpack_from("<I", data, 4)[0]
        for i in range(struct.unpack_from("<H", data, start)[0]):
            entry = start + 2 + 12 * i
            if struct.unpack_from("<H", data, entry)[0] == 262:  # PhotometricInterpretation
                struct.pack_into("<H", changed, entry + 8, 0)
        return bytes(changed)

    flat = np.full((64, 64), 1000, np.uint16)
    flat[:32] = 50_000
    deep = decode_image(white_is_zero(saved(flat, "TIFF")))
    shallow = decode_image(white_is_zero(saved((flat // 256).astype(np.uint8), "TIFF")))
    for image in (deep, shallow):
        levels = display_levels(image, "full").astype(float)
        assert levels[0, 0] < levels[-1, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    # Where the top left of the seen picture is stored, by TIFF 6.0, tag 274.
    seen = np.zeros((40, 80), np.uint8)
    seen[:20, :40] = 250
    stored = {
        1: seen,
        2: np.fliplr(seen),
        3: np.rot90(seen, 2),
        4: np.flipud(seen),
        5: seen.T,
        6: np.rot90(seen, 1),
        7: np.rot90(seen, 2).T,
        8: np.rot90(seen, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    for format_ in ("JPEG", "PNG", "TIFF"):
        image = decode_image(saved(np.ascontiguousarray(stored), format_, exif=exif))
        assert (image.width, image.height) == (80, 40), format_
        assert abs(image.values.astype(int) - seen).max() <= 8, format_


def test_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / "radiograph.jpg"
    path.write_bytes(saved(GREY, "PNG"))
    assert read_image(path).format == "PNG"


@pytest.mark.parametrize(
    ("data", "suffix", "words"),
    [
        (b"", ".png", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", ".png", "web page"),
        (b"%PDF-1.7\n" + bytes(60), ".jpg", "PDF"),
        (b"PK\x03\x04" + bytes(60), ".tif", "ZIP"),
        (b"GIF89a" + bytes(60), ".gif", "GIF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", ".webp", "WebP"),
        (bytes(5000), ".dcm", "only zeros"),
        ("Ich bin kein Röntgenbild.\n".encode() * 30, ".png", "text"),
        (bytes(range(1, 200)) * 9, ".dcm", "DICOM name"),
        (bytes(range(1, 200)) * 9, ".png", "name of an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), ".png", "header is damaged"),
    ],
)
def test_what_is_no_image_is_named(data, suffix, words):
    with pytest.raises(UnreadableImageError, match=words) as caught:
        decode_image(data, suffix=suffix)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("data", "suffix", "is_other"),
    [
        (b"%PDF-1.7\n" + bytes(60), ".pdf", True),
        (b"%PDF-1.7\n" + bytes(60), ".dcm", False),
        (b"a,b\n1,2\n", ".csv", True),
        (b"PK\x03\x04" + bytes(60), "", True),
        (b"GIF89a" + bytes(60), "", False),
    ],
)
def test_sound_files_of_another_kind_are_no_failures_unless_their_name_promises(
    data, suffix, is_other
):
    with pytest.raises(UnreadableImageError) as caught:
        decode_image(data, suffix=suffix)
    assert isinstance(caught.value, NotAnImageError) is is_other


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_file_that_is_cut_off_is_not_read(format_):
    noise = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    data = saved(noise, format_)
    half = data[:200] + data[200 : len(data) // 2] if format_ != "TIFF" else data[: len(data) // 2]
    with pytest.raises(UnreadableImageError, match=r"cut off|damaged"):
        decode_image(half)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    header = bytearray(saved(np.zeros((8, 8), np.uint8), "BMP"))
    struct.pack_into("<ii", header, 18, 20_000, 20_000)
    with pytest.raises(UnreadableImageError, match=r"100 million|larger than"):
        decode_image(bytes(header))


def test_missing_and_forbidden_files_are_told_apart(tmp_path, monkeypatch):
    with pytest.raises(UnreadableImageError, match="isn't there"):
        read_image(tmp_path / "gone.png")
    path = tmp_path / "secret.png"
    path.write_bytes(saved(GREY, "PNG"))

    def refuse(_self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(UnreadableImageError, match="doesn't allow"):
        read_image(path)


def test_a_reduced_jpeg_fills_the_same_pixels():
    ramp = np.add.outer(np.arange(1000), np.arange(1500)) / 2500 * 255
    data = saved(ramp.astype(np.uint8), "JPEG", quality=95)
    whole, reduced = decode_image(data), decode_image(data, at_least_px=100)
    assert reduced.values.shape == (250, 375)  # a quarter; an eighth would be below 2 x 100
    assert (reduced.width, reduced.height) == (1500, 1000)
    contract = ImageContract(size_px=100)
    difference = to_pixels(whole, contract).astype(int) - to_pixels(reduced, contract)
    assert abs(difference).max() <= 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", True),
        ("a.JPEG", True),
        ("a.dcm", True),
        ("a.nii.gz", True),
        ("notes.txt", False),
        ("labels.csv", False),
        ("Thumbs.db", False),
        (".hidden.png", False),
        ("README", False),
        ("DICOMDIR", False),
        ("IM0001", False),
    ],
)
def test_names_tell_candidates(tmp_path, name, expected):
    path = tmp_path / name
    path.write_bytes(b"no image in here")
    assert is_candidate(path) is expected


def test_files_without_a_telling_name_are_looked_into(tmp_path):
    (tmp_path / "1.2.840.77").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (tmp_path / "scan").write_bytes(saved(GREY, "PNG"))
    assert is_candidate(tmp_path / "1.2.840.77")
    assert is_candidate(tmp_path / "scan")


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "linear_exact", "sigmoid"])
@pytest.mark.parametrize(("center", "width"), [(2048.0, 4096.0), (40.0, 400.0), (0.0, 1.0)])
def test_windows_follow_the_standard(kind, center, width):
    # pydicom's own implementation of PS3.3 C.11.2 is the reference.
    from pydicom.dataset import Dataset
    from pydicom.pixels.processing import apply_windowing

    values = np.arange(-1500, 4500, 7, dtype=np.int16)
    header = Dataset()
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored, header.PixelRepresentation = 16, 1
    header.WindowCenter, header.WindowWidth = center, width
    header.VOILUTFunction = kind.upper()
    theirs = (apply_windowing(values.copy(), header) + 2**15) / (2**16 - 1)
    ours = apply_window(values, Window(center=center, width=width, kind=kind))
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_values_outside_a_window_saturate_at_full_depth():
    values = np.array([[-1000, 0, 50, 100, 3000]], np.int16)
    levels = display_levels(image_of(values, window=Window(center=50, width=100), bits=16), "file")
    np.testing.assert_allclose(levels, [[0, 0, 0.5, 1, 1]])


def test_a_large_image_is_windowed_like_a_small_one():
    # Large ones go through a table of all 16-bit values.
    values = np.random.default_rng(0).integers(-2000, 3000, (300, 300)).astype(np.int16)
    window = Window(center=40, width=400, kind="linear")
    large = display_levels(image_of(values, window=window, bits=16), "file")
    np.testing.assert_array_equal(large, apply_window(values, window))


def test_inversion_comes_after_the_window():
    values = np.array([[0, 500, 1000]], np.uint16)
    window = Window(center=500, width=1000)
    levels = display_levels(image_of(values, window=window, is_inverted=True), "file")
    np.testing.assert_allclose(levels, [[1, 0.5, 0]])


def test_a_table_takes_precedence_and_clamps():
    lut = VoiLut(first=10, levels=np.array([0, 0.25, 1], np.float32))
    values = np.array([[0, 10, 11, 12, 99]], np.uint16)
    image = image_of(values, voi_lut=lut, window=Window(center=5, width=1))
    np.testing.assert_allclose(display_levels(image, "file"), [[0, 0, 0.25, 1, 1]])


def test_eight_bit_images_are_shown_as_they_are_and_deep_ones_by_percentiles():
    byte = image_of(np.arange(50, 114, dtype=np.uint8).reshape(8, 8))
    np.testing.assert_array_equal(display_levels(byte, "file"), byte.values)
    values = np.full((100, 100), 500, np.uint16)
    values[0, :10], values[1, :10] = 60_000, 0  # 0.1 % each: a marker and a hole
    values[2:50] = 700
    window = effective_window(image_of(values, bits=16), "file")
    assert window == Window(center=600, width=200)


def test_padding_does_not_count_for_percentiles():
    values = np.full((50, 50), -2000, np.int16)
    values[10:40, 10:40] = np.linspace(0, 100, 900).reshape(30, 30)
    values[0, 0] = 50
    image = image_of(values, bits=16, padding=(-2000, -2000))
    center, width = window_numbers(image, "file")
    assert center - width / 2 >= 0


def test_a_window_beside_all_values_is_not_used():
    values = np.random.default_rng(0).integers(33_000, 60_000, (64, 64)).astype(np.uint16)
    image = image_of(values, bits=16, window=Window(center=2700, width=5300))
    levels = display_levels(image, "file")
    assert levels.std() > 0.1


# --- pixels --------------------------------------------------------------------------------------


def test_letterbox_keeps_the_shape_and_pads_with_black():
    image = image_of(np.full((100, 200), 200, np.uint8))
    pixels = to_pixels(image, ImageContract(size_px=64))
    assert pixels.dtype == np.uint8
    assert (pixels[16:48] == 200).all()
    assert (pixels[:16] == 0).all()
    assert (pixels[48:] == 0).all()


def test_padding_can_be_the_mean_of_the_edge():
    image = image_of(np.full((100, 200), 200, np.uint8))
    assert (to_pixels(image, ImageContract(size_px=64, padding="edge_mean")) == 200).all()


def test_centre_crop_cuts_and_does_not_stretch():
    values = np.zeros((100, 300), np.uint8)
    values[:, 100:200] = 255
    pixels = to_pixels(image_of(values), ImageContract(size_px=50, fit="center_crop"))
    assert pixels.shape == (50, 50)
    assert pixels[:, 1:-1].min() == 255


def test_downscaling_does_not_alias():
    lines = np.zeros((512, 512), np.uint16)
    lines[::2] = 40_000
    image = image_of(lines, bits=16, value_range=(0.0, 65535.0))
    pixels = to_pixels(image, ImageContract(size_px=64, window="full"))
    expected = 20_000 / 65_535 * 255
    assert abs(pixels[8:-8, 8:-8].astype(float) - expected).max() < 2


def test_depth_and_channels_follow_the_contract():
    deep = image_of(DEEP, bits=16, value_range=(0.0, 65535.0))
    sixteen = ImageContract(size_px=32, window="full", depth_bits=16, channels=3)
    pixels = to_pixels(deep, sixteen)
    assert pixels.dtype == np.uint16
    assert pixels.shape == (32, 32, 3)
    assert pixels.max() > 60_000
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 200
    assert to_pixels(image_of(red), ImageContract(size_px=40)).max() == round(0.299 * 200)
    np.testing.assert_array_equal(
        to_pixels(image_of(red), ImageContract(size_px=40, channels=3)), red
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 2), (17, 31)])
def test_odd_shapes_fit_too(shape):
    pixels = to_pixels(image_of(np.full(shape, 100, np.uint8)), ImageContract(size_px=48))
    assert pixels.shape == (48, 48)
    assert pixels.max() == 100


def test_thumbnails_are_small_squares():
    assert to_thumbnail(image_of(np.zeros((300, 200), np.uint8))).shape == (128, 128)
    colour = np.zeros((300, 200, 3), np.uint16)
    colour[..., 1] = 65_535
    thumbnail = to_thumbnail(image_of(colour, bits=16, value_range=(0.0, 65535.0)))
    assert thumbnail.dtype == np.uint8
    assert thumbnail.shape == (128, 128, 3)
    assert thumbnail[64, 64].tolist() == [0, 255, 0]
