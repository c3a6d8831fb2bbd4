"""The answer to whoever brought an optimizer of their own: first of all lines, and about nothing else."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmark.analysis.contrasts import contrasts, spending
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.speedup import EQUIVALENCE
from benchmark.frames import rows, where
from benchmark.machine import GAP
from benchmark.recorded import SEARCH_LOOKS
from benchmark.report import text
from benchmark.study import Study

PRACTICAL = 8  # times the evidence that there is; beyond it, what would settle a verdict is out of reach
OPEN = ("undecided", "paired undecided")


def answers(
    study: Study, task: str, table: list[dict[str, Any]], against: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """For each optimizer that is not of the registry its verdict in a sentence, or that there is none; and what
    there is to say of it.

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
    done = set(where(study.runs, use="report", status="finished")["optimizer"])
    return any(name not in done for name in study.asked)


def _verdict(study: Study, task: str, row: dict[str, Any], others: list[dict[str, Any]]) -> tuple[str, str]:
    title, base = study.titles[row["optimizer"]], study.baseline_title
    verdict = str(row["verdict"]).removeprefix("paired ")
    than = {"faster": "faster than", "slower": "slower than", "inseparable": "inseparable from"}
    said = f"{title} is {than.get(verdict, 'undecided against')} {study.tuned_baseline} at {task}"
    if text.is_number(row["speedup"]) and row["speedup"] < math.inf:
        ends = f"95\u00a0% interval {text.fixed(row['lo'], 2)} to {text.fixed(row['hi'], 2)}"
        times = text.fixed(row["speedup"], 2)
        said += f": {base} needs {times} times the tokens for the same loss ({ends})"
    else:
        said += f": {text.fixed(-row['gap'], 4)} nats below it"
    over = text.count(int(row["searches"]), "search", "searches")
    parts = [f"From n\u00a0=\u00a0{text.count(int(row['n']), 'run')} over {over}."]
    parts += [_beside(study, row, other) for other in others if other["optimizer"] != row["optimizer"]]
    if study.mixes_cpus(row["optimizer"], task):
        parts.append(
            f"Its runs and {base}'s are not known to be of one CPU type: there the same trial may end {GAP}."
        )
    if row["verdict"] in OPEN:
        parts.append(_settles(study, task, row))
    return f"{said}.", " ".join(parts)


def _beside(study: Study, row: dict[str, Any], other: dict[str, Any]) -> str:
    """The difference to another optimizer: to the baseline by the interval that the verdict is read off, which
    allows for looks, to others by the simultaneous interval of all pairs."""
    above = row["val_loss"] >= other["val_loss"]
    if other["optimizer"] == study.baseline:
        ends = (row["gap"], row["gap_lo"], row["gap_hi"])
        gap, low, high = ends if above else (-ends[0], -ends[2], -ends[1])
    else:
        model = dict(by_scale(study.compared, study.noise_sd, study.choosing_sd))[row["scale"]]
        first, second = (row, other) if above else (other, row)
        pairs = contrasts(model, row["chinchilla_ratio"])
        gap, low, high = pairs.interval(first["optimizer"], second["optimizer"])
    apart = "which is told apart" if low > 0 else "which the runs do not tell apart"
    interval = f"[{text.fixed(low, 4)}, {text.fixed(high, 4)}]"
    side = "above" if above else "below"
    return f"It ends {text.fixed(gap, 4)} nats {interval} {side} {study.titles[other['optimizer']]}, {apart}."


def wanted(study: Study) -> int | None:
    """How many searches would decide about the optimizers that are asked about, at the headline task; None
    where all is decided or too many would be needed."""
    found = rows(study.results_for(study.headline.name)) if study.headline else []
    open_ = [r for r in found if r["optimizer"] in study.asked and r["verdict"] in OPEN]
    return max((n for r in open_ if (n := searches_wanted(study, r)[0])), default=None)


