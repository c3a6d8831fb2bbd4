"""A table of losses as runs: one's own, or a tracker's export of its runs (W&B, MLflow, TensorBoard)."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from benchmark import scales
from benchmark.published import columns, loss, runs, sheet, sizes
from benchmark.published.numbers import Mark, decimal_mark, number, quantity, shown
from benchmark.published.progress import counted
from benchmark.published.runs import Imported, Run
from benchmark.spec import Status, Value
from benchmark.tasks import TOKENS_PER_PARAMETER

NUMBERS = ("val_loss", "chinchilla_ratio", "tokens_per_parameter", "num_params", "tokens", "steps", "vocab")
STATES: dict[str, Status | Literal["open"]] = {
    "crashed": "failed", "failed": "failed", "killed": "failed", "error": "failed", "preempted": "failed",
    "diverged": "diverged", "running": "open", "pending": "open", "scheduled": "open",
}  # fmt: skip
BACKENDS = {"jax": "jax", "flax": "jax", "torch": "torch", "pytorch": "torch"}
PRECISIONS = {
    "bfloat16": "bfloat16", "bf16": "bfloat16", "float32": "float32", "fp32": "float32", "f32": "float32",
    "32": "float32",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How a table is to be read, where it does not say it itself.

    named: field -> its column. given: field -> one value for all rows. unit: of the losses. mark: of decimals.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    unit: loss.Unit | None = None
    mark: Mark | None = None


def from_csv(path: Path, reading: Reading | None = None) -> Imported:
    """A CSV's runs as records.

    Needs optimizer, scale, chinchilla_ratio and val_loss; tokens and num_params can stand for the ratio,
    num_params for the scale. An empty field of a column that is called val_loss is a diverged
    run; of any other it is asked about. Raises ValueError that names the file, the line and what to do.
    """
    reading, raw = reading or Reading(), sheet.content(path)
    table = sheet.read(path, raw)
    try:
        found = columns.recognise(table.header, reading.named, reading.given)
        if not table.rows:
            raise ValueError(f"no rows; give every run a row with {', '.join(columns.REQUIRED)}")
        unit = _unit(found.name("val_loss"), reading.unit)
        mark = reading.mark or _mark(table, found)
        kept, said = _runs(table, found, reading, unit, mark)
        for of, many in (("corpus", "corpora"), ("backend", "backends"), ("precision", "precisions")):
            runs.one(kept, of, many)
        settled, lines = sizes.settled(kept)
        _check_losses(settled, {r.where: r for r in kept}, unit)
        unique, twice = runs.once(settled)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    lacks = runs.lacking(unique)
    read_as = {"named": sorted(reading.named.items()), "given": sorted(reading.given.items())}
    of = runs.identity("csv", [raw], {**read_as, "unit": unit, "mark": mark})
    way = f"separated by {sheet.SEPARATORS.get(table.separator, repr(table.separator))}"
    way += ", decimal comma" if mark == "," else ""
    way += f", {table.encoding}" if table.encoding not in ("utf-8", "utf-8-sig") else ""
    return Imported(
        source=path.name,
        identity=of,
        records=runs.records(unique, path.name, of, lacks),
        said=[f"{path.name}: {len(table.rows):,} rows {way}", *found.told(), *said, *lines, *twice],
        lacks=lacks,
        sizes={r.scale: r.num_params or 0.0 for r in unique},
    )


def _unit(column: str, unit: loss.Unit | None) -> loss.Unit | None:
    """The unit of the loss column. Raises ValueError where its name says another than nats and nobody did."""
    kind = loss.suspicion(column)
    if kind and (unit is None or kind.startswith(("bits per", "accuracy"))):
        remedy = (
            f"add --loss-is {kind}" if kind in loss.UNITS else "it is no loss per token; name another column"
        )
        raise ValueError(f"column {shown(column)} says that it holds {kind}: {remedy}")
    return unit


def _mark(table: sheet.Sheet, found: columns.Columns) -> Mark:
    at = [found.at[n] for n in NUMBERS if n in found.at]
    cells = ((line, cells[i]) for line, cells in table.rows for i in at)
    return decimal_mark(cells, "," if table.separator == ";" else None)


def _runs(
    table: sheet.Sheet, found: columns.Columns, reading: Reading, unit: loss.Unit | None, mark: Mark
) -> tuple[list[Run], list[str]]:
    kept, open_, lost = [], [], []
    for line, cells in counted(table.rows, "rows"):
        row = {**reading.given, **{name: cells[i] for name, i in found.at.items()}}
        settings = {name: cells[i] for name, i in found.settings.items() if cells[i]}
        state = STATES.get(row.get("state", "").lower(), "finished")
        if state == "open":
            open_.append(line)
            continue
        try:
            run = _run(f"line {line}", row, settings, unit, mark, found.name("val_loss"), cast(Status, state))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        lost += [line] if run.status == "failed" else []
        kept.append(run)
    if not kept:
        raise ValueError("every row is of a run that has not ended: export it again when they have")
    said = [f"left out, not ended: {_lines(open_)}"] if open_ else []
    return kept, said + ([f"failed, by the column {found.name('state')}: {_lines(lost)}"] if lost else [])


def _lines(found: list[int]) -> str:
    return f"{len(found)} rows (lines {', '.join(map(str, found[:5]))}{', …' if len(found) > 5 else ''})"


def _run(
    where: str,
    row: Mapping[str, str],
    settings: Mapping[str, str],
    unit: loss.Unit | None,
    mark: Mark,
    loss_column: str,
    state: Status,
) -> Run:
    family = row.get("family", "")
    if family not in ("", "scalar", "matrix"):
        raise ValueError(f"family {shown(family)} is neither scalar nor matrix")
    text = row["val_loss"]
    if not text and state == "finished" and loss_column != "val_loss":
        raise ValueError(f"no {loss_column}; leave the row out, or write 'diverged' if the run did")
    scale = row.get("scale", "")
    if "scale" in row and not scale and not row.get("num_params"):
        raise ValueError("no scale is named")
    return Run(
        where=where,
        optimizer=runs.named(row["optimizer"]),
        loss=loss.nats(text, unit, mark) if text and state != "failed" else math.nan,
        scale=runs.named(scale, "scale") if scale else "",
        num_params=_positive("num_params", row, mark, quantity),
        ratio=_ratio(row, mark),
        tokens=_whole("tokens", row, mark),
        seed=_seed(row.get("seed", ""), mark),
        steps=_whole("steps", row, mark) or 0,
        status=state,
        reason=f"the source calls it {row['state']}" if state != "finished" else "",
        settings=_settings(settings, mark),
        family=family,
        corpus=_short("corpus", row.get("corpus", "")),
        vocab=_whole("vocab", row, mark) or 0,
        backend=cast(Any, BACKENDS.get(row.get("backend", "").lower(), "")),
        precision=cast(Any, PRECISIONS.get(row.get("precision", "").lower().removeprefix("torch."), "")),
    )


def _short(of: str, text: str) -> str:
    if len(text) > runs.LONGEST or not text.isprintable():
        raise ValueError(
            f"{of} {shown(text)} is longer than {runs.LONGEST} characters or not printable; shorten it"
        )
    return text


def _ratio(row: Mapping[str, str], mark: Mark) -> float | None:
    text = row.get("chinchilla_ratio", "")
    if each := _EACH.fullmatch(text):  # 20 tok/param
        row = {"tokens_per_parameter": each[1]}
    elif text:
        return _positive("chinchilla_ratio", {"chinchilla_ratio": text.strip("xX× ")}, mark)
    if row.get("tokens_per_parameter"):
        return (_positive("tokens_per_parameter", row, mark) or 0.0) / TOKENS_PER_PARAMETER
    return None


# tokens per parameter, where a ratio is expected
_EACH = re.compile(r"([0-9.,]+)\s*(?:tok(?:en)?s?\s*(?:/|per)\s*param(?:eter)?s?\.?|tpp|t/p)", re.IGNORECASE)


def _positive(
    of: str, row: Mapping[str, str], mark: Mark, read: Callable[[str, Mark], float] = number
) -> float | None:
    """A finite number above zero; None where the row has none."""
    text = row.get(of, "")
    if not text:
        return None
    try:
        value = read(text, mark)
    except ValueError as error:
        raise ValueError(f"{of} {error}") from None
    if not 0 < value < math.inf:
        raise ValueError(f"a positive {of} is needed, not {shown(text)}")
    return value


def _whole(of: str, row: Mapping[str, str], mark: Mark) -> int | None:
    value = _positive(of, row, mark, quantity)
    if value is not None and value > 2**62:
        raise ValueError(f"{of} {shown(row[of])} is too large")
    return None if value is None else round(value)


def _seed(text: str, mark: Mark) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}([.,]0*)?", text):
        raise ValueError(f"seed {shown(text)} is no whole number")
    return int(text.replace(",", ".").partition(".")[0])


def _settings(cells: Mapping[str, str], mark: Mark) -> dict[str, Value]:
    """Hyperparameters: finite numbers where they are some, else as they stand."""
    found: dict[str, Value] = {}
    for name, text in cells.items():
        try:
            value = number(text, mark)
        except ValueError:
            value = math.nan
        found[name] = value if math.isfinite(value) else _short(f"hp.{name}", text)
    size = found.get("batch_size", 0)
    if isinstance(size, str) or not 0 <= size < 2**53 or size != int(size):
        raise ValueError(f"hp.batch_size {shown(cells['batch_size'])} is no whole number of sequences")
    return found | ({"batch_size": int(size)} if "batch_size" in found else {})


def _check_losses(settled: list[Run], before: Mapping[str, Run], unit: loss.Unit | None) -> None:
    """Against ln(vocabulary): the stated one, or that of our scale where the row's size is ours."""
    values, vocabularies = {}, {}
    for r in settled:
        line = int(r.where.removeprefix("line "))
        ours = scales.SCALES.get(r.scale) if not before[r.where].num_params else None
        values[line], vocabularies[line] = r.loss, r.vocab or (ours.vocab if ours else 0)
    loss.check(values, vocabularies, unit)
