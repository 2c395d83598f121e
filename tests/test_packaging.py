"""What ``packaging/dev.py`` decides: what is set up, what to install, what to tell a person."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Last, so that nothing there hides an installed package; the scripts are no package themselves.
sys.path.append(str(ROOT / "packaging"))

import dev  # noqa: E402
import dev_libraries  # noqa: E402
import dev_setup  # noqa: E402
from dev_setup import Checkout, SetupError  # noqa: E402

PYPROJECT = """
[project]
name = "radtune"
dependencies = ["alpha"]
[project.optional-dependencies]
dev = ["beta"]
[project.scripts]
radtune = "gui.app:main"
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout with its lists, and an environment of one empty file that passes for Python."""
    (tmp_path / "packaging").mkdir()
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "version.py").write_text('VERSION = "1.0.0"\n', encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "packaging" / "constraints.txt").write_text("alpha==1\nbeta==2\n", encoding="utf-8")
    made = Checkout(tmp_path, windows=False)
    made.python.parent.mkdir(parents=True)
    made.python.touch()
    return made


@pytest.fixture
def installs(checkout, monkeypatch):
    """Set-up with pip's calls recorded in place of made; yields the list of them."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev_setup._Pip, "__call__", lambda self, *a: calls.append(a))
    monkeypatch.setattr(dev_setup, "environment_works", lambda checkout: True)
    return calls


def test_fresh_checkout_is_not_complete(checkout):
    assert not dev_setup.is_complete(checkout, {})


def test_second_set_up_does_nothing(checkout, installs):
    dev_setup.set_up(checkout, {})
    assert [call[0] for call in installs] == ["install", "install"]
    assert {"alpha", "beta", "-c"} <= set(installs[0])
    assert "-e" in installs[1] and "--no-build-isolation" in installs[1]
    dev_setup.set_up(checkout, {})
    assert len(installs) == 2


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("packaging/constraints.txt", "alpha==1", "alpha==3"),
        ("pyproject.toml", '"alpha"', '"alpha", "gamma"'),
        ("pyproject.toml", "gui.app:main", "gui.app:start"),
        ("engine/version.py", "1.0.0", "1.0.1"),
    ],
)
def test_changed_lists_are_installed_again(checkout, installs, file, old, new):
    dev_setup.set_up(checkout, {})
    path = checkout.root / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert not dev_setup.is_complete(checkout, {})


def test_line_endings_and_other_parts_of_pyproject_do_not_matter(checkout, installs):
    dev_setup.set_up(checkout, {})
    checkout.constraints.write_bytes(b"alpha==1\r\nbeta==2\r\n")
    with (checkout.root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("[tool.ruff]\nline-length = 100\n")
    assert dev_setup.is_complete(checkout, {})


def test_failed_set_up_leaves_no_stamp_and_is_carried_on(checkout, installs, monkeypatch):
    def fail(self, *arguments):
        raise SetupError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(dev_setup._Pip, "__call__", fail)
        with pytest.raises(SetupError, match="no network"):
            dev_setup.set_up(checkout, {})
    assert not checkout.stamp.exists()
    dev_setup.set_up(checkout, {})
    assert dev_setup.is_complete(checkout, {})


def test_half_written_stamp_counts_as_none(checkout):
    checkout.stamp.write_text('{"installed": "ab', encoding="utf-8")
    assert dev_setup.read_stamp(checkout) == {}


def test_packages_that_pip_was_killed_in_are_forgotten(checkout):
    folder = checkout.venv / "lib" / "python3.11" / "site-packages"
    for name, files in {
        "whole-1.dist-info": ["METADATA", "INSTALLER"],
        "half-1.dist-info": ["METADATA"],
        "~orch": ["x.py"],
        "whole": ["__init__.py"],
    }.items():
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).touch()
    dev_setup._drop_unfinished_packages(checkout)
    assert sorted(path.name for path in folder.iterdir()) == ["whole", "whole-1.dist-info"]


def test_broken_environment_is_made_anew(checkout, installs, monkeypatch):
    monkeypatch.setattr(dev_setup, "environment_works", lambda checkout: False)
    leftover = checkout.venv / "leftover"
    leftover.touch()
    dev_setup.set_up(checkout, {})
    assert not leftover.exists()
    assert (checkout.venv / "pyvenv.cfg").exists()


