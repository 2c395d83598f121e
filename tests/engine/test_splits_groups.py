"""What stays together: patients, studies, files and linked duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from engine.splits.groups import group_ids


def test_images_group_by_patient_then_study_then_file():
    groups = group_ids(
        ["A", "B", "A", None, "", None],
        ["1", "2", "3", "9", "9", None],
        ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"],
    )
    assert groups.tolist() == [0, 1, 0, 2, 2, 3]
    assert groups.dtype == np.int64


def test_blanks_around_an_id_make_no_second_patient():
    assert group_ids(["A", " A ", "B"], [None] * 3, ["a", "b", "c"]).tolist() == [0, 0, 1]


def test_ids_of_different_kinds_never_meet():
    assert group_ids(["7", None, None], [None, "7", None], ["a", "b", "7"]).tolist() == [0, 1, 2]


def test_an_image_without_patient_joins_the_one_its_study_or_file_names():
    assert group_ids(["A", None, "B"], ["s", "s", "t"], ["a", "b", "c"]).tolist() == [0, 0, 1]
    assert group_ids(["A", None], [None, None], ["cine.dcm", "cine.dcm"]).tolist() == [0, 0]


def test_studies_numbered_anew_for_each_patient_merge_nobody():
    groups = group_ids(["A", "B", None], ["study1"] * 3, ["a", "b", "c"])
    assert groups.tolist() == [0, 1, 2]


def test_frames_of_one_file_stay_together():
    assert group_ids([None] * 3, [None] * 3, ["x", "x", "y"]).tolist() == [0, 0, 1]


def test_links_chain_and_bring_whole_groups_along():
    patients = ["A", "A", "B", "B", "C", "D"]
    groups = group_ids(patients, [None] * 6, list("abcdef"), linked=[(4, 3), (2, 1)])
    assert groups.tolist() == [0, 0, 0, 0, 0, 1]


def test_random_links_join_what_a_graph_search_joins():
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    generator = np.random.default_rng(0)
    for _ in range(20):
        links = generator.integers(0, 60, (40, 2))
        groups = group_ids([None] * 60, [None] * 60, [str(i) for i in range(60)], links.tolist())
        graph = coo_array((np.ones(40), (links[:, 0], links[:, 1])), shape=(60, 60))
        _, expected = connected_components(graph, directed=False)
        same = groups[:, np.newaxis] == groups
        np.testing.assert_array_equal(same, expected[:, np.newaxis] == expected)
        first_seen = list(dict.fromkeys(groups.tolist()))
        assert first_seen == list(range(len(first_seen)))


def test_malformed_input_is_refused():
    with pytest.raises(ValueError, match="1 patients"):
        group_ids(["A"], [None, None], ["a", "b"])
    with pytest.raises(ValueError, match="link"):
        group_ids(["A"], [None], ["a"], linked=[(0, 1)])


def test_no_images_make_no_groups():
    assert group_ids([], [], []).shape == (0,)