def _settles(study: Study, task: str, row: dict[str, Any]) -> str:
    """What would decide: more searches, each with its trials and report seeds, of it and of the baseline."""
    model = dict(by_scale(study.compared, study.noise_sd, study.choosing_sd))[row["scale"]]
    half = (row["gap_hi"] - row["gap_lo"]) / 2
    gap = text.fixed(abs(float(row["gap"])), 4)
    noise = (
        f"The difference is {gap} nats, known to within {text.fixed(half, 4)}: a search's choice varies by"
        f" {text.fixed(model.choosing_sd, 4)}, a run by {text.fixed(model.residual_sd, 4)}."
    )
    searches, outcome = searches_wanted(study, row)
    if searches is None:
        return f"{noise} More than {PRACTICAL} times these runs would be needed to decide."
    mine, now, base = where(study.runs, optimizer=row["optimizer"]), int(row["searches"]), _base(study, row)
    more = (searches - now + max(searches - base, 0)) / now  # times what its searches ran so far
    minutes = sum(mine["wall_seconds"].tolist()) * more / 60
    said = f"{text.fixed(minutes, 0)} minutes" if minutes >= 1.5 else "a minute"
    return (
        f"{noise} If it is as it looks, {searches} searches in place of {now} would {outcome}, about"
        f" {math.ceil(len(mine) * more)} more runs and {said} of one core (--searches {searches})."
    )


def searches_wanted(study: Study, row: dict[str, Any]) -> tuple[int | None, str]:
    """The fewest searches with which the verdict is expected if the estimate is the truth, and which verdict;
    None where that is beyond PRACTICAL times as many.

    Both optimizers' noise, of choosing and of runs, falls with the root of the number of searches, and the
    baseline is searched further only beyond what it has; a further look leaves less error to spend
    (`contrasts.spending`).
    """
    now, seeds, base = int(row["searches"]), int(row["n"]), max(_base(study, row), 1)
    half, gap = (row["gap_hi"] - row["gap_lo"]) / 2, abs(float(row["gap"]))
    apart = gap / half if half > 0 and math.isfinite(half) else 0.0
    same = _equal(row)
    title = study.baseline_title
    outcome = f"tell it from {title}" if apart >= same else f"show that it is inseparable from {title}"
    looks = study.manifest.get(SEARCH_LOOKS) or ()
    before = [n for n in looks if n <= int(study.manifest.get("protocol", {}).get("searches") or now)]
    each = seeds / now

    def strict(schedule: Sequence[int], searches: int) -> float:
        """The normal quantile that an interval at the last of so many searches takes."""
        at = [round(each * n) for n in schedule]
        spent = spending(at, np.array([round(each * searches)]))[0]
        return float(stats.norm.isf(spent / 2))

    today = strict(looks, now)
    for searches in range(now + 1, PRACTICAL * now + 1):
        then = strict((*before, searches) if looks else (), searches)
        noise = (1 / searches + 1 / max(base, searches)) / (1 / now + 1 / base)
        if math.sqrt(noise) * then / today < max(apart, same):
            return searches, outcome
    return None, outcome


def _base(study: Study, row: dict[str, Any]) -> int:
    """How many searches of the baseline report on the task of a row."""
    there = {"scale": row["scale"], "chinchilla_ratio": row["chinchilla_ratio"]}
    return len(set(where(study.losses, optimizer=study.baseline, **there)["search"]))


def _equal(row: dict[str, Any]) -> float:
    """How much narrower the speedup's interval must become to lie within EQUIVALENCE of 1, as a factor below 1;
    0 where it lies beyond that."""
    ends = [float(row[name]) for name in ("lo", "speedup", "hi")]
    if not all(math.isfinite(end) and end > 0 for end in ends):
        return 0.0
    low, at, high = map(math.log, ends)
    edge = math.log(EQUIVALENCE)
    if abs(at) >= edge or not low < at < high:
        return 0.0
    return min((edge - at) / (high - at), (edge + at) / (at - low))


def _none(study: Study, name: str) -> tuple[str, str]:
    """Why there is no verdict: what became of its runs."""
    title, runs = study.titles.get(name, name), where(study.runs, optimizer=name)
    ended = Counter(str(s) for s in runs["status"])
    if not ended:
        return f"{title} has no verdict: none of its trials has ended.", ""
    if ended["finished"] and not len(where(runs, use="report")):
        return f"{title} has no verdict yet: its report runs are not finished.", ""
    parts = [f"{ended[kind]} {kind}" for kind in ("failed", "diverged", "finished") if ended[kind]]
    reasons = Counter(str(r["reason"]) for r in rows(runs) if r["status"] in ("failed", "diverged"))
    why = f"Most often: {reasons.most_common(1)[0][0]}." if reasons else ""
    of = text.count(len(runs), "trial")
    return f"{title} has no verdict: of {of} {text.names(parts)}.", why
