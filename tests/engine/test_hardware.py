"""Device, precision and threads resolved once."""

import json
import os
import time
from types import SimpleNamespace

import pytest
import torch

from engine.contract.config import RuntimeConfig
from engine.contract.errors import ConfigError
from engine.hardware import (
    Runtime,
    apply_runtime,
    autocast,
    describe,
    devices,
    memory_mb,
    precision,
    resolve_runtime,
    threads,
)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.fixture
def gain(monkeypatch):
    """Let the measurement give a chosen gain, and count how often it is made."""
    state = SimpleNamespace(value=2.0, n=0)

    def measure():
        state.n += 1
        return precision.PrecisionMeasurement(fp32_s=state.value, bf16_s=1.0, repeats=1)

    monkeypatch.setattr(precision, "measure_bf16", measure)
    return state


@pytest.mark.parametrize(("value", "expected"), [(2.0, "bf16"), (1.05, "fp32"), (0.6, "fp32")])
def test_bfloat16_is_chosen_only_where_it_gains(no_gpu, gain, tmp_path, value, expected):
    gain.value = value
    runtime = resolve_runtime(RuntimeConfig(), cache=tmp_path / "precision.json")
    assert (runtime.device, runtime.precision) == ("cpu", expected)


def test_the_measurement_is_made_once_per_processor(no_gpu, gain, tmp_path):
    cache = tmp_path / "folder" / "precision.json"
    first = resolve_runtime(RuntimeConfig(), cache=cache)
    assert resolve_runtime(RuntimeConfig(), cache=cache) == first
    assert gain.n == 1


@pytest.mark.parametrize("content", ["", "{not json", "[1, 2]", "\x00\x00"])
def test_a_damaged_memory_of_the_measurement_is_measured_again(no_gpu, gain, tmp_path, content):
    cache = tmp_path / "precision.json"
    cache.write_text(content, encoding="utf-8")
    assert resolve_runtime(RuntimeConfig(), cache=cache).precision == "bf16"
    assert list(json.loads(cache.read_text(encoding="utf-8")).values()) == [2.0]


def test_senseless_remembered_gains_are_measured_again(no_gpu, gain, tmp_path):
    cache = tmp_path / "precision.json"
    resolve_runtime(RuntimeConfig(), cache=cache)
    (key,) = json.loads(cache.read_text(encoding="utf-8"))
    for senseless in (None, "fast", -1, True):
        cache.write_text(json.dumps({key: senseless}), encoding="utf-8")
        assert resolve_runtime(RuntimeConfig(), cache=cache).precision == "bf16"
    assert gain.n == 5


def test_a_home_that_can_not_be_written_does_not_stop_a_run(no_gpu, gain, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    assert resolve_runtime(RuntimeConfig(), cache=blocked / "x" / "p.json").precision == "bf16"


def test_the_real_measurement_is_short_and_sets_threads_back():
    before, start = torch.get_num_threads(), time.perf_counter()
    measured = precision.measure_bf16()
    assert time.perf_counter() - start < 6.0  # under 2 s alone; tests share the machine
    assert measured.repeats >= 2
    assert measured.gain > 0
    assert torch.get_num_threads() == before


def test_the_measurement_leaves_the_random_state_alone(monkeypatch):
    monkeypatch.setattr(precision, "_BUDGET_S", 0.0)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    precision.measure_bf16()
    assert torch.equal(torch.rand(1), expected)


def test_explicit_settings_are_kept_without_measuring(no_gpu, gain):
    config = RuntimeConfig(device="cpu", precision="fp32", threads=3)
    assert resolve_runtime(config) == Runtime(device="cpu", precision="fp32", threads=3)
    assert gain.n == 0


def test_fp16_on_a_processor_is_refused_with_a_remedy(no_gpu):
    with pytest.raises(ConfigError) as error:
        resolve_runtime(RuntimeConfig(precision="fp16"))
    assert "bf16" in error.value.remedy


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_with_a_remedy(no_gpu, device):
    with pytest.raises(ConfigError) as error:
        resolve_runtime(RuntimeConfig(device=device))
    assert "cpu" in error.value.remedy


@pytest.mark.parametrize(
    ("capability", "arch_list", "expected"),
    [
        ((8, 6), ["sm_80", "sm_90"], True),  # binaries serve later minor versions
        ((8, 0), ["sm_86"], False),  # not earlier ones
        ((9, 0), ["sm_80"], False),  # nor other major ones
        ((9, 0), ["sm_80", "compute_80"], True),  # portable code serves all later ones
        ((6, 1), ["sm_75", "sm_80", "sm_90", "compute_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((12, 0), ["sm_100", "sm_120"], True),
        ((10, 0), [], False),
    ],
)
def test_a_build_serves_a_card_as_nvidia_defines_compatibility(capability, arch_list, expected):
    assert devices.arch_supported(capability, arch_list) is expected


def test_threads_keep_the_limits_that_others_set(monkeypatch):
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(threads, "cgroup_cpus", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.default_threads() == 6
    monkeypatch.setattr(threads, "cgroup_cpus", lambda: 3.5)
    assert threads.default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert threads.default_threads() == 2
    monkeypatch.setattr(threads, "cgroup_cpus", lambda: 0.5)
    assert threads.default_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads.default_threads() == 1


def test_a_containers_quota_is_read_in_both_layouts(tmp_path):
    assert threads.cgroup_cpus(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("250000\n", encoding="utf-8")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n", encoding="utf-8")
    assert threads.cgroup_cpus(tmp_path) == 2.5
    (tmp_path / "cpu.max").write_text("150000 100000\n", encoding="utf-8")
    assert threads.cgroup_cpus(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n", encoding="utf-8")
    assert threads.cgroup_cpus(tmp_path) is None


def test_autocast_computes_in_the_runtimes_precision():
    layer, x = torch.nn.Linear(4, 4), torch.rand(2, 4)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(Runtime(precision=name)):
            assert layer(x).dtype == dtype


def test_applying_a_runtime_sets_the_threads():
    before = torch.get_num_threads()
    try:
        apply_runtime(Runtime(threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("system", "before", "after"),
    [("darwin", None, "1"), ("darwin", "0", "0"), ("linux", None, None), ("win32", None, None)],
)
def test_only_apple_gpus_leave_missing_operations_to_the_processor(
    monkeypatch, system, before, after
):
    name = "PYTORCH_ENABLE_MPS_FALLBACK"
    monkeypatch.setenv(name, "x")  # so that whatever happens below is undone
    monkeypatch.delenv(name)
    if before is not None:
        monkeypatch.setenv(name, before)
    monkeypatch.setattr("sys.platform", system)
    threads.let_apple_gpu_fall_back()
    assert os.environ.get(name) == after


def test_memory_of_this_process_is_plausible():
    assert 50 < memory_mb(Runtime()) < 100_000


def test_the_description_is_plain_json_and_names_the_processor(monkeypatch):
    monkeypatch.setattr(precision, "measure_bf16", lambda: SimpleNamespace(gain=1.0))
    facts = json.loads(json.dumps(describe()))
    assert facts["devices"][0]["key"] == "cpu"
    assert facts["devices"][0]["is_usable"] is True
    assert facts["versions"]["torch"].split("+")[0] in torch.__version__
    assert facts["threads"] >= 1
    assert facts["memory_mb"] > 0
    assert facts["torch_has_cuda"] is (torch.version.cuda is not None)
    assert devices.list_devices()[0].name == facts["devices"][0]["name"]
