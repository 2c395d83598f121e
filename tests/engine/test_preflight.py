"""Devices made to compute in other processes: hangs, crashes and fakes of cards, without a card."""

from __future__ import annotations

import json
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.contract.commands import Doctor
from engine.contract.config import RuntimeConfig
from engine.contract.control import Control, JobCanceled
from engine.contract.device_checks import (
    BF16,
    BUILD,
    CONVOLUTION,
    FAILED,
    FAULTY,
    FINE,
    FP16,
    GPU_UNUSABLE,
    MEMORY,
    NO_GPU,
    OPERATIONS,
    PASSED,
    SKIPPED,
    START,
    WARNED,
    DeviceCheck,
    first_problem,
    verdict_of,
)
from engine.contract.devices import DeviceInfo
from engine.contract.errors import ConfigError
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed
from engine.hardware import (
    Fallback,
    Runtime,
    apply_runtime,
    devices,
    library_versions,
    place_run,
    preflight,
    resolve_runtime,
    trials,
)
from engine.hardware.nvidia import Card, DriverAnswer, Program
from engine.jobs.doctor import readable, with_findings
from engine.run import execute

CPU = DeviceInfo(key="cpu", name="Processor", memory_mb=16384, is_usable=True)
CARD = DeviceInfo(
    key="cuda", name="RTX A4000", memory_mb=16376, is_usable=True, capability="8.6", driver="580.1"
)
DRIVER = DriverAnswer(cards=(Card(index=0, name="RTX A4000", memory_mb=16376),), is_there=True)
CPU_FP32 = RuntimeConfig(precision="fp32", threads=1)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(preflight, "_usable", None)


