"""Runs repeated from their recipe: the same bits, or plain words on what has changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from engine.command_arguments import command_from
from engine.command_line import make_parser
from engine.contract.commands import Train
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import (
    COMPLETED,
    FAILED,
    EpochFinished,
    Event,
    RunFinished,
    Warned,
)
from engine.contract.recipe import Recipe, RecipeRuntime, recipe_from_json, recipe_to_plain
from engine.files import checked
from engine.hardware import Fallback, Runtime
from engine.hardware.devices import cpu_name
from engine.models.fallback import fallback_warning, in_words
from engine.project import labels
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, small_config, train


def repeat(project: Path, recipe: Path) -> tuple[RunFinished, list[Event]]:
    events: list[Event] = []
    command = Train(project=str(project), recipe=str(recipe))
    finished = execute(command, events.append, Control())
    assert isinstance(finished, RunFinished)
    return finished, events


def recipe_of(project: Path, run: str) -> Path:
    return project / "runs" / run / "recipe.json"


def kept_bytes(project: Path, run: str) -> bytes:
    return (project / "runs" / run / "checkpoints" / "best" / "weights.safetensors").read_bytes()


def warnings_of(events: list[Event]) -> str:
    """Return what was warned of, but for the few patients that the study has."""
    said = (event.message for event in events if isinstance(event, Warned))
    return " ".join(message for message in said if "too few to tell" not in message)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, _study: Path) -> tuple[Path, str]:
    """A project with a finished run that needs no other test's changes."""
    folder = tmp_path_factory.mktemp("repeat") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    finished, _ = train(project, small_config(seed=3))
    assert finished.outcome == COMPLETED
    return project, finished.run


