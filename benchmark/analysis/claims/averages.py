"""Claims of "When, Where and Why to Average Weights?" (arXiv 2502.06761), and how averages are judged."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from benchmark.analysis.averaging import gains
from benchmark.analysis.claims.pairs import MOST, gap_at
from benchmark.analysis.evidence import Evidence, Finding, Judgement, Paper
from benchmark.analysis.settings import cells, rows
from benchmark.frames import CELL
from benchmark.frames import rows as rows_of
from optimizers.shared.schedules import MARK


def gain_with_decay(evidence: Evidence) -> Judgement | None:
    claim = "Averages of the weights gain on runs whose rate decays, too"
    decayed = {n for n in set(evidence.losses["optimizer"]) if not n.endswith(f"{MARK}constant")}
    return averaged(evidence, claim, decayed)


def cannot_replace_decay(evidence: Evidence) -> Judgement | None:
    """The best average of runs at a constant rate, against runs whose rate decays. Its interval holds that of
    the runs' difference and that of the average's gain."""
    claim = "The best average of a run at a constant rate ends above a run whose rate decays"
    found = []
    for at, group in cells(gains(_reports(evidence)), CELL):
        name = str(at["optimizer"])
        rule, _, schedule = name.partition(MARK)
        if schedule != "constant":
            continue
        over = gap_at(evidence, (rule, name), at["scale"], at["chinchilla_ratio"])
        if over is not None:
            best = rows_of(group)[int(group["gain"].to_numpy(float).argmax())]
            found.append((over[0], over[0] - best["gain"], over[1] - best["hi"], over[2] - best["lo"]))
    if not found:
        return None
    decaying, left, least, most = np.array(found, np.float64).T
    finding: Finding = "undecided"
    if (least > 0).all():
        finding = "supported"
    elif (most < 0).any():
        finding = "refuted"
    share = float(np.mean(1 - left / decaying))
    sentence = (
        f"On {len(found)} tasks the best average wins back {share:.0%} of what decaying gains, and ends"
        f" {left.min():.4f} to {left.max():.4f} nats above the run that decays."
    )
    return Judgement(claim, finding, sentence, {"tasks": len(found), "share": share, "most_left": left.max()})


def averaged(evidence: Evidence, claim: str, names: Collection[str]) -> Judgement | None:
    """Every average of every run of these contestants ends below its last iterate. None where none was kept.

    Refuted where one ends above it beyond its interval; an average that is too long for a run says nothing of
    shorter ones, so the best of each task's counts.
    """
    table = gains(_reports(evidence))
    best = [
        rows_of(group)[int(group["gain"].to_numpy(float).argmax())]
        for at, group in cells(table, CELL)
        if at["optimizer"] in names
    ]
    if not best:
        return None
    values = np.array([row["gain"] for row in best], np.float64)
    gain, lose = sum(row["lo"] > 0 for row in best), sum(row["hi"] < 0 for row in best)
    finding: Finding = "undecided"
    if gain >= MOST * len(best) and (values > 0).all():
        finding = "supported"
    elif lose:
        finding = "refuted"
    sentence = (
        f"The best average of a task ends below the last iterate beyond noise in {gain} of {len(best)} cells,"
        f" and above it in {lose}; the gains go from {values.min():.4f} to {values.max():.4f} nats."
    )
    numbers = {"cells": len(best), "gain": gain, "lose": lose, "largest": float(values.max())}
    return Judgement(claim, finding, sentence, numbers)


def _reports(evidence: Evidence) -> pd.DataFrame:
    runs = evidence.runs
    return rows(runs, runs["use"] == "report") if "use" in runs else runs


PAPER = Paper(
    "When, Where and Why to Average Weights?",
    "https://arxiv.org/abs/2502.06761",
    1e6,  # of that order is AlgoPerf's smallest workload, a graph network
    (gain_with_decay, cannot_replace_decay),
)
