"""Scales and ratios of others' runs: one size for a scale's name, one ratio for what differs by a rounding.

A size, a ratio and a number of tokens are tied by tokens = 20 x parameters x ratio: two of them give the third.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from benchmark import scales, tasks
from benchmark.published.numbers import quantity, shown
from benchmark.published.runs import Run

SAME = 0.01  # sizes, and ratios at a scale, that differ by less are one: a rounding
LARGEST = 1e15  # parameters; more is a mistake of units
AGREES = 0.1  # how far tokens may be from 20 x parameters x ratio
MISREAD = 3.0  # a stated size that is off its scale's name by more is of another unit
_UNITS = ((1e12, "t"), (1e9, "b"), (1e6, "m"), (1e3, "k"))


def settled(runs: Sequence[Run], join: bool = True) -> tuple[list[Run], list[str]]:
    """Runs whose scale, size, ratio and tokens are all known, and lines about what was taken for what.

    join: whether ratios within 1 % become one. Raises ValueError that says where a scale has two sizes, or what
    is not known or does not agree.
    """
    named = [dataclasses.replace(r, scale=_scale(r)) for r in runs]
    sizes, said = _sizes(named)
    whole = [_whole(r, sizes.get(r.scale)) for r in named]
    if not join:
        return whole, said
    joined, lines = _joined(whole)
    return [dataclasses.replace(r, ratio=joined[r.scale, r.ratio]) for r in whole], said + lines


def scale_name(text: str) -> str:
    """One spelling of a scale: the ladder's own where it is one of them, 1.2b for 1200M, else as it stands."""
    if text.lower() in scales.SCALES:
        return text.lower()
    size = _read(text)
    return short(size) if size and size >= 1000 else text


def short(size: float) -> str:
    """A size as a scale's name: 123000000 -> 123m; the ladder's where that is one of them."""
    limit, unit = next(((v, u) for v, u in _UNITS if size >= v * 0.9995), (1.0, ""))
    return f"{size / limit:.4g}{unit}"


def _read(text: str) -> float | None:
    try:
        return quantity(text)
    except ValueError:
        return None


def _scale(run: Run) -> str:
    if run.scale:
        return scale_name(run.scale)
    if not run.num_params:
        raise ValueError(f"{run.where}: no scale is named")
    return short(float(f"{run.num_params:.3g}"))


def _sizes(runs: Iterable[Run]) -> tuple[dict[str, float], list[str]]:
    """Scale -> its size as stated, or our own ladder's; no entry where it is neither."""
    stated: dict[str, dict[float, tuple[int, str]]] = {}
    bare = set()
    for r in runs:
        if r.num_params:
            count, first = stated.setdefault(r.scale, {}).get(r.num_params, (0, r.where))
            stated[r.scale][r.num_params] = (count + 1, first)
        elif r.scale in scales.SCALES or not (r.ratio and r.tokens):
            bare.add(r.scale)
    sizes, said = {}, []
    for scale, found in stated.items():
        low, high = min(found), max(found)
        if high > low * (1 + SAME):
            raise ValueError(
                f"scale {shown(scale)} has two sizes: {low:,.0f} parameters ({found[low][1]}) and {high:,.0f}"
                f" ({found[high][1]}); give each size a scale name of its own"
            )
        sizes[scale] = max(found, key=lambda size: found[size][0])
        reads = _read(scale)
        if reads and reads >= 1000 and not 1 / MISREAD < sizes[scale] / reads < MISREAD:
            raise ValueError(
                f"{found[sizes[scale]][1]}: scale {shown(scale)} has num_params {sizes[scale]:,.0f}; correct"
                " one of the two (parameters are counted one by one: 130m is 130,000,000)"
            )
    for scale in sorted(bare - set(sizes)):
        if scale in scales.SCALES:
            sizes[scale] = float(scales.SCALES[scale].num_params)
            said.append(f"scale {scale}: taken as ours, {sizes[scale]:,.0f} non-embedding parameters")
    return sizes, said


def _whole(run: Run, size: float | None) -> Run:
    if size is None and run.ratio and run.tokens:
        size = run.tokens / (tasks.TOKENS_PER_PARAMETER * run.ratio)
    if size is None:
        known = ", ".join(scales.SCALES)
        raise ValueError(
            f"{run.where}: scale {shown(run.scale)} is not one of {known}; add a column num_params"
            " (non-embedding)"
        )
    if not 1 <= size <= LARGEST:
        raise ValueError(f"{run.where}: {size:.4g} parameters are no model's size")
    per_ratio = tasks.TOKENS_PER_PARAMETER * size
    if not run.ratio and not run.tokens:
        raise ValueError(f"{run.where}: a positive chinchilla_ratio is needed, or tokens")
    ratio = run.ratio or float(f"{run.tokens / per_ratio:.6g}")  # pyright: ignore[reportOptionalOperand]
    if not 1 <= per_ratio * ratio <= LARGEST**2:
        raise ValueError(f"{run.where}: a chinchilla_ratio of {ratio:g} is no budget of {size:,.0f} parameters")
    tokens = run.tokens or round(per_ratio * ratio)
    if abs(tokens / (per_ratio * ratio) - 1) > AGREES:
        raise ValueError(
            f"{run.where}: {tokens:,} tokens are not {ratio:g} x 20 x {size:,.0f} parameters; correct one of"
            " the three, or leave it out"
        )
    return dataclasses.replace(run, num_params=size, ratio=ratio, tokens=tokens)


def _joined(runs: Sequence[Run]) -> tuple[Mapping[tuple[str, float | None], float], list[str]]:
    """(scale, ratio) -> the ratio that it counts as: the commonest of those within 1 %, or the shortest."""
    counts: dict[str, Counter[float]] = {}
    for r in runs:
        counts.setdefault(r.scale, Counter())[r.ratio or 0.0] += 1
    out: dict[tuple[str, float | None], float] = {}
    said = []
    for scale, found in counts.items():
        groups: list[list[float]] = []
        for ratio in sorted(found):
            if groups and ratio <= groups[-1][0] * (1 + SAME):
                groups[-1].append(ratio)
            else:
                groups.append([ratio])
        for group in groups:
            chosen = min(group, key=lambda r: (-found[r], len(f"{r:g}"), r))
            out.update({(scale, ratio): chosen for ratio in group})
            if others := [f"{r:g}" for r in group if r != chosen]:
                said.append(f"ratios within 1 % are one: {', '.join(others)} counts as {chosen:g} at {scale}")
    return out, said