@pytest.fixture
def copy(trained: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """Return a copy of that project to change."""
    project, run = trained
    folder = shutil.copytree(project.parent, tmp_path / "study")
    return Path(folder) / project.name, run


def changed_recipe(path: Path, **changes: Any) -> Path:
    plain = json.loads(path.read_text(encoding="utf-8"))
    del plain["facts_sha256"]  # as if another computer or version had written it
    other = path.with_name("other.json")
    other.write_text(json.dumps(plain | changes), encoding="utf-8")
    return other


def test_a_repeat_gives_the_same_weights_bit_for_bit(copy):
    project, run = copy
    finished, events = repeat(project, recipe_of(project, run))
    assert finished.outcome == COMPLETED
    assert finished.run != run
    assert kept_bytes(project, finished.run) == kept_bytes(project, run)
    told = finished.result["repeat"]
    assert (told["run"], told["is_same"], told["differences"]) == (run, True, [])
    assert "bit for bit" in told["sentence"]
    assert not warnings_of(events)
    with Project.open(project) as opened:
        assert opened.run_config(finished.run) == opened.run_config(run)


def test_another_seed_gives_other_weights(trained):
    """What the test above compares can differ."""
    project, run = trained
    finished, _ = train(project, small_config(seed=4))
    assert kept_bytes(project, finished.run) != kept_bytes(project, run)


def test_a_recipe_holds_what_decides_a_result(trained):
    project, run = trained
    plain = json.loads(recipe_of(project, run).read_text(encoding="utf-8"))
    assert plain["run"] == run
    assert plain["config"]["seed"] == 3
    assert plain["hardware"]["cpu"] == cpu_name()
    assert len(plain["weights"]["digest"]) == 64
    assert plain["data_digest"] and plain["split_digest"]
    assert {"radtune", "python", "torch", "numpy", "timm"} <= plain["versions"].keys()
    text = json.dumps(plain)
    assert str(project) not in text and str(Path.home()) not in text


def test_a_recipe_is_read_as_it_was_written(trained):
    project, run = trained
    text = recipe_of(project, run).read_text(encoding="utf-8")
    recipe = recipe_from_json(text)
    assert recipe.config == replace(small_config(seed=3), image=recipe.config.image)
    assert recipe_to_plain(recipe) == checked(json.loads(text))


def test_the_recipes_runtime_has_the_fields_of_a_runs():
    names = [field.name for field in fields(Runtime)]
    assert [field.name for field in fields(RecipeRuntime)] == names
    assert asdict(RecipeRuntime()) == asdict(Runtime())


def test_a_recipe_of_an_earlier_version_has_less_and_is_read(copy):
    project, run = copy
    plain = json.loads(recipe_of(project, run).read_text(encoding="utf-8"))
    old = {name: plain[name] for name in ("config", "runtime", "classes", "positive")}
    del old["config"]["loss"]
    old["config"]["optimizer"] |= {"label_smoothing": 0.05, "class_weights": True}
    recipe = recipe_from_json(json.dumps(old))
    assert (recipe.config.loss.imbalance, recipe.config.loss.label_smoothing) == ("weights", 0.05)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "not the recipe"),
        ('{"config": {}}', "not the recipe"),
        ('{"config": 3, "runtime": {}}', "no settings"),
        ('{"config": {"speed": 3}, "runtime": {}}', "speed is not known"),
        ('{"config": {"seed": "x"}, "runtime": {}}', "seed should be int"),
        ('{"config": {"seed": -1}, "runtime": {}}', "seed"),
        ('{"config": {}, "runtime": {"device": "abacus"}}', "device"),
        ('{"config": {}, "runtime": {"threads": 0}}', "threads"),
        ('{"config": {}, "runtime": {}, "classes": "ab"}', "classes should be a list"),
        ('{"config": {}, "runtime": {}, "surprise": 1}', "surprise is not known"),
        ('{"schema_version": 99, "config": {}, "runtime": {}}', "newer version"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_plain_words(text, words):
    with pytest.raises(ConfigError, match=words):
        recipe_from_json(text)


@pytest.mark.parametrize("name", ["nowhere.json", "folder"])
def test_a_recipe_that_is_not_there_is_a_failed_run_that_made_nothing(trained, tmp_path, name):
    (tmp_path / "folder").mkdir()
    project, _ = trained
    before = sorted((project / "runs").iterdir())
    finished, _ = repeat(project, tmp_path / name)
    assert finished.outcome == FAILED
    assert "no recipe" in str(finished.error) and "path" in str(finished.remedy)
    assert sorted((project / "runs").iterdir()) == before


def test_the_folder_of_a_run_stands_for_its_recipe(copy):
    project, run = copy
    finished, _ = repeat(project, project / "runs" / run)
    assert finished.result["repeat"]["run"] == run


def test_changed_labels_are_told_and_the_weights_differ(copy):
    project, run = copy
    with Project.open(project) as opened:
        other = {c.id for c in opened.classes()}
        record = next(r for r in opened.records() if r.split == "train")
        labels.set_labels(opened, [record.id], (other - {record.class_id}).pop())
    from engine.contract.commands import MakeSplit
    from tests.helpers.tiny_study import run_job

    run_job(MakeSplit(project=str(project)))
    finished, events = repeat(project, recipe_of(project, run))
    assert finished.outcome == COMPLETED
    said = warnings_of(events)
    assert "images, labels or classes are not those" in said
    assert finished.result["repeat"]["is_same"] is False
    assert finished.result["repeat"]["differences"]


def test_other_versions_hardware_and_precision_are_told(copy):
    project, run = copy
    path = recipe_of(project, run)
    plain = json.loads(path.read_text(encoding="utf-8"))
    other = changed_recipe(
        path,
        versions=plain["versions"] | {"torch": "1.0.0+cu90", "numpy": "1.0"},
        hardware={"cpu": "Abacus 3000"},
        runtime=plain["runtime"] | {"threads": 2},
    )
    finished, events = repeat(project, other)
    said = warnings_of(events)
    assert "instead of 1.0.0+cu90" in said
    assert "not on Abacus 3000" in said
    assert "Python" not in said
    kept = json.loads(recipe_of(project, finished.run).read_text(encoding="utf-8"))
    assert kept["runtime"]["threads"] == 2  # kept, as other counts give other bits
    assert kept["repeats"]["run"] == run
    assert len(kept["repeats"]["differences"]) == 2


def test_other_code_of_the_same_version_is_told(copy):
    project, run = copy
    path = recipe_of(project, run)
    plain = json.loads(path.read_text(encoding="utf-8"))
    other = changed_recipe(path, versions=plain["versions"] | {"code": "0123456789ab"})
    _, events = repeat(project, other)
    assert "RadTune's own code that trains is other code now" in warnings_of(events)


@pytest.mark.parametrize(("field", "value"), [("stochastic_depth", 0.2), ("batch_norm", "adapt")])
def test_what_a_backbone_lacks_is_refused_where_it_was_put_into_a_recipe(copy, field, value):
    project, run = copy
    path = recipe_of(project, run)
    plain = json.loads(path.read_text(encoding="utf-8"))
    plain["config"]["backbone"] = {"key": "squeezenet1_0", "weights": "scratch"}
    plain["config"]["method"][field] = value
    path.write_text(json.dumps(plain), encoding="utf-8")
    finished, _ = repeat(project, path)
    assert finished.outcome == FAILED
    assert f"method.{field} has no effect on the backbone squeezenet1_0" in (finished.error or "")
    assert "Leave it out" in (finished.remedy or "")


def test_torchs_kind_of_build_is_no_other_version(copy):
    project, run = copy
    path = recipe_of(project, run)
    plain = json.loads(path.read_text(encoding="utf-8"))
    torch = plain["versions"]["torch"] + "+cu130"
    other = changed_recipe(path, versions=plain["versions"] | {"torch": torch})
    _, events = repeat(project, other)
    assert not warnings_of(events)


def test_a_recipe_made_on_a_card_is_repeated_on_the_processor_with_a_warning(copy, monkeypatch):
    project, run = copy
    path = recipe_of(project, run)
    plain = json.loads(path.read_text(encoding="utf-8"))
    config = plain["config"] | {"runtime": plain["config"]["runtime"] | {"device": "auto"}}
    runtime = plain["runtime"] | {"device": "cuda"}
    other = changed_recipe(path, config=config, runtime=runtime)
    monkeypatch.setattr("engine.hardware.find_devices", lambda **_: ())
    finished, events = repeat(project, other)
    assert finished.outcome == COMPLETED
    said = warnings_of(events)
    assert "on the processor, not on a graphics card" in said
    assert "The processor trains instead, which takes at most about 10 seconds." in said


def test_the_same_classes_of_another_project_will_do(copy, tmp_path):
    project, run = copy
    other = make_study(tmp_path / "other", n_patients=24)
    finished, events = repeat(other, recipe_of(project, run))
    assert finished.outcome == COMPLETED
    assert "not those of the run" in warnings_of(events)
    assert finished.result["repeat"]["is_same"] is False


def test_other_classes_are_refused_by_name(copy, tmp_path):
    project, run = copy
    other = make_study(tmp_path / "other", n_patients=24, classes=("a", "c"))
    finished, _ = repeat(other, recipe_of(project, run))
    assert finished.outcome == FAILED
    assert "a, b" in (finished.error or "") and "a, c" in (finished.error or "")
    assert "same classes" in (finished.remedy or "")
    assert not list((other / "runs").glob("*"))


def test_a_run_that_combines_others_can_not_be_trained_again(copy):
    project, run = copy
    path = recipe_of(project, run)
    plain = json.loads(path.read_text(encoding="utf-8"))
    method = plain["config"]["method"] | {"key": "ensemble"}
    other = changed_recipe(path, config=plain["config"] | {"method": method})
    finished, _ = repeat(project, other)
    assert finished.outcome == FAILED
    assert "combines others" in (finished.error or "")


def test_the_command_line_repeats_a_recipe_and_takes_no_other_setting():
    parse = make_parser().parse_args
    command = command_from(parse(["train", "--project", "p", "--recipe", "r.json"]))
    assert isinstance(command, Train)
    assert Path(command.recipe or "").name == "r.json"
    for extra in (["--preset", "quick"], ["--seed", "0"], ["--set", "optimizer.batch_size=4"]):
        arguments = parse(["train", "--project", "p", "--recipe", "r.json", *extra])
        with pytest.raises(ConfigError, match="brings all settings"):
            command_from(arguments)
    plain = command_from(parse(["train", "--project", "p"]))
    assert isinstance(plain, Train)
    assert (plain.config.preset, plain.config.seed, plain.recipe) == ("standard", 0, None)


def test_a_recipe_that_was_edited_is_repeated_and_that_is_told(copy):
    project, run = copy
    path = recipe_of(project, run)
    text = path.read_text(encoding="utf-8")
    assert text.count('"seed": 3') == 1
    path.write_text(text.replace('"seed": 3', '"seed": 4'), encoding="utf-8")
    finished, events = repeat(project, path)
    assert finished.outcome == COMPLETED
    assert "The recipe was changed after it was written." in warnings_of(events)
    assert finished.result["repeat"]["is_same"] is False


@pytest.mark.parametrize("ending", ["stop", "interrupt", "kill"])
def test_a_repeat_is_not_compared_with_weights_of_a_training_that_was_cut_off(copy, ending):
    project, _ = copy
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 1:
            (control.stop if ending == "stop" else control.interrupt)()

    config = small_config("full_finetune", max_epochs=2)
    cut_off = execute(Train(project=str(project), config=config), listen, control)
    assert isinstance(cut_off, RunFinished) and cut_off.outcome != COMPLETED
    assert kept_bytes(project, cut_off.run)
    if ending == "kill":  # nobody wrote how it ended
        log = project / "runs" / cut_off.run / "events.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines()
        log.write_text("\n".join(lines[:-1]), encoding="utf-8")
    finished, _ = repeat(project, recipe_of(project, cut_off.run))
    assert finished.outcome == COMPLETED
    told = finished.result["repeat"]
    assert told["is_same"] is None
    assert "no final weights of it are at hand" in told["sentence"]


def test_a_recipe_without_extras_leaves_them_out():
    plain = recipe_to_plain(Recipe(config=small_config(), runtime=RecipeRuntime()))
    assert not {"repeats", "classifier", "members", "finding"} & plain.keys()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "10 seconds"),
        (42, "40 seconds"),
        (95, "2 minutes"),
        (3000, "50 minutes"),
        (10_000, "3 hours"),
    ],
)
def test_expected_times_are_rough(seconds, words):
    assert in_words(seconds) == words


def test_the_fallback_names_reason_remedy_and_time():
    why = Fallback(problem="The driver is too old.", remedy="Update it.")
    warned = fallback_warning("r1", why, 1500.0, is_most=True)
    assert warned.message == (
        "The driver is too old. The processor trains instead, which takes at most about 25 minutes."
    )
    assert warned.remedy == "Update it."
    assert warned.cause == why.problem
