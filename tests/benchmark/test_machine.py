"""What counts as the same machine, the same CPU type and the same conditions."""

from pathlib import Path
from typing import Any

import pytest

from benchmark import machine, record_rows, store
from benchmark.train import environment

ROOT = Path(__file__).parents[2]
AMD = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: {family}\nmodel\t\t: {model}\n"
    "model name\t: AMD EPYC\n"
)
ROME = AMD.format(family=23, model=49) + "flags\t\t: fpu sse4_2 avx avx2 fma\n"
GENOA = AMD.format(family=25, model=17) + "flags\t\t: fpu sse4_2 avx avx2 fma avx512f avx512_bf16\n"
GENOA_CAPPED = AMD.format(family=25, model=17) + "flags\t\t: fpu sse4_2 avx avx2 fma\n"
RAPIDS = (
    "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R)\n"
    "flags\t\t: fpu avx2 avx512f amx_tile\n"
)
ARM = "Features\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n"
OLD = {"machine": "6d7910b3", "cpu": "AMD EPYC", "cores": 2, "device": "cpu", "commit": "d96083086378"}


def here(cpuinfo: str, **others: Any) -> dict[str, Any]:
    return {"cpu": "AMD EPYC", **machine.described(cpuinfo), "cores": 2, "device": "cpu", **others}


@pytest.mark.parametrize(
    ("text", "family", "model", "isa"),
    [
        (ROME + "\n" + GENOA, 23, 49, ["avx", "avx2", "fma", "sse4_2"]),  # the first processor speaks for all
        (GENOA, 25, 17, ["avx", "avx2", "avx512_bf16", "avx512f", "fma", "sse4_2"]),
        (RAPIDS, 6, 143, ["amx_tile", "avx2", "avx512f"]),
        (ARM, 8, 0xD40, ["asimd", "sve"]),
    ],
)
def test_a_cpu_is_read_from_what_linux_says_of_it(text: str, family: int, model: int, isa: list[str]) -> None:
    said = machine.described(text)
    assert (said["cpu_family"], said["cpu_model"], said["cpu_isa"]) == (family, model, isa)
    assert machine.cpu_type(here(text))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (here(GENOA), here(GENOA), True),
        (here(GENOA), here(ROME), False),  # both are sold as "AMD EPYC"
        (here(GENOA), here(GENOA_CAPPED), False),  # a virtual machine that hides AVX-512
        (here(GENOA), here(GENOA, cpu="AMD EPYC 9754"), False),  # the same model at another clock rate
        (here(GENOA), here(GENOA, cores=64), False),
        (here(GENOA), here(GENOA, device="NVIDIA H100"), False),
        (here(GENOA), here(GENOA, memory_gib=512), True),
        (here(GENOA), here(GENOA, xla_cpu_flags=["--xla_cpu_max_isa=AVX2"]), False),
        (OLD, dict(OLD), True),
        (OLD, {**OLD, "machine": "another"}, False),
        (OLD, here(GENOA), False),  # which EPYC it was is not known
        ({}, {}, False),
    ],
)
def test_the_same_machine(one: dict, other: dict, same: bool) -> None:
    assert machine.same_machine(one, other) == machine.same_machine(other, one) == same


def test_losses_repeat_on_one_cpu_type_whatever_the_number_of_cores() -> None:
    assert machine.losses_repeat([here(GENOA), here(GENOA, cores=64)])
    assert machine.losses_repeat([OLD, OLD]) and machine.losses_repeat([])
    assert not machine.losses_repeat([here(GENOA), here(ROME)])
    assert not machine.losses_repeat([here(GENOA), OLD])


def test_seconds_compare_within_one_start_of_a_sweep_with_the_same_versions() -> None:
    first = here(GENOA, session="aaaa", commit="c", cores_used=1, packages={"jax": "1"})
    assert machine.conditions(first) == machine.conditions({**first, "commit": "d"})
    for change in ({"session": "bbbb"}, {"cores_used": 2}, {"packages": {"jax": "2"}}):
        assert machine.conditions(first) != machine.conditions({**first, **change})
    assert machine.conditions(OLD) != machine.conditions({**OLD, "commit": "another"})


def test_this_process_says_where_it_is_and_names_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/me --xla_cpu_max_isa=AVX2")
    environment.describe.cache_clear()
    found = environment.describe("cpu")
    environment.describe.cache_clear()
    assert machine.cpu_type(found) and found["machine"] == machine.machine(found)
    assert found["xla_cpu_flags"] == ["--xla_cpu_max_isa=AVX2"] and "/home" not in str(found)


def test_committed_records_keep_their_mark_and_their_one_gradient() -> None:
    line = (ROOT / "results/reference/trials.jsonl").read_text().splitlines()[0]
    row = record_rows.run_row("reference", store.record_from_json(line))
    assert (row["machine"], row["cpu_type"], row["gradients_per_step"]) == ("6d7910b3", "", 1.0)
