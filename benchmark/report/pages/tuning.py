"""The tuning pages: what the search found, how sensitive it was, and what it was worth; one page per task."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from benchmark.analysis import choosing
from benchmark.described import TaskFacts
from benchmark.frames import groups, rows, where
from benchmark.report import charts, text
from benchmark.report import tuning_charts as drawn
from benchmark.report.addresses import slug
from benchmark.report.site import Site
from benchmark.report.table import SEEDS, Column, Table, fixed, named, numbers, titled
from benchmark.study import Study

LABEL, ORDER, FILE = "Tuning", 40, "tuning.html"
HYPERPARAMETER, BEST = Column("hyperparameter", "Hyperparameter"), numbers("best_value", "Best")


def write(site: Site, study: Study) -> None:
    """Write tuning.html and a page for each other task."""
    for name, context in pages(study):
        site.put(study, slug(name), context, "tuning.html", LABEL, menu=FILE)


def pages(study: Study) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file name, context): the headline's task is tuning.html, the others tuning-TASK.html."""
    # a baseline's own ratio has nothing to compare: its learning rates are on its optimizer page
    tuned = [t for t in study.tasks if len(set(where(study.runs, task=t.name, use="tuning")["optimizer"])) > 1]
    first = study.headline if study.headline in tuned else (tuned or [None])[-1]
    names = {t.name: "tuning.html" if t == first else f"tuning-{t.name}.html" for t in tuned}
    for task in tuned or [None]:
        yield names[task.name] if task else "tuning.html", _page(study, task) | {"tasks": names}


def _page(study: Study, task: TaskFacts | None) -> dict[str, Any]:
    name = task.name if task else ""
    untuned = _untuned(where(study.claimed, task=name))
    figures = task and [
        charts.lr_sensitivity(study, task),
        drawn.best_so_far(study, task, study.best_so_far),
        drawn.best_of_k(study, task, study.expected),
        drawn.transfer_matrix(study, task, study.transfer),
        drawn.under_tuned(study, task, study.claimed),
    ]
    return {
        "heading": f"Tuning at {name}" if task else "Tuning",
        "task": name,
        "figures": figures or [],
        "sensitivity": sensitivity(study, where(study.sensitivity, task=name)),
        "edges": edges(study, where(study.edges, task=name)),
        "sensitive": sensitive(study, study.scaling_sensitive),
        "bands": _bands(study),
        "repeats": repeats(study, where(study.choosing, task=name)),
        "untuned_is_best": any(r["best"] for r in rows(untuned)),
        "claims": claimed(study, untuned),
        "swaps": swaps(study, where(study.budget_swaps, task=name)),
    }


def _untuned(found: pd.DataFrame) -> pd.DataFrame:
    """The claims at the reference rate, where that is the best or an octave away: nearer, it is tuned."""
    if not len(found):
        return found
    at, best = where(found, reference=True), set(where(found, best=True)["peak_lr"])
    apart = [any(rate == b or abs(math.log2(rate / b)) >= 1 for b in best) for rate in at["peak_lr"]]
    return at.loc[apart]


def sensitivity(study: Study, found: pd.DataFrame) -> Table:
    """The largest rises first: what it costs to leave the best value of one hyperparameter."""
    columns = (
        titled(study.titles),
        HYPERPARAMETER,
        BEST,
        named(SEEDS, "n"),
        numbers("min_rise", "Least rise", fixed(4)),
        numbers("median_rise", "Median rise", fixed(4)),
        numbers("max_rise", "Most", fixed(4)),
        numbers("diverged", "Diverged"),
    )
    ordered = rows(found.sort_values("median_rise", ascending=False))
    tried = [r for r in ordered if r["n"] + r["diverged"] > 0]
    caption = "Rise in validation loss, nats/token, over one-at-a-time neighbours (n)"
    return Table(caption, columns, tried)