@pytest.fixture
def child(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function that writes a child's script and returns its command line."""

    def write(body: str) -> list[str]:
        start = """
            import json, os, sys, time
            wanted = json.loads(sys.stdin.readline())
            def say(**line):
                print(json.dumps(line), flush=True)
            def passed(key):
                say(begin=key)
                say(check={"device": wanted["device"], "key": key, "state": "passed"})
        """
        path = tmp_path / "child.py"
        path.write_text(textwrap.dedent(start) + textwrap.dedent(body), encoding="utf-8")
        return [sys.executable, str(path)]

    return write


def check(info: DeviceInfo, command: list[str], **limits: Any) -> dict[str, DeviceCheck]:
    found = preflight.check_devices([info], lambda check: None, command=command, **limits)
    assert all(one.device == info.id for one in found)
    return {one.key: one for one in found}


# The real process, on the processor


def test_the_processor_passes_its_checks_in_a_real_process():
    told: list[DeviceCheck] = []
    found = preflight.check_devices([CPU], told.append)
    assert [(one.key, one.state) for one in found] == [
        (CONVOLUTION, PASSED),
        (BF16, PASSED),
        (MEMORY, PASSED),
    ]
    assert tuple(told) == found


def test_the_doctor_tells_each_check_and_sums_up(monkeypatch):
    monkeypatch.setattr("engine.jobs.doctor.find_devices", lambda **_: (CPU,))
    monkeypatch.setattr("engine.hardware.auto_precision", lambda *_: "fp32")
    events: list[Event] = []
    finished = execute(Doctor(check=True), events.append, Control())
    assert isinstance(finished, JobFinished) and finished.outcome == COMPLETED
    told = [e.facts["check"]["key"] for e in events if isinstance(e, JobProgressed) and e.done]
    assert told == [CONVOLUTION, BF16, MEMORY]
    assert finished.result["verdict"] == NO_GPU
    assert [one["state"] for one in finished.result["checks"]] == [PASSED] * 3
    assert "Processor" in finished.result["sentences"][0]
    json.dumps(finished.result)


def test_without_checks_the_doctor_lists_and_computes_nothing(monkeypatch):
    monkeypatch.setattr("engine.hardware.auto_precision", lambda *_: "fp32")
    monkeypatch.setattr("engine.jobs.doctor.check_devices", lambda *_, **__: pytest.fail("ran"))
    finished = execute(Doctor(), lambda event: None, Control())
    assert finished.outcome == COMPLETED
    assert "checks" not in finished.result


# Children that don't behave


def test_a_check_that_hangs_is_a_finding_and_the_others_are_left_out(child):
    command = child("passed('start'); say(begin='build'); time.sleep(60)")
    found = check(CARD, command, check_limit_s=1.0)
    assert (found[START].state, found[BUILD].state) == (PASSED, FAILED)
    assert "did not answer in time" in found[BUILD].problem
    assert {found[key].state for key in (CONVOLUTION, BF16, FP16, OPERATIONS, MEMORY)} == {SKIPPED}


def test_a_process_that_never_starts_is_a_finding(child):
    found = check(CARD, child("time.sleep(60)"), start_limit_s=1.0)
    assert found[START].state == FAILED
    assert {one.state for key, one in found.items() if key != START} == {SKIPPED}


def test_a_check_that_crashes_ends_its_process_and_a_new_one_does_the_others(child):
    command = child("""
        for key in wanted["checks"]:
            if key == "bf16":
                say(begin=key)
                os.abort()
            passed(key)
        say(end=True)
    """)
    found = check(CARD, command)
    assert found[BF16].state == FAILED
    assert "crashed" in found[BF16].problem
    assert {one.state for key, one in found.items() if key != BF16} == {PASSED}


def test_a_process_that_ends_before_any_check_is_not_started_again_and_again(child):
    found = check(CARD, child("os._exit(1)"))
    assert found[START].state == FAILED
    assert {one.state for key, one in found.items() if key != START} == {SKIPPED}


def test_after_a_failure_the_devices_other_checks_are_left_out(child):
    command = child("""
        say(begin="start")
        say(check={"device": "cuda:0", "key": "start", "state": "failed",
                   "problem": "It is busy.", "remedy": "Wait."})
        time.sleep(60)
    """)
    found = check(CARD, command)
    assert (found[START].problem, found[START].remedy) == ("It is busy.", "Wait.")
    assert len(found) == 7


def test_what_a_library_prints_between_the_answers_is_passed_over(child):
    command = child("""
        print("Welcome to the driver!", 3, flush=True)
        print("[1, 2]", flush=True)
        for key in wanted["checks"]:
            passed(key)
        say(end=True)
    """)
    assert {one.state for one in check(CPU, command).values()} == {PASSED}


def test_a_cancel_ends_the_wait(child):
    control = Control()
    control.cancel()
    with pytest.raises(JobCanceled):
        preflight.check_devices(
            [CPU],
            lambda one: None,
            command=child("time.sleep(60)"),
            safe_point=control.safe_point,
        )


# Finding devices


def test_without_a_sign_of_a_card_no_process_is_started(monkeypatch):
    monkeypatch.setattr(preflight, "ask_driver", lambda _: DriverAnswer())
    monkeypatch.setattr(preflight, "list_devices", lambda driver: (CPU,))
    assert preflight.find_devices(command=["/nowhere/no-such-program"]) == (CPU,)


def test_cards_are_listed_in_another_process_and_remembered(monkeypatch, child):
    monkeypatch.setattr(preflight, "ask_driver", lambda _: DRIVER)
    plain = """{"key": "cuda", "name": "RTX A4000", "memory_mb": 16376, "is_usable": True}"""
    command = child(f"say(devices=[{plain}]); say(end=True)")
    (found,) = preflight.find_devices(command=command)
    assert (found.id, found.is_usable) == ("cuda:0", True)
    gone = ["/nowhere/no-such-program"]
    assert preflight.find_devices(command=gone) == (found,)
    monkeypatch.setattr(preflight, "list_devices", lambda driver: (CPU,))
    assert preflight.find_devices(command=gone, is_fresh=True) == (CPU,)


@pytest.mark.parametrize(
    ("body", "words"), [("time.sleep(60)", "did not answer"), ("os.abort()", "crashed")]
)
def test_a_driver_that_hangs_or_crashes_torch_leaves_the_processor(monkeypatch, child, body, words):
    monkeypatch.setattr(preflight, "ask_driver", lambda _: DRIVER)
    cpu, card = preflight.find_devices(command=child(body), limit_s=1.5)
    assert cpu.key == "cpu" and cpu.is_usable
    assert (card.name, card.is_usable) == ("RTX A4000", False)
    assert words in card.problem


def test_a_drivers_tool_that_hangs_is_enough_to_leave_torch_alone(monkeypatch):
    answer = DriverAnswer(error="timed out", is_there=True)
    monkeypatch.setattr(preflight, "ask_driver", lambda _: answer)
    found = preflight.find_devices(command=["/nowhere/no-such-program"])
    assert [info.key for info in found] == ["cpu", "cuda"]
    assert "did not answer" in found[1].problem


# Cards as torch shows them


def fake_cuda(monkeypatch, *cards: tuple[str, int, int], archs: list[str]) -> None:
    facts = [
        SimpleNamespace(name=name, major=major, minor=minor, total_memory=8 << 30)
        for name, major, minor in cards
    ]
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(facts))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: facts[index])
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: archs)


