"""A cross-validation that was cut off goes on, whatever of its files is damaged meanwhile."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import Combine, Crossval
from engine.contract.control import Control
from engine.contract.events import CANCELED, Event, JobFinished, JobProgressed, Warned
from engine.project.searching import find_unfinished, read_kept
from engine.project.store import Project
from engine.run import execute
from tests.helpers.failing_disk import BrokenFolder
from tests.helpers.tiny_study import run_job, small_config

BEST = "checkpoints/best"
pytestmark = pytest.mark.usefixtures("tries_again_soon")


def _command(project: Path, method: str = "linear_probe") -> Crossval:
    return Crossval(project=str(project), config=small_config(method, max_epochs=3), folds=2)


def _cut_off(command: Crossval, stage: str, *, after: float = 0.0) -> Path:
    """Interrupt a cross-validation in a stage, at a share of its progress; return its folder."""
    control = Control()

    def listen(event: Event) -> None:
        if (
            isinstance(event, JobProgressed)
            and event.stage.startswith(stage)
            and event.done >= after * event.total
        ):
            control.interrupt()

    assert execute(command, listen, control).outcome == CANCELED
    return next((Path(command.project) / "runs").glob("crossval-*"))


def _finish(command: Crossval) -> tuple[dict[str, Any], list[str]]:
    """Return the result and what was told as a warning."""
    told: list[str] = []
    finished = execute(
        command, lambda e: told.append(e.message) if isinstance(e, Warned) else None, Control()
    )
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "completed", finished.error
    return finished.result, told


def _damage(path: Path, how: str) -> None:
    sound = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "other digit":  # still valid JSON
        place = next(i for i, byte in enumerate(sound) if chr(byte) in "345678")
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        json.loads(path.read_bytes())
    else:
        path.write_bytes(sound[: len(sound) // 2] if how == "torn" else b"")


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("crossval.json", "other digit"),
        ("crossval.json", "empty"),
        ("asked.json", "torn"),
        ("fold-1/fold.json", "other digit"),
        ("fold-1/fold.json", "torn"),
        ("fold-1/fold.json", "empty"),
        (f"fold-1/{BEST}/weights.safetensors", "torn"),
        (f"fold-1/{BEST}/weights.safetensors", "gone"),
        (f"fold-1/{BEST}/facts.json", "gone"),
    ],
)
def test_a_damaged_file_costs_at_most_its_own_fold_and_that_is_told(
    study: Path, file: str, how: str
) -> None:
    command = _command(study)
    folder = _cut_off(command, "Part 1 of 2: AUROC")
    expected = json.loads((folder / "fold-1" / "fold.json").read_text())["fold"]["auroc"]
    _damage(folder / file, how)
    result, told = _finish(command)
    assert list((study / "runs").glob("crossval-*")) == [folder]
    assert result["folds"][0]["auroc"] == expected
    assert len(read_kept(study).crossvals) == 1
    is_told = "What was kept of part 1 is damaged, so it is made again." in told
    assert is_told == file.startswith("fold-1")
    run_job(Combine(project=str(study), crossval=folder.name))


def test_a_damaged_result_is_not_shown_and_the_same_command_mends_it(study: Path) -> None:
    command = _command(study)
    result = run_job(command)
    file = study / "runs" / result["id"] / "crossval.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"n_images"', '"n_image5"'), encoding="utf-8")
    assert read_kept(study).crossvals == ()
    again, _ = _finish(command)
    assert again == result
    assert [kept.id for kept in read_kept(study).crossvals] == [result["id"]]


def test_folds_without_checksums_as_earlier_versions_wrote_them_still_count(study: Path) -> None:
    command = _command(study)
    folder = _cut_off(command, "Part 1 of 2: AUROC")
    for file in (folder / "crossval.json", folder / "fold-1" / "fold.json"):
        facts = json.loads(file.read_text(encoding="utf-8"))
        del facts["facts_sha256"]
        facts.pop("weights", None)
        facts.get("asked", {}).pop("weights", None)
        file.write_text(json.dumps(facts), encoding="utf-8")
    (folder / "asked.json").unlink()
    kept = (folder / "fold-1" / "fold.json").read_bytes()
    result, _ = _finish(command)
    assert result["id"] == folder.name
    assert (folder / "fold-1" / "fold.json").read_bytes() == kept
    run_job(Combine(project=str(study), crossval=folder.name))


def test_one_that_began_from_other_weights_is_another(study: Path) -> None:
    folder = _cut_off(_command(study), "Part 1 of 2: AUROC")
    asked = json.loads((folder / "crossval.json").read_text(encoding="utf-8"))["asked"]
    with Project.open(study, read_only=True) as project:
        assert find_unfinished(project, "crossval", asked) == folder.name
        assert find_unfinished(project, "crossval", asked | {"weights": "f" * 64}) is None


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (("last",), "The newest saved state was damaged"),
        (("last", "previous"), "What was saved of this training is damaged, so it begins anew"),
    ],
)
def test_a_fold_whose_saved_states_are_damaged_says_so_and_is_made(
    study: Path, damaged: tuple[str, ...], words: str
) -> None:
    command = _command(study, "full_finetune")
    folder = _cut_off(command, "Part 1 of 2: training", after=0.4)
    checkpoints = folder / "fold-1" / "checkpoints"
    for name in damaged:
        _damage(checkpoints / name / "state.json", "torn")
    result, told = _finish(command)
    assert any(f"Part 1: {words}" in text for text in told)
    whole = run_job(command)
    assert [fold["auroc"] for fold in result["folds"]] == [f["auroc"] for f in whole["folds"]]


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("fold.json", "other digit"),
        (f"{BEST}/weights.safetensors", "torn"),
        (f"{BEST}/weights.safetensors", "gone"),
    ],
)
def test_folds_are_not_combined_from_damaged_files(study: Path, file: str, how: str) -> None:
    crossval = run_job(_command(study))["id"]
    _damage(study / "runs" / crossval / "fold-2" / file, how)
    command = Combine(project=str(study), crossval=crossval)
    finished = execute(command, lambda event: None, Control())
    assert "part 2 of this cross-validation is damaged" in (finished.error or "")
    assert (finished.remedy or "").startswith("Make the cross-validation again")


@pytest.mark.parametrize("refused", ["features", "fold.json", "crossval.json"])
def test_it_waits_for_a_full_disk_wherever_it_writes(study: Path, refused: str) -> None:
    """Features before the first fold, a fold's result, and the result of all."""
    begin = {
        "features": "Part 1 of 2: describing",
        "fold.json": "Part 1 of 2: describing",
        "crossval.json": "Part 2 of 2: AUROC",
    }[refused]
    folder = study / "runs" if refused != "features" else study
    broken: list[BrokenFolder] = []
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def listen(event: Event) -> None:
            if isinstance(event, JobProgressed) and event.stage.startswith(begin) and not broken:
                broken.append(BrokenFolder(folder, errno.ENOSPC, 1))
                broken[0].install(patch)
            if isinstance(event, Warned) and broken:
                told.append(event.message)
                broken[0].mend()

        finished = execute(_command(study), listen, Control())
    assert finished.outcome == "completed", finished.error
    assert broken[0].n_refused >= 1
    assert any("disk is full" in text for text in told)