def edges(study: Study, found: pd.DataFrame) -> Table:
    """Optima that no trial brackets: what the badges say, with the values."""
    columns = (
        titled(study.titles),
        HYPERPARAMETER,
        BEST,
        Column("tried", "Tried or declared", _from_to, of=("low", "high")),
        Column("side", "Untried side", _side, of=("side", "search", "searches")),
    )
    return Table("Optima without a trial on both sides", columns, rows(found))


def _side(side: str, search: int, searches: int) -> str:
    return f"{side} (search {search} of {searches})" if searches > 1 else side


def _from_to(low: Any, high: Any) -> str:
    return f"{text.value(low)} to {text.value(high)}"


def sensitive(study: Study, found: pd.DataFrame) -> Table:
    """One row per optimizer: what one value serves on every task, and what it does not."""
    columns = (
        titled(study.titles),
        Column("tasks", "n tasks"),
        Column("again", "To be tuned again", _listed),
        Column("kept", "One value serves all", _listed),
    )
    table = [
        {
            "optimizer": name,
            "tasks": sorted({int(n) for n in mine["tasks"]}),
            "again": [r["hyperparameter"] for r in rows(where(mine, sensitive=True))],
            "kept": [
                f"{r['hyperparameter']} ({text.value(r['agreed'])})" for r in rows(where(mine, sensitive=False))
            ],
        }
        for name, mine in groups(found, "optimizer").items()
    ]
    return Table("Over all tasks of the sweep", columns, table)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or text.MISSING


def _bands(study: Study) -> str:
    """What counts as equal to the best: the bands that the searches measured, and the one used elsewhere."""
    cells = choosing.first_searches(study.manifest["cells"])
    measured = [b for c in cells if text.is_number(b := c.get("noise", {}).get("band"))]
    used = [text.fixed(b, 4) for b in ((min(measured), max(measured)) if measured else (study.band,))]
    ends = " to ".join(dict.fromkeys(used))
    if not measured:
        return f"within {ends} nats/token"
    rest = f", {text.fixed(study.band, 4)} elsewhere" if len(measured) < len(cells) else ""
    return f"within the {ends} nats/token that each search measured{rest}"


def repeats(study: Study, found: pd.DataFrame) -> Table:
    """What another draw of tuning seeds would have chosen, and what that is worth."""
    columns = (
        titled(study.titles),
        numbers("n", "n searches"),
        numbers("settings", "Different winners"),
        numbers("seeds", "n runs"),
        numbers("lowest", "Lowest mean", fixed(4)),
        numbers("highest", "Highest mean", fixed(4)),
        numbers("spread", "Spread (sd)", fixed(4)),
        numbers("noise", "Noise (sd)", fixed(4)),
        numbers("adds", "Choosing adds (sd)", fixed(4)),
        numbers("p", "p", fixed(2)),
    )
    return Table("Repeated searches; test losses and their spread in nats/token", columns, rows(found))


def claimed(study: Study, found: pd.DataFrame) -> Table:
    """What would be claimed over the baseline at a learning rate that nobody tuned."""
    columns = (
        titled(study.titles),
        numbers("peak_lr", f"{study.baseline_title}'s peak lr"),
        numbers("rise", "Its rise, nats/token", fixed(3)),
        numbers("tuned", "Speedup over tuned", text.times),
        numbers("claimed", "Speedup over untuned", text.times),
    )
    others = [r for r in rows(found) if r["optimizer"] != study.baseline]
    return Table("Claimed and tuned speedups in tokens", columns, others)


def swaps(study: Study, found: pd.DataFrame) -> Table:
    """Pairs of which one leads with few trials and the other with many."""

    def pair(before: str, after: str) -> str:
        return f"{study.titles[before]}, then {study.titles[after]}"

    columns = (
        Column("pair", "Ahead with few, with many trials", pair, of=("leader_before", "leader_after")),
        numbers("k", "From k"),
        numbers("gap_before", "Gap before", fixed(4)),
        numbers("gap_after", "Gap at the largest k", fixed(4)),
        Column("clear", "Clear of noise", lambda clear: "yes" if clear else "no"),
    )
    return Table("From random-search trials; gaps in nats/token", columns, rows(found))
