"""What a method tried before its run was interrupted comes back with the bits that it had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.contract.config import preset_config
from engine.jobs.kept_trials import KeptTrials

CONFIG = preset_config("standard", method="l2_sp")
TRIED = np.array([[0.1, 0.9], [1 / 3, 2 / 3], [np.nextafter(0.5, 1), 5e-324]])


def kept(folder: Path, data: str = "d", split: str = "s") -> KeptTrials:
    return KeptTrials(folder / "trials", data_digest=data, split_digest=split)


def test_another_process_finds_the_same_bits(tmp_path: Path) -> None:
    assert kept(tmp_path).find(CONFIG, 2) is None
    kept(tmp_path).keep(CONFIG, 2, TRIED)
    found = kept(tmp_path).find(CONFIG, 2)
    assert found is not None
    assert found.dtype == np.float64
    assert found.tobytes() == TRIED.tobytes()
    kept(tmp_path).drop()
    assert list(tmp_path.iterdir()) == []
    kept(tmp_path).drop()


def test_other_settings_images_or_parts_were_never_tried(tmp_path: Path) -> None:
    kept(tmp_path).keep(CONFIG, 2, TRIED)
    stronger = replace(CONFIG, anchor=replace(CONFIG.anchor, strength=0.3))
    assert kept(tmp_path).find(stronger, 2) is None
    assert kept(tmp_path).find(CONFIG, 1) is None
    assert kept(tmp_path, data="e").find(CONFIG, 2) is None
    assert kept(tmp_path, split="t").find(CONFIG, 2) is None


@pytest.mark.parametrize("n_bytes", [0, 10, 40, -1])
def test_a_torn_file_is_tried_again(tmp_path: Path, n_bytes: int) -> None:
    kept(tmp_path).keep(CONFIG, 2, TRIED)
    (path,) = (tmp_path / "trials").iterdir()
    path.write_bytes(path.read_bytes()[:n_bytes])
    assert kept(tmp_path).find(CONFIG, 2) is None


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    kept(tmp_path).keep(CONFIG, 2, TRIED)
    (path,) = (tmp_path / "trials").iterdir()
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        assert kept(tmp_path).find(CONFIG, 2) is None
