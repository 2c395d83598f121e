"""``radtune-engine``: the stream on standard output, the exit codes, and being interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tiny_study import write_images

ROOT = Path(__file__).resolve().parents[2]


def engine(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
        **options,
    )


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("before", [True, False])
def test_json_may_stand_before_or_after_the_subcommand(tmp_path: Path, before: bool) -> None:
    arguments: list[str | Path] = ["sample", tmp_path / "s", "--images", "9"]
    done = engine(*(["--json", *arguments] if before else [*arguments, "--json"]))
    lines = objects(done)
    assert done.returncode == 0
    assert all("type" in line for line in lines)
    assert lines[-1] == {
        "type": "result",
        "out": str(tmp_path / "s"),
        "n_images": 9,
        "n_patients": lines[-1]["n_patients"],
    }


def test_scan_and_split_load_no_torch_and_report_what_they_found(tmp_path: Path) -> None:
    source = write_images(tmp_path / "images with spaces ä 胸片")
    (source / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    project = tmp_path / "p"
    scanned = _without_torch("scan", source, "--project", project, "--patient-pattern", r"p\d+")
    split = _without_torch("split", "--project", project)
    assert (scanned["n_images"], scanned["n_skipped"], scanned["n_patients"]) == (60, 1, 30)
    assert scanned["skipped"][0]["path"] == "a/broken.png"
    assert scanned["skipped"][0]["reason"]
    assert scanned["classes"] == {"a": 30, "b": 30}
    assert split["overlap"] == 0
    assert sum(sum(counts.values()) for counts in split["counts"].values()) == 60


def _without_torch(*arguments: str | Path) -> dict[str, Any]:
    """Run a command in a fresh interpreter, check that it loaded no torch, return its result."""
    code = (
        "import sys; from engine.__main__ import main;"
        "sys.exit(main(sys.argv[1:]) or 99 * ('torch' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--json", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return objects(done)[-1]


def test_json_may_stand_between_the_words_of_a_subcommand(tmp_path: Path) -> None:
    env = {**os.environ, "RADTUNE_WEIGHTS": str(tmp_path)}
    done = engine("weights", "--json", "list", env=env)
    assert done.returncode == 0, done.stderr
    assert objects(done)[-1]["weights"] == []


@pytest.mark.skipif(os.name == "nt", reason="a locale without letters is chosen otherwise there")
@pytest.mark.parametrize(
    "arguments", [["methods"], ["backbones"], ["search", "--help"], ["train", "--recipe", ""]]
)
def test_a_terminal_that_lacks_letters_gets_all_the_same_words(arguments: list[str]) -> None:
    env = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = engine(*arguments, env=env)
    plain = engine(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (plain.returncode, False)
    escaped = plain.stdout.encode("ascii", "backslashreplace").decode()
    assert done.stdout == escaped


@pytest.mark.skipif(os.name == "nt", reason="a locale without letters is chosen otherwise there")
def test_wrong_usage_is_json_also_where_the_terminal_lacks_letters() -> None:
    env = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C"}
    (only,) = objects(engine("--json", "train", "--seed", "ä", env=env))
    assert only["type"] == "error"


def test_nobody_reading_is_no_error_of_the_program() -> None:
    """As after ``| head``: the reader is gone before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "engine", "methods"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    os.close(writing)
    assert process.stderr == b""


def test_a_users_error_ends_the_stream_with_message_and_remedy(tmp_path: Path) -> None:
    done = engine("scan", tmp_path / "nothing", "--project", tmp_path / "p", "--json")
    assert done.returncode == 1
    last = objects(done)[-1]
    assert last["type"] == "error"
    assert last["message"] and last["remedy"]
    assert not (tmp_path / "p").exists()


def test_without_json_people_get_sentences_on_standard_error(tmp_path: Path) -> None:
    done = engine("scan", tmp_path / "nothing", "--project", tmp_path / "p")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) >= 2


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["train"], ["train", "--project", "p", "--preset", "slow"], ["sample"]],
)
def test_wrong_usage_is_told_apart(arguments: list[str]) -> None:
    done = engine(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr and "--help" in done.stderr


@pytest.mark.parametrize("arguments", [["train", "--seed", "ä"], ["nothing"], []])
def test_wrong_usage_ends_a_programs_stream_as_every_error_does(arguments: list[str]) -> None:
    done = engine("--json", *arguments)
    assert (done.returncode, done.stderr) == (2, "")
    (only,) = objects(done)
    assert only["type"] == "error"
    assert only["message"] and "--help" in only["remedy"]


@pytest.mark.parametrize("fractions", ["0.5,0.5", "0.7,0.2,0.2", "1,0,0", "a,b,c"])
def test_fractions_that_do_not_add_up_are_refused(tmp_path: Path, fractions: str) -> None:
    done = engine("split", "--project", tmp_path, "--fractions", fractions, "--json")
    assert done.returncode == 1
    assert objects(done)[-1]["remedy"] == "Write them like 0.7,0.15,0.15."


def test_doctor_says_what_there_is() -> None:
    done = engine("doctor", "--json")
    assert done.returncode == 0
    result = objects(done)[-1]
    assert result["weights"]["efficientnet_lite0"] == "embedded"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupted_training_exits_with_130_and_can_be_resumed(study: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "train", "--project", str(study), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
    )
    assert process.stdout is not None
    run, last = "", {}
    for line in process.stdout:
        last = json.loads(line)
        run = run or last["run"]
        if last["type"] == "BatchFinished" and last["step"] == 1:
            process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert last["type"] == "error"
    done = engine("resume", "--project", study, "--run", run, "--json")
    assert done.returncode == 0, done.stderr
    lines = objects(done)
    assert lines[0]["type"] == "RunStarted"
    assert lines[-1]["outcome"] == "completed"
    steps = [line["step"] for line in lines if line["type"] == "BatchFinished"]
    assert steps[0] > 1


def test_run_does_the_whole_job_in_one_process(tmp_path: Path) -> None:
    source = write_images(tmp_path / "images", n_patients=60)
    out = tmp_path / "out"
    done = engine("run", source, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    result = objects(done)[-1]
    assert result["auroc"] > 0.9
    assert {"auroc_low", "sensitivity", "confusion", "seconds", "looks"} <= result.keys()
    assert (out / "bundle" / "weights.safetensors").is_file()
    assert (out / "plots" / "roc.png").is_file()
    kept = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert kept["auroc"] == result["auroc"]
    again = engine("run", source, "--out", out, "--json")
    assert again.returncode == 1