def test_a_build_without_code_for_a_card_is_compared_with_its_capability(monkeypatch):
    cards = ("GTX 1080", 6, 1), ("RTX A4000", 8, 6)
    fake_cuda(monkeypatch, *cards, archs=["sm_75", "sm_80", "sm_86", "sm_90"])
    _, old, new = devices.list_devices(DRIVER)
    assert not old.is_usable
    assert "compute capability is 6.1" in old.problem
    assert "7.5, 8.0, 8.6 and 9.0" in old.problem
    assert (new.is_usable, new.id, new.capability) == (True, "cuda:1", "8.6")


def no_cuda(monkeypatch, error: str) -> None:
    """Let torch have CUDA and fail to start it."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(error)

    def is_available() -> bool:
        warnings.warn("CUDA initialization: something", stacklevel=1)  # as the real one does
        return False

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch, "zeros", fail)


def test_a_build_without_cuda_is_named_before_anything_else(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    _, card = devices.list_devices(DRIVER)
    assert "build without CUDA" in card.problem
    with pytest.raises(ConfigError, match="build without CUDA"):
        resolve_runtime(RuntimeConfig(device="cuda"), devices=(CPU, card))


@pytest.mark.parametrize(
    ("card", "driver_error", "torch_error", "words"),
    [
        ({}, "", "The NVIDIA driver on your system is too old (found version 11040).", "too old"),
        ({}, "GPU is lost. Reboot the system", "No CUDA GPUs are available", "no longer answers"),
        ({"mig_mode": "Enabled"}, "", "No CUDA GPUs are available", "MIG"),
        ({"compute_mode": "Prohibited"}, "", "No CUDA GPUs are available", "Prohibited"),
        ({}, "", "CUDA error: out of memory", "no free memory"),
        ({}, "", "Error 802: system not yet initialized", "not ready"),
        ({}, "", "No CUDA GPUs are available", "no card that can compute"),
    ],
)
def test_why_torch_sees_no_card_is_found_out(
    monkeypatch, recwarn, card, driver_error, torch_error, words
):
    no_cuda(monkeypatch, torch_error)
    answer = DriverAnswer(
        cards=(Card(index=0, name="RTX A4000", **card),), error=driver_error, is_there=True
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    _, found = devices.list_devices(answer)
    assert words in found.problem
    assert not recwarn.list


def test_an_environment_that_hides_the_card_is_named(monkeypatch):
    no_cuda(monkeypatch, "No CUDA GPUs are available")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES hides" in devices.list_devices(DRIVER)[1].problem


def test_a_card_without_a_driver_has_no_name_but_is_told_of(monkeypatch):
    no_cuda(monkeypatch, "Found no NVIDIA driver on your system.")
    _, card = devices.list_devices(DriverAnswer(is_there=True))
    assert card.problem == (
        "The driver of the NVIDIA graphics card is not installed, or not running."
    )


# Single checks


def test_wrong_results_are_a_failure(monkeypatch):
    true = trials._outputs

    def flawed(device: str, dtype: torch.dtype, **how: Any) -> list[torch.Tensor]:
        out = true(device, dtype, **how)
        return [o * 1.1 if dtype is torch.float32 else o for o in out]

    monkeypatch.setattr(trials, "_outputs", flawed)
    for key in (CONVOLUTION, BF16):
        found = trials.perform("cpu", key, "Card")
        assert found.state == FAILED
        assert "wrong results" in found.problem


def test_results_that_are_no_numbers_are_a_failure(monkeypatch):
    true = trials._outputs

    def flawed(device: str, dtype: torch.dtype, **how: Any) -> list[torch.Tensor]:
        out = true(device, dtype, **how)
        return [o * float("nan") if dtype is torch.float32 else o for o in out]

    monkeypatch.setattr(trials, "_outputs", flawed)
    assert trials.perform("cpu", CONVOLUTION, "Card").state == FAILED


def test_a_step_in_float16_scales_the_loss():
    assert trials.perform("cpu", FP16, "Card").state == PASSED


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA error: no kernel image is available for execution"), "no code for"),
        (RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"), "in use"),
        (NotImplementedError("not currently implemented for the MPS device."), "Apple GPU lacks"),
        (torch.OutOfMemoryError("CUDA out of memory."), "no free memory"),
    ],
)
def test_an_error_of_torch_is_a_finding(monkeypatch, error, words):
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setitem(trials._TRIALS, START, fail)
    found = trials.perform("cuda:0", START, "RTX A4000")
    assert found.state == FAILED
    assert words in found.problem
    assert trials.trial_problem("cuda:0", "RTX A4000") == (found.problem, found.remedy)


def test_the_build_check_names_what_the_build_is_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (12, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    found = trials.perform("cuda:0", BUILD, "RTX 5090")
    assert found.state == FAILED
    assert found.detail == "compute capability 12.0; built for 8.0 and 9.0"
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_120"])
    assert trials.perform("cuda:0", BUILD, "RTX 5090").state == PASSED


def test_memory_that_others_hold_is_told_with_their_names(monkeypatch):
    monkeypatch.setattr(trials, "free_memory", lambda device: (310, 8192))
    monkeypatch.setattr(trials, "_can_take", lambda device, megabytes: True)
    monkeypatch.setattr(trials, "ask_programs", lambda: (Program(name="viewer.exe", used_mb=7400),))
    found = trials.perform("cuda:0", MEMORY, "RTX A4000")
    assert found.state == WARNED
    assert found.problem == "Only 310 of 8,192 MB are free: viewer.exe (7,400 MB)."
    monkeypatch.setattr(trials, "_can_take", lambda device, megabytes: False)
    found = trials.perform("cuda:0", MEMORY, "RTX A4000")
    assert found.state == FAILED
    assert "viewer.exe" in found.problem


def test_more_memory_than_there_is_can_not_be_taken():
    assert trials._can_take("cpu", 4)
    assert not trials._can_take("cpu", 1 << 40)


@pytest.mark.filterwarnings("ignore:The operator")
def test_operations_that_fall_back_to_the_processor_are_a_warning(monkeypatch):
    true = torch.softmax

    def softmax(*values: Any, **how: Any) -> torch.Tensor:
        warnings.warn(
            "The operator 'aten::softmax' is not currently supported on the MPS backend and will "
            "fall back to run on the CPU. This may have performance implications.",
            stacklevel=1,
        )
        return true(*values, **how)

    assert trials.perform("cpu", OPERATIONS, "Apple GPU").state == PASSED
    monkeypatch.setattr(torch, "softmax", softmax)
    found = trials.perform("cpu", OPERATIONS, "Apple GPU")
    assert found.state == WARNED
    assert "to the processor" in found.problem


# What it all says


def failed(device: str, key: str = CONVOLUTION) -> DeviceCheck:
    return DeviceCheck(device=device, key=key, state=FAILED, problem="It fails.", remedy="Mend it.")


BROKEN = DeviceInfo(
    key="cuda", name="X", memory_mb=0, is_usable=False, problem="Too old.", remedy="Update."
)


@pytest.mark.parametrize(
    ("found", "checks", "verdict", "problem"),
    [
        ((CPU,), (), NO_GPU, None),
        ((CPU, CARD), (), FINE, None),
        ((CPU, BROKEN), (), GPU_UNUSABLE, "Too old."),
        ((CPU, CARD), (failed("cuda:0"),), GPU_UNUSABLE, "It fails."),
        ((CPU, CARD), (failed("cpu"), failed("cuda:0")), FAULTY, "It fails."),
    ],
)
def test_the_verdict(found, checks, verdict, problem):
    assert verdict_of(found, checks) == verdict
    why = first_problem(found, checks)
    assert (why and why[0]) == problem
    text = "\n".join(readable(found, checks))
    if problem:
        assert problem in text
    else:
        assert "All is well" in text


def test_a_card_that_fails_a_check_counts_as_unusable():
    cpu, card = with_findings((CPU, CARD), (failed("cpu"), failed("cuda:0")))
    assert cpu.is_usable
    assert (card.is_usable, card.problem) == (False, "It fails.")


# Where a run computes


@pytest.fixture
def machine(monkeypatch, tmp_path) -> SimpleNamespace:
    """A machine whose devices and whose card's trial can be set."""
    state = SimpleNamespace(devices=(CPU,), trial=None, tried=[])

    def tried(device: str, name: str) -> Any:
        state.tried.append(device)
        return state.trial

    monkeypatch.setattr("engine.hardware.find_devices", lambda **_: state.devices)
    monkeypatch.setattr("engine.hardware.trial_problem", tried)
    return state


