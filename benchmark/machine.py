"""Which records share a machine, a CPU type, a way of being timed: each one function of their environments.

What is compared    must share
seconds             `machine` and `conditions`
losses to the bit   `cpu_type`

Old records name no family and no instructions: such a record's CPU is unknown, and it shares a machine only
with those that carry the same mark of old, which rests on the brand ("AMD EPYC" is several processors).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Instruction sets that change how fast matrix products are, or how their sums are rounded
ISA = frozenset(
    [
        *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni"),
        *("avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
        *("amx_tile", "amx_bf16", "amx_int8"),
        *("asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve", "sve2"),  # ARM
    ]
)
# The same trial trained on an AVX2 and on an AVX-512 machine: 122 trials, none alike to the bit
GAP = "0.0014 nats apart (median of 122 trials, at most 0.036)"
REPEATS = (
    "Reruns repeat to the bit on the same CPU type only. Between an AVX2 and an AVX-512 machine the same trial"
    f" ended {GAP}."
)


def described(cpuinfo: str) -> dict[str, Any]:
    """Vendor, family, model and instruction sets of the first processor in the text of Linux's /proc/cpuinfo;
    what it does not say is left out. On ARM: implementer, architecture and part."""
    first = cpuinfo.strip().split("\n\n", 1)[0]
    said = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in first.splitlines())}
    found: dict[str, Any] = {}
    for name, keys in (
        ("cpu_vendor", ("vendor_id", "cpu implementer")),
        ("cpu_family", ("cpu family", "cpu architecture")),
        ("cpu_model", ("model", "cpu part")),
    ):
        value = next((said[key] for key in keys if said.get(key)), "")
        if value:
            found[name] = value if name == "cpu_vendor" else _number(value)
    flags = set((said.get("flags") or said.get("features") or "").lower().split())
    if flags:
        found["cpu_isa"] = sorted(flags & ISA)
    return found


def _number(text: str) -> int | str:
    return int(text, 0) if re.fullmatch(r"\d+|0x[0-9a-fA-F]+", text) else text


def cpu_type(environment: Mapping[str, Any]) -> str:
    """Vendor, family, model and instruction sets, and what XLA was told of them: within one type a rerun
    repeats to the bit. Empty where the record does not say."""
    if "cpu_family" not in environment or "cpu_isa" not in environment:
        return ""
    named = [str(environment.get(f"cpu_{part}", "")) for part in ("vendor", "family", "model")]
    return " ".join([*named, *_words(environment["cpu_isa"]), *_words(environment.get("xla_cpu_flags", ()))])


def machine(environment: Mapping[str, Any]) -> str:
    """Eight hex digits that records of the same machine share; empty where nothing is known.

    Of CPU type, brand, number of cores and device: clock rates differ by brand within a model, and the cores
    share caches and memory. Not of the memory's size, which slows no step, nor of a host name: equal
    nodes of a cluster are the same machine. A record without a CPU type keeps the mark it was written with.
    """
    kind = cpu_type(environment)
    if not kind:
        return str(environment.get("machine") or "")
    parts = (kind, *(str(environment.get(name, "")) for name in ("cpu", "cores", "device")))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two environments are known to be one machine's."""
    return bool(machine(one)) and machine(one) == machine(other)


def conditions(environment: Mapping[str, Any]) -> str:
    """What else must be equal where seconds are compared: the start of the sweep that trained it (another day,
    another load), cores and devices of a worker, and versions. Old records name their commit for a start."""
    packages = environment.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    named = [f"{name} {versions[name]}" for name in ("jax", "jaxlib", "torch") if name in versions]
    start = environment.get("session") or environment.get("commit") or ""
    devices = [f"{count} devices"] if (count := environment.get("devices", 1)) != 1 else []
    return "|".join([str(start), str(environment.get("cores_used", "")), *named, *devices])


def losses_repeat(environments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether all are of one CPU type, as far as is known: then a trial gives the same loss to the bit."""
    return len({cpu_type(e) or machine(e) for e in environments}) <= 1


def _words(value: Any) -> list[str]:
    return sorted(str(word) for word in value) if isinstance(value, list | tuple) else [str(value)]
