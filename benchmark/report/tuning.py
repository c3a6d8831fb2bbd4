"""The tuning page: what the search found, how sensitive it was, and what it was worth."""

from typing import Any

import altair as alt
import pandas as pd

from benchmark.analysis import tuning
from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.frames import rows, where
from benchmark.report.study import Study, TaskFacts


def page(study: Study) -> dict[str, Any]:
    expected = tuning.expected_best_of_k(study.runs)
    transfer = tuning.transfer_cost(study.runs, ["peak_lr"])
    claims = _claims(study)
    drawn: list[Figure | None] = []
    for task in study.tasks:
        if len(set(where(study.runs, task=task.name)["optimizer"])) < 2:
            continue  # a baseline's own ratio: its learning rates are on its optimizer page
        drawn += [
            charts.lr_sensitivity(study, task),
            best_so_far(study, task),
            best_of_k(study, task, expected),
        ]
        drawn += [transfer_matrix(study, task, transfer), under_tuned(study, task, claims)]
    return {
        "heading": "Tuning",
        "figures": drawn,
        "sensitivity": _sensitivity(study),
        "edges": _edges(study),
        "sensitive": [
            (
                study.titles[r["optimizer"]],
                r["hyperparameter"],
                r["tasks"],
                text.value(r["agreed"]) or text.MISSING,
                "sensitive" if r["sensitive"] else "insensitive",
            )
            for r in rows(tuning.scaling_sensitive(study.runs, study.noise_sd or 0.003))
        ],
        "claims": [
            (
                study.titles[r["optimizer"]],
                r["task"],
                text.value(r["peak_lr"]),
                text.fixed(r["rise"], 3),
                text.times(r["tuned"]),
                text.times(r["claimed"]),
            )
            for r in rows(where(claims, reference=True))
            if r["optimizer"] != study.baseline
        ],
        "swaps": [
            (
                r["task"],
                study.titles[r["leader_before"]],
                study.titles[r["leader_after"]],
                r["k"],
                text.fixed(r["gap_before"], 4),
                text.fixed(r["gap_after"], 4),
                "yes" if r["clear"] else "no",
            )
            for r in rows(tuning.budget_swaps(expected))
        ],
    }


def _claims(study: Study) -> pd.DataFrame:
    if study.headline is None or not len(where(study.runs, role="tuning", optimizer=study.baseline)):
        return pd.DataFrame()
    return tuning.claimed(study.runs, study.losses, study.baseline, study.noise_sd)


def _sensitivity(study: Study) -> list[tuple[Any, ...]]:
    """The largest rises first: what it costs to leave the best value of one hyperparameter."""
    found = tuning.sensitivity(study.runs)
    found = found.loc[(found["n"] > 0) | (found["diverged"] > 0)].sort_values("median_rise", ascending=False)
    return [
        (
            study.titles[r["optimizer"]],
            r["task"],
            r["hyperparameter"],
            text.value(r["best_value"]),
            int(r["n"]),
            text.fixed(r["min_rise"], 4),
            text.fixed(r["median_rise"], 4),
            text.fixed(r["max_rise"], 4),
            int(r["diverged"]),
        )
        for r in rows(found)
    ]


def _edges(study: Study) -> list[tuple[str, ...]]:
    """Optima that no trial brackets."""
    spaces = {o: {hp: axis["grid"] for hp, axis in f["space"].items()} for o, f in study.optimizers.items()}
    return [
        (
            study.titles[r["optimizer"]],
            r["task"],
            r["hyperparameter"],
            text.value(r["best_value"]),
            f"{text.value(r['low'])} to {text.value(r['high'])}",
            r["edge"] or "inside, one side untried",
        )
        for r in rows(where(tuning.edges(study.runs, spaces), bracketed=False))
        if r["below"] + r["above"] > 0
    ]


def best_so_far(study: Study, task: TaskFacts) -> Figure | None:
    """The lowest validation loss after each tuning trial, in the order tried."""
    frame = where(tuning.best_so_far(study.runs), task=task.name, search="coordinate")
    if max(frame["trial"], default=0) < 2:
        return None
    x = alt.X("trial:Q", title="Tuning trials spent, diverged ones included").axis(format="d")
    y = alt.Y("best:Q", title=f"Best validation {charts.LOSS}").scale(zero=False)
    return Figure(
        f"best-{task.name}",
        f"Best so far at {task.name}",
        f"Line chart: lowest validation loss so far against tuning trials at {task.name}, one line per"
        " optimizer.",
        "In the order in which trials were tried, n = 1 tuning seed a trial. The search knows where it"
        " starts, so this is"
        " not what random trials would have given.",
        charts.lines(study, frame, x, y, charts.tips(trial="d", best=".4f")),
    )


