"""How far an optimizer's jax and torch builds differ from each other and from an independent implementation.

The figures are measured by `python -m tools.parity`, which writes results/reference/parity.json.
"""

from pathlib import Path
from typing import Any

from benchmark import files, validate
from benchmark.report import text

_ROW = {
    **dict.fromkeys(("optimizer", "dtype"), validate.name),
    **dict.fromkeys(("steps", "lm_steps"), validate.maybe(validate.whole())),
    **dict.fromkeys(("oracle", "lm_task", "note"), validate.maybe(validate.prose)),
}
_ROWS = validate.several(validate.tree(_ROW))


def load(results: Path, damaged: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Optimizer -> facts for its page; empty if nothing was measured. A damaged file is skipped and a line
    about it appended to `damaged`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in [*results.glob("parity.json"), *sorted(results.glob("*/parity.json"))]:
        try:
            measured = validate.tree({"rows": _ROWS})(validate.parse(files.content(path)))
            found |= {row["optimizer"]: _facts(row) for row in measured["rows"]}
        except (ValueError, KeyError) as error:
            damaged.append(f"{files.name(path)}: not a parity table ({error}); run `python -m tools.parity`")
    return found


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    builds = f"jax against torch, largest difference of a parameter in {row['steps']} steps ({row['dtype']})"
    facts = [(builds, _size(row["max_abs_deviation_per_step"]))]
    if row.get("oracle"):
        facts.append((f"against {row['oracle']}", _size(row["oracle_deviation"])))
    if row.get("lm_curve_deviation") is not None:
        curve = f"loss curves of {row['lm_steps']} steps, {row['lm_task']} (nats/token)"
        facts.append((curve, _size(row["lm_curve_deviation"])))
    if row.get("lm_rounding_deviation") is not None:
        facts.append(("what rounding alone does to them (nats/token)", _size(row["lm_rounding_deviation"])))
    return [*facts, *([("note", row["note"])] if row.get("note") else [])]


def _size(value: Any) -> str:
    return f"{value:.1e}" if text.is_number(value) else text.MISSING