def test_moved_checkout_gets_a_new_environment(checkout, installs, monkeypatch, tmp_path_factory):
    dev_setup.set_up(checkout, {})
    moved = Checkout(tmp_path_factory.mktemp("moved") / "radtune", windows=False)
    checkout.root.rename(moved.root)
    assert not dev_setup.is_complete(moved, {})
    made: list[list[str]] = []

    def record(command, **options):
        made.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    dev_setup.set_up(moved, {})
    assert [command[1:] for command in made] == [["-m", "venv", "--clear", str(moved.venv)]]


def test_empty_environment_does_not_work(checkout):
    assert not dev_setup.environment_works(checkout)


def test_own_environment_works():
    class Own(Checkout):
        @property
        def python(self):
            return Path(sys.executable)

    assert dev_setup.environment_works(Own(ROOT))


def test_named_index_brings_its_torch_once(checkout, installs):
    address = "https://user:secret@example.org/whl"
    dev_setup.set_up(checkout, {})
    installs.clear()
    env = {dev_setup.TORCH_INDEX: address}
    dev_setup.set_up(checkout, env)
    assert installs[0][0] == "uninstall"
    assert address in installs[1]
    assert "secret" not in checkout.stamp.read_text(encoding="utf-8")
    installs.clear()
    dev_setup.set_up(checkout, env)
    dev_setup.set_up(checkout, {})  # the variable need not be set for every start
    assert installs == []


def test_second_set_up_waits_for_the_first(checkout):
    hold = (
        "import pathlib, sys, time, dev_setup\n"
        f"checkout = dev_setup.Checkout(pathlib.Path({str(checkout.root)!r}))\n"
        "with dev_setup._only_one_set_up(checkout):\n"
        "    print('held', flush=True); time.sleep(0.7)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold],
        cwd=ROOT / "packaging",
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        start = time.monotonic()
        with dev_setup._only_one_set_up(checkout):
            waited = time.monotonic() - start
    assert waited > 0.3


def test_windows_keeps_its_programs_elsewhere():
    checkout = Checkout(Path("C:/radtune"), windows=True)
    assert checkout.python == Path("C:/radtune/.venv/Scripts/python.exe")
    assert checkout.program("radtune-engine").name == "radtune-engine.exe"
    assert checkout.site_packages() == [Path("C:/radtune/.venv/Lib/site-packages")]


@pytest.mark.parametrize(
    ("platform", "env", "shown"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("win32", {}, True),
        ("darwin", {}, True),
    ],
)
def test_display_is_found_where_there_is_one(platform, env, shown):
    assert dev.has_display(env, platform) is shown


LDD = """\
PySide6/QtGui.abi3.so:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibEGL.so.1 => not found
\tlibc.so.6 => /lib/libc.so.6 (0x00007f)
PySide6/Qt/plugins/platforms/libqxcb.so:
\tlibxcb-cursor.so.0 => not found
\tlibEGL.so.1 => not found
"""


def test_missing_libraries_are_read_from_ldd():
    assert dev_libraries.missing_libraries(LDD) == ["libEGL.so.1", "libxcb-cursor.so.0"]


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("apt-get", "sudo apt-get install fonts-dejavu-core libegl1 libxcb-cursor0"),
        (
            "dnf",
            "sudo dnf install 'libEGL.so.1()(64bit)' 'libxcb-cursor.so.0()(64bit)' "
            "dejavu-sans-fonts",
        ),
    ],
)
def test_one_line_installs_what_is_missing(manager, line):
    libraries = ["libEGL.so.1", "libxcb-cursor.so.0"]
    assert dev_libraries.install_line(manager, libraries, fonts=True) == line


def test_without_a_known_package_manager_the_libraries_are_named():
    line = dev_libraries.install_line(None, ["libEGL.so.1"], fonts=False)
    assert "libEGL.so.1" in line


