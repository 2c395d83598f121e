"""Training without a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.contract.control import Control, JobCanceled
from engine.evaluate.score import kept_network
from engine.hardware import resolve_runtime
from engine.jobs.trials import TrialBench
from engine.project.access import open_alone
from engine.trainer.steps import predict_probabilities
from engine.trainer.time_limit import TimedControl, TimeIsUp
from tests.helpers.tiny_study import small_config, train


@pytest.fixture
def bench(study: Path) -> Iterator[TrialBench]:
    with open_alone(study, owner="a test") as project:
        yield TrialBench(
            project=project,
            table=project.training_table(),
            image=project.image_contract,
            runtime=resolve_runtime(small_config().runtime),
            control=Control(),
        )


def test_a_trial_gives_what_a_run_of_the_same_settings_gives(study: Path) -> None:
    config = small_config()
    finished, _ = train(study, config)
    with open_alone(study, owner="a test") as project:
        bench = TrialBench(
            project=project,
            table=project.training_table(),
            image=project.image_contract,
            runtime=resolve_runtime(config.runtime),
            control=Control(),
        )
        result = bench.train(config)
        assert len(project.runs()) == 1
    assert result.val_auroc == finished.result["val_auroc"]
    assert result.epochs == finished.result["epochs"]
    assert result.is_complete
    assert result.probabilities.shape == (len(result.val), 2)


def test_a_trial_learns_from_the_images_it_is_given(bench: TrialBench) -> None:
    outside_test = np.flatnonzero(bench.table.split != 2)
    train_part, val_part = outside_test[::2], outside_test[1::2]
    result = bench.train(small_config("linear_probe"), train=train_part, val=val_part)
    assert result.val.tolist() == val_part.tolist()
    with pytest.raises(ValueError, match="in validation"):
        bench.train(small_config("linear_probe"), train=train_part, val=train_part[:1])


def test_a_second_probe_takes_its_features_from_the_cache(bench: TrialBench) -> None:
    stages: list[str] = []
    bench.train(small_config("linear_probe"), on_progress=lambda stage, *_: stages.append(stage))
    assert "Describing images" in stages
    stages.clear()
    bench.train(small_config("linear_probe"), on_progress=lambda stage, *_: stages.append(stage))
    assert "Describing images" not in stages


def test_time_stops_a_trial_after_the_batch_in_progress(
    bench: TrialBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(max_epochs=500)
    config = replace(config, method=replace(config.method, patience=500))
    steps = [0]
    monkeypatch.setattr(TimedControl, "is_time_up", property(lambda _: steps[-1] >= 8))
    result = bench.train(
        config,
        seconds=1.0,
        on_progress=lambda stage, done, _: steps.append(done) if stage == "Training" else None,
    )
    assert steps[-1] == 8
    assert not result.is_complete
    assert 1 <= result.epochs < 500


def test_no_time_at_all_gives_nothing(bench: TrialBench) -> None:
    with pytest.raises(TimeIsUp):
        bench.train(small_config(), seconds=0.0)


def test_an_interrupted_trial_with_a_folder_goes_on_to_the_same_result(
    bench: TrialBench, tmp_path: Path
) -> None:
    config = small_config(max_epochs=3)
    whole = bench.train(config)
    control = Control()

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "Training" and done == total // 2:
            control.interrupt()

    with pytest.raises(JobCanceled):
        replace(bench, control=control).train(config, folder=tmp_path, on_progress=interrupt)
    steps: list[int] = []
    resumed = bench.train(
        config,
        folder=tmp_path,
        on_progress=lambda stage, done, _: steps.append(done) if stage == "Training" else None,
    )
    assert resumed.probabilities.tolist() == whole.probabilities.tolist()
    assert steps[0] > steps[-1] // 2


def test_a_method_that_tries_strengths_may_do_so_in_a_trial(bench: TrialBench) -> None:
    stages: set[str] = set()
    bench.train(small_config("soft_threshold"), on_progress=lambda stage, *_: stages.add(stage))
    assert any(stage.startswith("Trying a pull of") for stage in stages)


def test_a_pause_does_not_use_up_the_time() -> None:
    inner = Control()
    timed = TimedControl(inner, 60.0)
    inner.pause()

    def rest_and_go_on() -> None:
        time.sleep(0.2)
        inner.proceed()

    timed.safe_point(on_pause=rest_and_go_on)
    assert timed.elapsed_s < 0.15


def test_a_kept_probe_says_the_same_from_features_as_from_pixels(
    bench: TrialBench, tmp_path: Path
) -> None:
    config = small_config("linear_probe")
    bench.train(config, folder=tmp_path)
    chosen = np.flatnonzero(bench.table.split == 1)
    from_features = bench.predict(config, tmp_path, chosen)
    network = kept_network(config, 2, tmp_path)
    rows = bench.table.rows[chosen]
    from_pixels = predict_probabilities(network, bench.pixels(bench.control), rows, bench.runtime)
    assert from_features == pytest.approx(from_pixels, abs=1e-5)
