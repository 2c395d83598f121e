"""Arrays in the layout of MedMNIST."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.contract.errors import NotAnImageError, UnreadableImageError
from engine.data.images import decode_image, image_kind, is_candidate, open_image
from engine.data.npz import NpzItem, read_items

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 8, 10)).astype(np.uint8)


def arrays(**named: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **named)  # type: ignore[arg-type]  # takes a flag by name too
    return stream.getvalue()


def study(images: np.ndarray = IMAGES, labels: np.ndarray | None = None) -> bytes:
    labels = np.array([[0], [1], [1], [0], [2], [1]], np.uint8) if labels is None else labels
    parts = {"train": slice(3), "val": slice(3, 4), "test": slice(4, None)}
    named = {f"{part}_images": images[rows] for part, rows in parts.items()}
    return arrays(**named, **{f"{part}_labels": labels[rows] for part, rows in parts.items()})


def test_images_count_over_training_validation_and_test():
    file = open_image(study())
    assert (file.format, file.n_frames, file.default_frame) == ("NPZ", 6, 0)
    for number in (5, 0, 3, 2):
        np.testing.assert_array_equal(file.read(number).values, IMAGES[number])
    assert file.read().frame == 0
    with pytest.raises(UnreadableImageError, match="6 frames"):
        file.read(6)


def test_colour_and_deep_images_are_read():
    color = RANDOM.integers(0, 256, (6, 8, 10, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(study(color), frame=4).values, color[4])
    deep = IMAGES.astype(np.uint16) * 257
    image = decode_image(study(deep), frame=4)
    assert image.bits == 16
    assert image.values.dtype == np.uint16


def test_labels_and_parts_are_those_of_the_arrays(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(study())
    items = read_items(path)
    assert [item.label for item in items] == ["0", "1", "1", "0", "2", "1"]
    assert [item.split for item in items] == ["train"] * 3 + ["val"] + ["test"] * 2
    assert items[4] == NpzItem(frame=4, label="2", split="test")
    findings = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]] * 2)
    path.write_bytes(study(labels=findings))
    assert [item.label for item in read_items(path)[:3]] == ["0|2", "", "1"]
    path.write_bytes(arrays(train_images=IMAGES))
    assert {item.label for item in read_items(path)} == {None}


def test_the_real_file_has_the_counts_of_its_description(shared_data):
    path = shared_data / "pneumoniamnist" / "pneumoniamnist.npz"
    items = read_items(path)
    # From the table in the README of the data.
    expected = {
        ("train", "0"): 1214,
        ("train", "1"): 3494,
        ("val", "0"): 135,
        ("val", "1"): 389,
        ("test", "0"): 234,
        ("test", "1"): 390,
    }
    for (split, label), n in expected.items():
        assert sum(item.split == split and item.label == label for item in items) == n
    file = open_image(path.read_bytes())
    assert file.n_frames == len(items) == 5856
    with np.load(path) as plain:
        np.testing.assert_array_equal(file.read(5855).values, plain["test_images"][-1])
        np.testing.assert_array_equal(file.read(4708).values, plain["val_images"][0])


def test_content_tells_such_a_file_from_other_archives(tmp_path: Path):
    path = tmp_path / "a.npz"
    path.write_bytes(study())
    assert image_kind(path.read_bytes()[:1024]) == "NPZ"
    assert is_candidate(path)
    path.write_bytes(arrays(features=IMAGES))
    assert not is_candidate(path)
    for read in (lambda: open_image(path.read_bytes()), lambda: read_items(path)):
        with pytest.raises(NotAnImageError, match="MedMNIST"):
            read()


def test_nothing_is_ever_unpickled(tmp_path):
    path = tmp_path / "a.npz"
    objects = np.array([{"a": 1}, None], dtype=object)
    stream = io.BytesIO()
    np.savez(stream, train_images=objects)
    path.write_bytes(stream.getvalue())
    for read in (lambda: open_image(path.read_bytes()), lambda: read_items(path)):
        with pytest.raises(UnreadableImageError, match="damaged"):
            read()


def test_arrays_without_pictures_or_with_other_labels_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(arrays(train_images=np.zeros((3, 4))))
    with pytest.raises(UnreadableImageError, match="no pictures"):
        open_image(path.read_bytes())
    path.write_bytes(arrays(train_images=IMAGES, train_labels=np.zeros((5, 1))))
    with pytest.raises(UnreadableImageError, match="train_labels"):
        read_items(path)


def bomb(shape: tuple[int, ...]) -> bytes:
    """Return an archive whose array claims a shape and holds a little of it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        described = {"descr": "|u1", "fortran_order": False, "shape": shape}
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, described)
        archive.writestr("train_images.npy", head.getvalue() + bytes(1 << 16))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("shape", "words"),
    [((2, 60_000, 60_000), "100 million"), ((10**7, 100, 100), "MB"), ((100, 100, 100), "damaged")],
)
def test_claims_of_size_are_refused_before_memory_is_used(shape, words):
    with pytest.raises(UnreadableImageError, match=words):
        decode_image(bomb(shape))


@pytest.mark.parametrize("description", [b"{'descr': '|u1',", b"{'descr': ", b"1 +", b"(" * 300])
def test_a_header_that_is_no_dictionary_is_damage(description):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        head = b"\x93NUMPY\x01\x00" + len(description).to_bytes(2, "little") + description
        archive.writestr("train_images.npy", head + bytes(100))
    with pytest.raises(UnreadableImageError, match="damaged"):
        open_image(stream.getvalue())


def test_random_damage_never_raises_anything_else(tmp_path):
    data = study()
    path = tmp_path / "a.npz"
    readers: list[Callable[[], object]] = [
        lambda: decode_image(path.read_bytes(), suffix=".npz"),
        lambda: read_items(path),
    ]
    for _ in range(150):
        hurt = np.frombuffer(data, np.uint8).copy()
        where = RANDOM.integers(0, len(hurt), 5)
        hurt[where] = RANDOM.integers(0, 256, 5)
        path.write_bytes(hurt.tobytes())
        for read in readers:
            try:
                read()
            except UnreadableImageError as error:
                assert error.message
                assert error.remedy