def test_nothing_is_installed_without_the_right_to(checkout, monkeypatch):
    monkeypatch.setattr(dev_libraries, "missing_for_qt", lambda *a, **k: ["libEGL.so.1"])
    monkeypatch.setattr(dev_libraries, "has_fonts", lambda: True)
    monkeypatch.setattr(dev_libraries, "package_manager", lambda: "apt-get")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(
        dev_libraries, "_apt_get_install", lambda *a: pytest.fail("installed without asking")
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    dev_libraries.provide_venv({})
    line = dev_libraries.provide(checkout, {}, screen=True)
    assert line == "sudo apt-get install libegl1"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: Temporary failure in name resolution", "could not be reached"),
        ("ERROR: No matching distribution found for torch==2.14.1", "no build for this computer"),
        ("ERROR: something unheard of", "pip failed"),
    ],
)
def test_pip_failure_says_the_cause_and_what_to_do(said, cause):
    text = dev_setup.explain_pip_failure(["Collecting torch\n", said + "\n"], Path("setup.log"))
    assert cause in text
    assert said in text
    assert "The same command carries on" in text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "  Downloading torch-2.14.1-cp311-linux.whl (900.0 MB)",
            "downloading torch-2.14.1 (900.0 MB)",
        ),
        ("  Downloading click-8.5.1-py3-none-any.whl (126 kB)", None),
        ("Requirement already satisfied: numpy in .venv", None),
    ],
)
def test_progress_shows_what_takes_time(said, shown):
    assert dev_setup.progress_line(said + "\n") == shown


def test_results_never_land_in_a_folder_that_is_there(tmp_path):
    wanted = tmp_path / "radtune-run"
    assert dev.new_folder(wanted) == wanted
    wanted.mkdir()
    (tmp_path / "radtune-run-2").mkdir()
    assert dev.new_folder(wanted).name == "radtune-run-3"


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Commands of ``dev.py`` with set-up done and programs recorded in place of started."""
    commands: list[list[str]] = []

    def record(command, env, folder=None, output=None):
        commands.append([str(part) for part in command])
        return 0

    monkeypatch.setattr(dev, "is_complete", lambda checkout, env: True)
    monkeypatch.setattr(dev, "_provide_libraries", lambda checkout, screen: None)
    monkeypatch.setattr(dev, "_wait_for", record)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RADTUNE_OUT", raising=False)
    return commands


def test_without_a_display_the_sample_study_is_run(started, monkeypatch, tmp_path):
    monkeypatch.setattr(dev, "has_display", lambda env, platform: False)
    assert dev.main(["run"]) == 0
    sample, run = started
    study = str(tmp_path / "radtune-sample-run" / "sample-study")
    assert sample[1:] == ["-m", "engine", "sample", study]
    assert run[1:5] == ["-m", "engine", "run", study]
    assert run[-2:] == ["--preset", "quick"]


def test_headless_runs_on_the_folder_that_is_named(started):
    options = ["--labels", "labels.csv", "--preset", "standard"]
    assert dev.main(["run", "--headless", "films", "--out", "result", *options]) == 0
    (run,) = started
    assert run[1:] == ["-m", "engine", "run", "films", "--out", "result", *options]


def test_every_linter_and_the_tests_run_although_one_fails(started, monkeypatch):
    def fail_mypy(command, env, folder=None, output=None):
        started.append([Path(command[0]).stem, *command[1:]])
        return int("mypy" in command[0])

    monkeypatch.setattr(dev, "_wait_for", fail_mypy)
    assert dev.main(["test", "-k", "splits", "tests/engine"]) == 1
    assert [command[0] for command in started] == ["ruff", "ruff", "mypy", "lint-imports", "pytest"]
    assert started[-1][1:] == ["-k", "splits", "tests/engine"]


def test_unknown_command_is_a_usage_error(capsys):
    assert dev.main(["start"]) == 2
    assert "usage:" in capsys.readouterr().err


def test_old_python_is_told_what_to_use_instead(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 0))
    assert dev.main(["run"]) == 1
    assert "needs Python 3.11" in capsys.readouterr().err


def test_pins_name_versions_and_nothing_else():
    pins = (ROOT / "packaging" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(len(pin.split("==")) == 2 and not set(pin) & set(" @/;#") for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    assert {name.lower() for name in dev_setup.requirements(Checkout(ROOT))} <= pinned


def test_interrupted_program_ends_in_its_own_way_first(monkeypatch, tmp_path):
    ended = tmp_path / "ended"
    program = f"import pathlib, time; time.sleep(0.2); pathlib.Path({str(ended)!r}).touch()"
    wait, calls = subprocess.Popen.wait, []

    def interrupted_once(process, timeout=None):
        calls.append(process)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        dev._wait_for([sys.executable, "-c", program], os.environ)
    assert ended.exists()
