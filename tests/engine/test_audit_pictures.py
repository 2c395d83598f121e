"""Images that show nothing or are unlike the others, text in them, and names that tell too much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from engine.audit.burned_in import find_flagged_text, find_printed_text
from engine.audit.file_names import find_identifying_names
from engine.audit.odd_pictures import (
    find_blank_images,
    find_inverted_images,
    find_padded_images,
    pointing,
)
from engine.audit.outliers import (
    find_few_of_a_kind,
    find_shape_outliers,
    find_size_outliers,
    find_small_images,
    find_window_outliers,
    stands_out,
)
from engine.audit.text_lines import find_text_lines
from engine.contract.errors import DatasetError
from tests.helpers.audit_study import (
    Made,
    import_study,
    numbers_of,
    only,
    opened_study,
    scene,
    study_of,
)


def alike(n: int) -> list[Made]:
    """Return images of one kind of body: a bright middle on black, each a little different."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96] / 95 - 0.5
    made = []
    for number, image in enumerate(study_of(n)):
        dx, dy = random.normal(size=2) * 0.03
        body = 200 * np.exp(-((x - dx) ** 2 * 4 + (y - dy) ** 2 * 9) * 3)
        values = np.clip(body + 0.15 * scene(number) + 10, 0, 255)
        made.append(replace(image, values=np.rint(values).astype(np.uint8)))
    return made


