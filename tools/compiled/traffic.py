"""Bytes that the kernels of a compiled program move to and from memory, read off XLA's text of it.

Every kernel is taken to read each operand and to write its result once; a slice reads and writes what it cuts
out, an update in place what it puts in. Caches are not modelled. Bodies of loops count as often as they run.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

WIDTHS = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4}
WIDTHS |= {"f64": 8, "s64": 8, "u64": 8, "f8e4m3fn": 1, "f8e5m2": 1}
UNMOVED = {
    "parameter",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "constant",
    "after-all",
    "partition-id",
    "iota",
}

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_TYPE = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(
    r"(?:to_apply|body|true_computation|false_computation)=%?([\w.\-]+)|branch_computations=\{([^}]*)\}"
)


@dataclass(frozen=True)
class Instruction:
    name: str
    type: str
    operation: str
    rest: str
    """What follows the opening bracket: operands and attributes."""

    @property
    def operands(self) -> list[str]:
        end = re.split(r"\), |\)$", self.rest, maxsplit=1)[0]
        return list(dict.fromkeys(re.findall(r"%([\w.\-]+)", end)))


@dataclass(frozen=True)
class Kernel:
    """One kernel's share: bytes in all its runs, how often it runs, its result's type and where it is from."""

    moved: int
    runs: int
    name: str
    type: str
    origin: str


def size(text: str) -> int:
    """Bytes of a type; of a tuple the sum."""
    parts = ((found[1], found[2]) for found in _TYPE.finditer(text))
    return sum(WIDTHS.get(kind, 0) * math.prod(map(int, filter(None, dims.split(",")))) for kind, dims in parts)


def computations(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """Every computation of a module with its instructions, and the name of the entry."""
    found: dict[str, list[Instruction]] = {}
    current, entry = "", ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = head[2]
            found[current] = []
            entry = current if head[1] else entry
        elif line.startswith("}"):
            current = ""
        elif current and (matched := _LINE.match(line)):
            found[current].append(Instruction(*matched.groups()))
    return found, entry


def kernels(text: str) -> list[Kernel]:
    """Every kernel of a module, that which moves most first. A loop whose trip count XLA does not state (the
    trainer's over steps) counts as one round, of a conditional every branch."""
    bodies, entry = computations(text)
    moved, runs = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    said: dict[tuple[str, str], Instruction] = {}

    def visit(name: str, times: int) -> None:
        types = {one.name: one.type for one in bodies[name]}
        for one in bodies[name]:
            if one.operation in ("while", "conditional", "call"):
                trips = _TRIPS.search(one.rest) if one.operation == "while" else None
                for called in _called(one):
                    visit(called, times * (int(trips[1]) if trips else 1))
            elif one.operation not in UNMOVED:
                key = (name, one.name)
                moved[key] += times * _moved(one, types, bodies)
                runs[key] += times
                said[key] = one

    visit(entry, 1)
    return [
        Kernel(count, runs[key], said[key].name, said[key].type, _origin(said[key].rest))
        for key, count in moved.most_common()
    ]


def exchanges(text: str) -> str:
    """How often each kind of exchange between devices stands in a program's text, in words."""
    kinds = r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
    found = Counter(re.findall(kinds, text))
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items())) or "none"


def _called(one: Instruction) -> list[str]:
    names = [
        name
        for single, several in _CALLED.findall(one.rest)
        for name in [single, *re.split(r"[,\s%]+", several)]
    ]
    return [name for name in names if name]


def _moved(one: Instruction, types: Mapping[str, str], bodies: Mapping[str, list[Instruction]]) -> int:
    """Bytes that one run of a kernel reads and writes."""
    sizes = [size(types.get(name, "")) for name in one.operands]
    called = re.search(r"calls=%?([\w.\-]+)", one.rest)
    if one.operation != "fusion" or not called or called[1] not in bodies:
        if one.operation in ("dynamic-slice", "gather"):
            return 2 * size(one.type)
        if one.operation == "dynamic-update-slice":
            return 2 * sizes[1]
        return size(one.type) + sum(sizes)
    inside = bodies[called[1]]
    return sum(_read(p, inside) for p in inside if p.operation == "parameter") + _written(inside[-1], inside)


def _read(parameter: Instruction, inside: list[Instruction]) -> int:
    """Bytes that a fusion reads of an operand: where it only cuts slices from it, those."""
    used = [one for one in inside if parameter.name in one.operands]
    parts = []
    for one in used:
        if one.operation in ("dynamic-slice", "gather", "slice") and one.operands[0] == parameter.name:
            parts.append(size(one.type))
        elif one.operation == "bitcast":
            parts.append(_read(one, inside))
        elif one.operation == "dynamic-update-slice" and one.operands[0] == parameter.name:
            parts.append(0)
        else:
            return size(parameter.type)
    return min(sum(parts), size(parameter.type))


def _written(root: Instruction, inside: list[Instruction]) -> int:
    """Bytes that a fusion writes: where it updates an operand in place, the update."""
    named = {one.name: one for one in inside}
    if root.operation == "tuple":
        return sum(_written(named[name], inside) for name in root.operands)
    if root.operation == "bitcast" and root.operands[0] in named:
        return _written(named[root.operands[0]], inside)
    if root.operation == "dynamic-update-slice":
        return size(named[root.operands[1]].type)
    return size(root.type)


def _origin(rest: str) -> str:
    named = re.search(r'op_name="([^"]*)"', rest)
    target = re.search(r'custom_call_target="([^"]*)"', rest)
    return " ".join([*([target[1]] if target else []), *([named[1][-70:]] if named else [])])
