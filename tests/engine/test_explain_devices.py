"""What torch, CUDA and nvidia-smi say, and what RadTune makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.hardware.devices import built_for
from engine.hardware.explain import explain, explain_end, explain_failure, explain_setting
from engine.hardware.nvidia import Program, has_card, parse_cards, parse_programs
from engine.run import as_engine_error

# As the programs word them: cudaGetErrorString of CUDA 11 to 13, torch 1.0 to 2.14, nvidia-smi.
MESSAGES = [
    ("Torch not compiled with CUDA enabled", "no_cuda_build"),
    (
        "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors "
        "might be asynchronously reported at some other API call, so the stacktrace below might be "
        "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1",
        "no_kernels",
    ),
    (
        "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current "
        "PyTorch installation.\nThe current PyTorch install supports CUDA capabilities sm_50 sm_60 "
        "sm_70 sm_75 sm_80 sm_86 sm_90.",
        "no_kernels",
    ),
    (
        "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
        "driver by downloading and installing a new version from the URL: "
        "http://www.nvidia.com/Download/index.aspx Alternatively, go to: https://pytorch.org to "
        "install a PyTorch version that has been compiled with your version of the CUDA driver.",
        "driver_too_old",
    ),
    ("CUDA driver version is insufficient for CUDA runtime version", "driver_too_old"),
    (
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before "
        "calling NumCudaDevices() that might have already set an error? Error 804: forward "
        "compatibility was attempted on non supported HW",
        "driver_too_old",
    ),
    (
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before "
        "calling NumCudaDevices() that might have already set an error? Error 802: system not yet "
        "initialized",
        "not_ready",
    ),
    (
        "Unexpected error from cudaGetDeviceCount(). [...] Error 803: system has unsupported "
        "display driver / cuda driver combination",
        "mismatch",
    ),
    ("Failed to initialize NVML: Driver/library version mismatch", "mismatch"),
    (
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
        "installed a driver from http://www.nvidia.com/Download/index.aspx",
        "no_driver",
    ),
    (
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure "
        "that the latest NVIDIA driver is installed and running.",
        "no_driver",
    ),
    (
        "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.  Reboot the "
        "system to recover this GPU",
        "lost",
    ),
    (
        "Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error\nNo devices were "
        "found",
        "lost",
    ),
    ("0, NVIDIA RTX A4000, [GPU requires reset], [GPU requires reset]", "lost"),
    (
        "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.79 GiB total capacity; 5.61 GiB "
        "already allocated; 17.44 MiB free; 5.74 GiB reserved in total by PyTorch)",
        "memory_taken",
    ),
    ("CUDA error: out of memory", "memory_taken"),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "memory_taken"),
    (
        "MPS backend out of memory (MPS allocated: 6.35 GB, other allocations: 2.1 GB)",
        "memory_taken",
    ),
    ("CUDA error: all CUDA-capable devices are busy or unavailable", "busy"),
    ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "busy"),
    ("CUDA error: uncorrectable ECC error encountered", "ecc"),
    ("CUDA error: the launch timed out and was terminated", "timeout"),
    ("CUDA error: an illegal memory access was encountered", "crashed"),
    ("CUDA error: unspecified launch failure", "crashed"),
    ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "crashed"),
    (
        "MPS client failed to connect to the MPS control daemon or the MPS server",
        "shared_service",
    ),
    ("Failed to initialize NVML: Insufficient Permissions", "no_permission"),
    ("No CUDA GPUs are available", "no_device"),
    ("CUDA error: no CUDA-capable device is detected", "no_device"),
    (
        "The operator 'aten::_upsample_bicubic2d_aa.out' is not currently implemented for the MPS "
        "device. If you want this op to be considered for addition please comment on [...]. As a "
        "temporary fix, you can set the environment variable `PYTORCH_ENABLE_MPS_FALLBACK=1` to "
        "use the CPU as a fallback for this op.",
        "operation_missing",
    ),
    (
        "Could not run 'aten::empty.memory_format' with arguments from the 'MPS' backend. This "
        "could be because the operator doesn't exist for this backend",
        "operation_missing",
    ),
    ("CUDA error: unknown error", "unknown"),
    ("", "unknown"),
]


@pytest.mark.parametrize(("message", "kind"), MESSAGES)
def test_real_messages_are_told_apart(message, kind):
    assert explain(message, "GeForce X").kind == kind


@pytest.mark.parametrize(("message", "kind"), MESSAGES)
def test_each_explanation_is_a_sentence_with_a_remedy(message, kind):
    found = explain(message, "the NVIDIA graphics card", needs_cuda="13.0")
    for text in (found.problem, found.remedy):
        assert text[0].isupper()
        assert text.endswith(".")
        assert "{" not in text


def test_a_driver_that_is_too_old_is_told_with_both_versions():
    message = "The NVIDIA driver on your system is too old (found version 11040). Please update"
    found = explain(message, "GeForce X", needs_cuda="13.0")
    assert "up to CUDA 11.4, and 13.0 is needed" in found.problem
    assert "Update the NVIDIA driver" in found.remedy
    assert "11.4" not in explain(message, "GeForce X").problem


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"visible": ""}, "hidden"),
        ({"visible": "-1"}, "hidden"),
        ({"visible": "0"}, None),
        ({"compute_mode": "Prohibited"}, "prohibited"),
        ({"compute_mode": "Exclusive_Process"}, "busy"),
        ({"compute_mode": "Default"}, None),
        ({"mig_mode": "Enabled"}, "mig"),
        ({"mig_mode": "Disabled"}, None),
        ({}, None),
    ],
)
def test_settings_that_hide_a_card_are_named(settings, kind):
    found = explain_setting("GeForce X", **settings)
    assert (found and found.kind) == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (None, "hangs"),
        (-4, "illegal_instruction"),
        (0xC000001D, "illegal_instruction"),
        (-1073741795, "illegal_instruction"),
        (-9, "killed"),
        (-11, "crashed"),
        (0xC0000005, "crashed"),
        (1, "crashed"),
    ],
)
@pytest.mark.parametrize("is_gpu", [True, False])
def test_a_process_that_ended_by_itself_is_explained(code, kind, is_gpu):
    found = explain_end(code, "GeForce X", is_gpu=is_gpu)
    assert found.kind == kind
    assert found.problem[0].isupper() and found.remedy[0].isupper()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA error: unspecified launch failure"), "crashed"),
        (RuntimeError("CUDA error: unknown error"), "unknown"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "crashed"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x2)"), None),
        (RuntimeError("expected a 'cuda' device type for generator"), None),
        (ValueError("CUDA error: out of memory"), None),
    ],
)
def test_a_job_that_the_card_ends_is_explained_and_other_bugs_are_not(error, kind):
    found = explain_failure(error)
    assert (found and found.kind) == kind


def test_a_failure_of_the_card_reaches_the_user_in_plain_words(monkeypatch):
    monkeypatch.setattr("engine.run.log_failure", lambda failure: Path("failures.log"))
    error = as_engine_error(RuntimeError("CUDA error: uncorrectable ECC error encountered"))
    assert error.message.startswith("The memory of the graphics card reported an error")
    other = as_engine_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert "unexpected" in other.message


def test_the_drivers_lines_of_cards_are_read():
    text = (
        "0, NVIDIA RTX A4000, 535.129.03, 16376 MiB, 812 MiB, Default, [N/A]\n"
        "1, NVIDIA A100-SXM4-40GB, 535.129.03, 40960 MiB, 0 MiB, Exclusive_Process, Enabled\n"
    )
    first, second = parse_cards(text)
    assert (first.name, first.driver, first.memory_mb, first.used_mb) == (
        "NVIDIA RTX A4000",
        "535.129.03",
        16376,
        812,
    )
    assert (first.compute_mode, first.mig_mode) == ("Default", "")
    assert (second.index, second.compute_mode, second.mig_mode) == (
        1,
        "Exclusive_Process",
        "Enabled",
    )


def test_a_card_of_an_old_driver_has_no_mig_field_and_unknown_memory():
    (card,) = parse_cards("0, Quadro K620, 390.157, [Not Supported], [N/A], Default\n")
    assert (card.name, card.memory_mb, card.used_mb, card.mig_mode) == ("Quadro K620", 0, 0, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        'Field "mig.mode.current" is not a valid field to query.\n',
    ],
)
def test_messages_are_no_cards(text):
    assert parse_cards(text) == ()


def test_programs_are_named_without_their_folders_the_largest_first():
    text = (
        "/home/someone/bin/python, 212 MiB\n"
        "C:\\Users\\someone\\Viewer\\viewer.exe, 7400 MiB\n"
        "[Insufficient Permissions], [N/A]\n"
    )
    assert parse_programs(text) == (
        Program(name="viewer.exe", used_mb=7400),
        Program(name="python", used_mb=212),
    )


def test_a_card_without_a_driver_is_found_in_the_list_of_the_bus(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")

    def device(name: str, vendor: str, kind: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n", encoding="ascii")
        (tmp_path / name / "class").write_text(f"{kind}\n", encoding="ascii")

    assert not has_card(tmp_path)
    device("0000:00:02.0", "0x8086", "0x030000")  # another maker's
    device("0000:01:00.1", "0x10de", "0x040300")  # the card's sound
    (tmp_path / "0000:ff:00.0").mkdir()
    assert not has_card(tmp_path)
    device("0000:01:00.0", "0x10de", "0x030000")
    assert has_card(tmp_path)
    monkeypatch.setattr("sys.platform", "win32")
    assert not has_card(tmp_path)


@pytest.mark.parametrize(
    ("archs", "text"),
    [
        (["sm_75", "sm_80", "sm_90", "compute_90"], "7.5, 8.0 and 9.0"),
        (["sm_90a"], "9.0"),
        (["sm_100", "sm_86"], "8.6 and 10.0"),
        ([], "no card"),
        (["gfx90a"], "no card"),
    ],
)
def test_what_a_build_has_code_for_is_told_in_nvidias_numbers(archs, text):
    assert built_for(archs) == text
