"""The answer to whoever brought an optimizer of their own: first of all lines, and about nothing else."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmark.analysis.contrasts import contrasts
from benchmark.analysis.residuals import by_scale
from benchmark.frames import rows, where
from benchmark.machine import GAP
from benchmark.report import text
from benchmark.study import Study

PRACTICAL = 8  # times the evidence that there is; beyond it, what would settle a verdict is out of reach
OPEN = ("undecided", "paired undecided")


def lines(study: Study, task: str, table: list[dict[str, Any]], against: Sequence[str] = ()) -> list[str]:
    """One line for each optimizer that is not of the registry: its verdict, or why there is none.

    table: the speedup rows of `task`, best first, of all that are compared. against: whom to compare it with
    beside the baseline, by default the best.
    """
    found = {r["optimizer"]: r for r in table}
    others = [found[name] for name in against if name in found] or table[:1]
    return [
        _verdict(study, task, found[name], others) if name in found else _none(study, name)
        for name in study.asked
    ]


def failed(study: Study) -> bool:
    """Whether one of them has no finished report run, so that nothing is known of it."""
    done = set(where(study.runs, role="report", status="finished")["optimizer"])
    return any(name not in done for name in study.asked)


def _verdict(study: Study, task: str, row: dict[str, Any], others: list[dict[str, Any]]) -> str:
    title, base = study.titles[row["optimizer"]], study.baseline_title
    verdict = str(row["verdict"]).removeprefix("paired ")
    than = {"faster": "faster than", "slower": "slower than", "inseparable": "inseparable from"}
    said = f"{title} is {than.get(verdict, 'undecided against')} tuned {base} at {task}"
    if text.is_number(row["speedup"]) and row["speedup"] < math.inf:
        over = text.count(int(row["searches"]), "search", "searches")
        runs = f"n\u00a0=\u00a0{text.count(int(row['n']), 'seed')} over {over}"
        ends = f"95\u00a0% interval {text.fixed(row['lo'], 2)} to {text.fixed(row['hi'], 2)}"
        times = text.fixed(row["speedup"], 2)
        said += f": {base} needs {times} times the tokens for the same loss ({ends}, {runs})"
    else:
        said += f": {text.fixed(-row['gap'], 4)} nats below it"
    parts = [f"{said}."]
    parts += [_beside(study, row, other) for other in others if other["optimizer"] != row["optimizer"]]
    if study.mixes_cpus(row["optimizer"], task):
        parts.append(
            f"Its runs and {base}'s are not known to be of one CPU type: there the same trial may end {GAP}."
        )
    if row["verdict"] in OPEN:
        parts.append(_settles(study, task, row))
    return " ".join(parts)


def _beside(study: Study, row: dict[str, Any], other: dict[str, Any]) -> str:
    """The difference to another optimizer, by the simultaneous interval of all pairs."""
    model = dict(by_scale(study.compared, study.noise_sd, study.choosing_sd))[row["scale"]]
    pairs = contrasts(model, row["chinchilla_ratio"])
    first, second = (row, other) if row["val_loss"] >= other["val_loss"] else (other, row)
    gap, low, high = pairs.interval(first["optimizer"], second["optimizer"])
    apart = "which is told apart" if low > 0 else "which the runs do not tell apart"
    ends = f"[{text.fixed(low, 4)}, {text.fixed(high, 4)}]"
    side = "above" if first is row else "below"
    return f"It ends {text.fixed(gap, 4)} nats {ends} {side} {study.titles[other['optimizer']]}, {apart}."


def _settles(study: Study, task: str, row: dict[str, Any]) -> str:
    """What would decide: more searches, each with its trials and report seeds, of it and of the baseline."""
    half = (row["gap_hi"] - row["gap_lo"]) / 2
    gap, searches = abs(float(row["gap"])), int(row["searches"])
    more = (half / gap) ** 2 if gap and math.isfinite(half) else math.inf
    if not more < PRACTICAL:
        return (
            f"The difference is {text.fixed(gap, 4)} nats and known to within {text.fixed(half, 4)}: more than"
            f" {PRACTICAL} times these runs would be needed to decide."
        )
    wanted = max(searches + 1, math.ceil(searches * more))
    names = [row["optimizer"], study.baseline]
    runs = study.runs.loc[study.runs["optimizer"].isin(names)]
    seconds = float(runs["wall_seconds"].sum()) * (wanted - searches) / searches
    count = round(len(runs) * (wanted - searches) / searches)
    return (
        f"If the difference is as it looks, {wanted} searches in place of {searches} would decide, about"
        f" {count} more runs and {text.fixed(seconds / 60, 0)} minutes of one core: the same command with"
        f" --searches {wanted}."
    )


def _none(study: Study, name: str) -> str:
    """Why there is no verdict: what became of its runs."""
    title, runs = study.titles.get(name, name), where(study.runs, optimizer=name)
    ended = Counter(str(s) for s in runs["status"])
    if not ended:
        return f"{title} has no verdict: none of its trials has ended."
    if ended["finished"] and not len(where(runs, role="report")):
        return f"{title} has no verdict yet: its report runs are not finished."
    parts = [f"{ended[kind]} {kind}" for kind in ("failed", "diverged", "finished") if ended[kind]]
    reasons = Counter(str(r["reason"]) for r in rows(runs) if r["status"] in ("failed", "diverged"))
    why = f" Most often: {reasons.most_common(1)[0][0]}." if reasons else ""
    of = text.count(len(runs), "trial")
    return f"{title} has no verdict: of {of} {text.names(parts)}.{why}"