def test_a_machine_without_a_card_computes_on_the_processor_and_says_nothing(machine):
    runtime, fallback = place_run(CPU_FP32)
    assert (runtime.device, fallback) == ("cpu", None)


def test_a_card_that_works_is_used(machine):
    machine.devices = (CPU, CARD)
    runtime, fallback = place_run(CPU_FP32)
    assert (runtime.device, fallback, machine.tried) == ("cuda", None, ["cuda:0"])


def test_a_card_that_can_not_be_used_is_told_and_the_processor_computes(machine):
    machine.devices = (CPU, BROKEN)
    runtime, fallback = place_run(CPU_FP32)
    assert runtime.device == "cpu"
    assert fallback == Fallback(problem="Too old.", remedy="Update.")
    assert machine.tried == []


def test_a_card_that_fails_when_tried_is_told_and_the_processor_computes(machine):
    machine.devices, machine.trial = (CPU, CARD), ("It is busy.", "Wait.")
    runtime, fallback = place_run(CPU_FP32)
    assert runtime.device == "cpu"
    assert fallback == Fallback(problem="It is busy.", remedy="Wait.")


def test_half_precision_of_a_card_gives_way_on_the_processor(machine, monkeypatch):
    monkeypatch.setattr("engine.hardware.auto_precision", lambda device, cache: "fp32")
    machine.devices = (CPU, BROKEN)
    runtime, _ = place_run(RuntimeConfig(precision="fp16", threads=1))
    assert runtime.precision == "fp32"