def best_of_k(study: Study, task: TaskFacts, expected: pd.DataFrame) -> Figure | None:
    """The expected best of k independent random trials."""
    frame = where(expected, task=task.name)
    if not len(frame):
        return None
    x = alt.X("k:Q", title="Random-search trials").axis(format="d")
    y = alt.Y("expected:Q", title=f"Expected best validation {charts.LOSS}").scale(zero=False)
    counts = text.value(sorted({int(n) for n in frame["n"]}))
    return Figure(
        f"random-{task.name}",
        f"Expected best of k at {task.name}",
        f"Line chart: expected lowest validation loss of k random trials at {task.name}, one line per"
        " optimizer.",
        f"From random-search trials alone (n = {counts} trials an optimizer), averaged over all subsets of k.",
        charts.lines(study, frame, x, y, charts.tips(k="d", expected=".4f", n="d")),
    )


def transfer_matrix(study: Study, task: TaskFacts, transfer: pd.DataFrame) -> Figure | None:
    """What it costs to take one optimizer's learning rate for another: a heat map of real trials."""
    frame = where(transfer, task=task.name)
    frame = frame.loc[frame["source"] != frame["target"]]
    if not frame["cost"].notna().any():
        return None
    finite = [c for c in frame["cost"] if text.is_number(c) and c < 100]
    cells = [
        {
            "source": study.titles[r["source"]],
            "target": study.titles[r["target"]],
            "cost": r["cost"] if r["cost"] in finite else None,
            "label": _cost(r["cost"]),
        }
        for r in rows(frame)
    ]
    order = [study.titles[o] for o in study.optimizers]
    base = alt.Chart(alt.Data(values=text.plain(cells))).encode(
        x=alt.X("source:N", title="Learning rate tuned for", sort=order).axis(labelAngle=-40, grid=False),
        y=alt.Y("target:N", title="Used by", sort=order).axis(grid=False),
        tooltip=["source:N", "target:N", alt.Tooltip("label:N", title="cost, nats/token")],
    )
    top = max([*finite, 1e-9])
    shade = alt.Opacity("cost:Q", legend=None, scale=alt.Scale(domain=[0, top], range=[0.04, 0.6]))
    tiles = base.mark_rect(color="#3f83c4").encode(opacity=shade)
    return Figure(
        f"transfer-{task.name}",
        f"Blind transfer of the learning rate at {task.name}",
        "Heat map: loss above its own best when an optimizer uses the learning rate tuned for another, at"
        f" {task.name}.",
        "Nats/token above the target's own best (lower is better), from trials that were run, n = 1 each;"
        " – where no such"
        " trial was run, ∞ where it diverged.",
        alt.layer(tiles, base.mark_text(color="currentColor", fontSize=11).encode(text="label:N")),
        height=max(160, 34 * len({c["target"] for c in cells})),
    )


def _cost(cost: Any) -> str:
    return text.fixed(cost, 3) if text.is_number(cost) else text.MISSING


def under_tuned(study: Study, task: TaskFacts, claims: pd.DataFrame) -> Figure | None:
    """The speedup that would have been claimed over a baseline left at each learning rate."""
    frame = where(claims, task=task.name)
    if len(frame):
        frame = frame.loc[(frame["optimizer"] != study.baseline) & (frame["claimed"] < 20)]
    if not len(frame):
        return None
    x = alt.X("peak_lr:Q", title="The baseline's peak learning rate").scale(**charts.LOG)
    x = x.axis(values=sorted(set(frame["peak_lr"])), format="~g")
    y = alt.Y("claimed:Q", title="Claimed speedup in tokens (×)").scale(**charts.LOG)
    return Figure(
        f"claimed-{task.name}",
        f"What an under-tuned baseline would have made of it at {task.name}",
        f"Line chart: speedup over a baseline left at each learning rate, at {task.name}, one line per"
        " optimizer.",
        "Each optimizer stays at its best; only the baseline's learning rate moves (its other settings"
        " are the best"
        " tried at that rate). The lowest point of a line is the honest one. n = the report seeds of the"
        " leaderboard.",
        charts.lines(
            study,
            frame,
            x,
            y,
            charts.tips(peak_lr=".3g", claimed=".2f", tuned=".2f", rise=".3f"),
            [charts.rule(1)],
        ),
    )