def written(text: str, *, size: int = 14, at: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Return a picture with text in its corner."""
    picture = Image.fromarray(np.minimum(scene(5, (400, 300)), 140))
    ImageDraw.Draw(picture).text(at, text, fill=255, font=ImageFont.load_default(size))
    return np.asarray(picture)


def test_blank_images_are_counted_by_what_they_are(tmp_path):
    made = study_of(20)
    for number, level in ((3, 0), (4, 255), (5, 128)):
        made[number] = replace(made[number], values=np.full((60, 60), level, dtype=np.uint8))
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_blank_images(study), "blank_images", severity="medium")
        assert numbers_of(study, finding) == [3, 4, 5]
        assert finding.sentence == "3 images show nothing: 1 black, 1 white, 1 of one grey."
        assert finding.remedy == "exclude"


def test_nothing_is_compared_where_all_images_are_blank(tmp_path):
    made = [replace(image, values=image.values * 0 + n) for n, image in enumerate(study_of(8))]
    with opened_study(import_study(tmp_path, made)) as study:
        assert find_inverted_images(study) == find_padded_images(study) == []
        assert only(find_blank_images(study), "blank_images").n == 8


def test_images_with_bright_and_dark_swapped_are_found_and_no_others(tmp_path):
    made = alike(40)
    with opened_study(import_study(tmp_path / "sound", made)) as study:
        assert find_inverted_images(study) == []
    for number in (7, 21):
        made[number] = replace(made[number], values=255 - made[number].values)
    with opened_study(import_study(tmp_path / "faulty", made)) as study:
        finding = only(find_inverted_images(study), "inverted_images")
        assert numbers_of(study, finding) == [7, 21]


def test_images_without_anything_in_common_have_no_direction():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(100, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert pointing(vectors) is None
    assert pointing(vectors[:5]) is None


def test_an_image_that_is_mostly_border_is_found(tmp_path):
    made = study_of(40)
    small = np.zeros((96, 96), dtype=np.uint8)
    small[40:60, 40:60] = scene(99, (20, 20))
    made[8] = replace(made[8], values=small)
    with opened_study(import_study(tmp_path, made)) as study:
        assert numbers_of(study, only(find_padded_images(study), "padded_images")) == [8]


def test_sizes_and_shapes_far_from_the_others_stand_out(tmp_path):
    made = study_of(60)
    made[4] = replace(made[4], values=scene(4, (20, 20)))
    made[9] = replace(made[9], values=scene(9, (200, 46)))
    with opened_study(import_study(tmp_path, made)) as study:
        size = only(find_size_outliers(study), "size_outliers")
        assert numbers_of(study, size) == [4]
        assert "1 smaller, such as 20 × 20 pixels where 96 × 96 is usual" in size.sentence
        assert numbers_of(study, only(find_shape_outliers(study), "shape_outliers")) == [9]


def test_what_is_not_rare_does_not_stand_out():
    values = np.concatenate([np.full(80, 100.0), np.full(20, 900.0)])
    assert not stands_out(values, factor=2.0).any()
    values[80:] = 150.0
    values[80] = 900.0
    assert np.flatnonzero(stands_out(values, factor=2.0)).tolist() == [80]


def test_a_sound_study_has_no_unusual_images(tmp_path):
    with opened_study(import_study(tmp_path, study_of(40))) as study:
        for find in (
            find_blank_images,
            find_inverted_images,
            find_padded_images,
            find_size_outliers,
            find_shape_outliers,
            find_window_outliers,
            find_small_images,
            find_few_of_a_kind,
            find_flagged_text,
            find_identifying_names,
        ):
            assert find(study) == []


def test_the_few_colour_images_among_grey_ones_are_named(tmp_path):
    made = study_of(60)
    grey = made[5].values
    made[5] = replace(made[5], values=np.stack([grey, grey // 2, grey // 3], axis=2))
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_few_of_a_kind(study), "few_of_a_kind")
        assert numbers_of(study, finding) == [5]
        assert finding.sentence.startswith("1 image is in colour; the other 98 % are grey")


def test_images_smaller_than_half_of_what_the_network_sees_are_mentioned(tmp_path):
    made = [replace(image, values=image.values[:12, :12]) for image in study_of(20)]
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_small_images(study), "small_images", severity="info")
        assert finding.n == 20


@pytest.mark.parametrize("text", ["PORTABLE", "ID:113936", "10:20:04", "DOE JANE"])
@pytest.mark.parametrize("at", [(8, 8), (150, 370)])
def test_printed_lines_are_seen_in_any_corner(text, at):
    lines = find_text_lines(written(text, at=at))
    assert max(line.n_letters for line in lines) >= 4
    assert abs(lines[0].top - at[1]) < 12


@pytest.mark.parametrize("text", ["", "L", "R", "AP"])
def test_side_markers_are_no_text(text):
    assert find_text_lines(written(text)) == []
    assert find_text_lines(written(text, size=40)) == []


def test_text_in_the_middle_or_too_dark_is_left_alone():
    assert find_text_lines(written("PORTABLE", at=(110, 190))) == []
    dim = np.minimum(written("PORTABLE"), 120)
    assert find_text_lines(dim) == []


def test_noise_and_pictures_are_no_text():
    random = np.random.default_rng(0)
    assert find_text_lines(random.integers(0, 256, (300, 300)).astype(np.uint8)) == []
    assert (
        find_text_lines(np.where(random.random((300, 300)) > 0.97, 255, 20).astype(np.uint8)) == []
    )
    assert find_text_lines(np.zeros((10, 300), dtype=np.uint8)) == []


def test_text_in_files_without_a_header_is_reported_with_its_class(tmp_path):
    made = [replace(image, values=written("", at=(8, 8)) + 0) for image in study_of(12)]
    made = [
        replace(image, values=np.maximum(image.values, scene(n, (400, 300)) // 2))
        for n, image in enumerate(made)
    ]
    made[3] = replace(made[3], values=written("DOE JANE 1948"))
    with opened_study(import_study(tmp_path, made)) as study:
        finding = only(find_printed_text(study), "burned_in", severity="medium")
        assert numbers_of(study, finding) == [3]
        assert "0 of 6 a and 1 of 6 b" in finding.sentence


def test_originals_that_are_gone_are_a_reason_not_a_finding(tmp_path):
    made = [replace(image, values=scene(n, (150, 150))) for n, image in enumerate(study_of(12))]
    with opened_study(import_study(tmp_path, made)) as study:
        for file in (tmp_path / "images").glob("*.png"):
            file.unlink()
        with pytest.raises(DatasetError, match="can't be read"):
            find_printed_text(study)


def names(*paths: str) -> list[Made]:
    return [
        replace(image, name=f"{path}.png")
        for image, path in zip(study_of(len(paths)), paths, strict=True)
    ]


@pytest.mark.parametrize(
    ("paths", "key"),
    [
        ([f"series/{n:03d}" for n in range(12)], None),
        ([f"SIM-{n:04d}_1" for n in range(12)], None),
        ([f"{'ab'[n % 2]}/Chest_Lateral_{n}" for n in range(12)], None),
        ([f"Left_Lung/{n}" for n in range(12)], None),
        ([f"{n:06d}" for n in range(12)], None),
        ([f"0000{1280 + n}_004" for n in range(12)], "number"),
        ([f"DOE^JANE/{n}" for n in range(12)], "name"),
        ([f"{'Doe Roe Poe Low'.split()[n % 4]}_Jane/{n}" for n in range(12)], "name"),
        ([f"{'张伟 王芳 李娜 刘洋'.split()[n % 4]}/{n}" for n in range(12)], "name"),
        ([f"scan 1948-03-1{n % 9} {n}" for n in range(12)], "date"),
        ([f"1.2.840.10008.5.1.4.1.1.{n}" for n in range(12)], "uid"),
    ],
)
def test_names_that_look_like_people_numbers_or_dates_are_mentioned(tmp_path, paths, key):
    with opened_study(import_study(tmp_path, names(*paths))) as study:
        findings = find_identifying_names(study)
        assert [finding.key.split("/")[0] for finding in findings] == ([key] if key else [])
        assert all(part not in f.sentence for f in findings for part in ("DOE", "Doe", "张伟"))