def test_half_precision_that_the_settings_name_is_refused_without_a_card(machine, monkeypatch):
    monkeypatch.setattr("engine.hardware.auto_precision", lambda device, cache: "fp32")
    half = RuntimeConfig(precision="fp16", threads=1)
    with pytest.raises(ConfigError, match="graphics card") as refused:
        place_run(half)
    assert "auto" in refused.value.remedy and "bf16" in refused.value.remedy
    runtime, fallback = place_run(half, gives_way=True)
    assert (runtime.precision, fallback) == ("fp32", None)


def test_a_device_that_the_settings_name_is_never_replaced_in_silence(machine):
    machine.devices = (CPU, BROKEN)
    with pytest.raises(ConfigError, match="Too old"):
        place_run(RuntimeConfig(device="cuda", precision="fp32"))
    machine.devices, machine.trial = (CPU, CARD), ("It is busy.", "Wait.")
    with pytest.raises(ConfigError, match="busy"):
        place_run(RuntimeConfig(device="cuda", precision="fp32"))


def test_an_earlier_runtime_is_kept_where_it_can_be(machine):
    on_card = Runtime(device="cuda", precision="bf16", threads=6)
    machine.devices = (CPU, CARD)
    assert place_run(CPU_FP32, earlier=on_card) == (on_card, None)
    on_cpu = Runtime(device="cpu", precision="fp32", threads=3)
    machine.devices = (CPU, BROKEN)
    assert place_run(CPU_FP32, earlier=on_cpu) == (on_cpu, None)
    runtime, fallback = place_run(CPU_FP32, earlier=on_card)
    assert runtime.device == "cpu"
    assert fallback == Fallback(problem="Too old.", remedy="Update.")
    machine.devices = (CPU,)
    runtime, fallback = place_run(CPU_FP32, earlier=on_card)
    assert runtime.device == "cpu"
    assert fallback is not None and "no graphics card like the one" in fallback.problem


def test_the_first_card_that_can_be_used_is_the_one(machine, monkeypatch):
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    second = DeviceInfo(key="cuda", name="Y", memory_mb=0, is_usable=True, index=1)
    machine.devices = (CPU, BROKEN, second)
    runtime, fallback = place_run(CPU_FP32)
    assert (runtime.device, fallback, machine.tried) == ("cuda", None, ["cuda:1"])
    before = torch.get_num_threads()
    deterministic = torch.backends.cudnn.deterministic
    try:
        apply_runtime(runtime)
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = deterministic
    assert chosen == [1]


def test_the_versions_that_a_result_depends_on_are_known():
    assert {"python", "torch", "numpy", "timm", "torchvision", "scikit-learn"} <= set(
        library_versions()
    )
