"""Claims of "Fantastic Pretraining Optimizers and Where to Find Them" (arXiv 2509.02046).

Two of them rest on single tuning runs (single_runs.py): there a loss is compared with what the best setting is
expected to reach, never with the luckiest run (level.py).
"""

import dataclasses
from collections.abc import Collection, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.claims.pairs import below
from benchmark.analysis.claims.single_runs import transfer_unfair, undertuning_inflates
from benchmark.analysis.contrasts import contrasts
from benchmark.analysis.evidence import ABOUT, FEW, Evidence, Finding, Judgement, Paper, speed
from benchmark.analysis.settings import cells, rows
from benchmark.tasks import task_name

VERDICTS = ("faster", "slower", "inseparable", "undecided")


def matrix_ahead(evidence: Evidence) -> Judgement:
    """Compares every matrix method with every scalar one (the baseline too), task by task."""
    claim = "Every matrix-preconditioned method ends below every scalar one"
    scalar = [*evidence.family("scalar"), evidence.baseline]
    found = below(evidence, claim, list(product(evidence.family("matrix"), scalar)), "the matrix method")
    return found or Judgement(claim, "undecided", "No task has methods of both families.", {"pairs": 0})


def none_above_1_4(evidence: Evidence) -> Judgement:
    return _at_most(evidence, "No optimizer exceeds about 1.4x over tuned AdamW", None, 1.4)


def scalar_at_most_1_2(evidence: Evidence) -> Judgement:
    names = evidence.family("scalar")
    return _at_most(evidence, "Scalar methods stay at or below about 1.2x", names, 1.2)


def sophia_no_gain(evidence: Evidence) -> Judgement:
    """As the others, but a gain beyond its interval, however small, keeps it from being supported."""
    judgement = _at_most(evidence, "Sophia gives no gain over tuned AdamW", ["sophia"], 1.0)
    found = evidence.speedups
    gains = rows(found, (found["optimizer"] == "sophia") & (found["verdict"] == "faster"))
    if judgement.finding != "supported" or not len(gains):
        return judgement
    sentence = f"{judgement.sentence} A gain, however small, is none of nothing."
    return dataclasses.replace(judgement, finding="undecided", sentence=sentence)


def _at_most(evidence: Evidence, claim: str, names: Collection[str] | None, bound: float) -> Judgement:
    """Refuted by a cell whose whole interval lies above the bound, supported if all intervals end below it."""
    found = evidence.speedups
    found = found if names is None else rows(found, found["optimizer"].isin(list(names)))
    if not len(found):
        return Judgement(claim, "undecided", "No such speedup was measured.", {"cells": 0})
    limit = bound + ABOUT
    lo, hi, value = (found[c].to_numpy(float) for c in ("lo", "hi", "speedup"))
    top = int(value.argmax())
    cell = found.to_dict("records")[top]
    finding: Finding = "refuted" if (lo > limit).any() else "undecided"
    if (hi <= limit).all():
        finding = "supported"
    sentence = (
        f"The largest of {len(found)} speedups is {speed(cell)} ({cell['optimizer']} at {_task(cell)});"
        f" {int((hi > limit).sum())} intervals reach above {limit:.1f}, {int((lo > limit).sum())} lie wholly"
        f" above. {_told(found)}"
    )
    numbers = {"cells": len(found), "largest": cell["speedup"], "lo": cell["lo"], "hi": cell["hi"]}
    reach = {"limit": limit, "reach_above": int((hi > limit).sum()), "wholly_above": int((lo > limit).sum())}
    return Judgement(claim, finding, sentence, {**numbers, **reach})


def _told(found: pd.DataFrame) -> str:
    """How many cells have which verdict against the baseline, in words."""
    verdicts = found["verdict"].tolist()
    words = [f"{n} {word}" for word in VERDICTS if (n := verdicts.count(word))]
    return f"Against the baseline: {', '.join(words)}." if words else "None has a verdict against the baseline."


def falls_with_scale(evidence: Evidence) -> Judgement:
    """Compares the largest speedup at the smallest and the largest scale of each ratio they share. That the
    largest of several is the luckiest of them is in its interval: the ends are the largest of all ends.
    """
    claim = "The largest speedup shrinks as models grow"
    ends: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for _, group in cells(evidence.speedups, ["chinchilla_ratio"]):
        best = {c["scale"]: _largest(g) for c, g in cells(group, ["scale"])}
        order = sorted(best, key=lambda scale: evidence.num_params[scale])
        if len(order) > 1:
            ends.append((best[order[0]], best[order[-1]]))
    lower = sum(large["speedup"] < small["speedup"] for small, large in ends)
    falls = sum(bool(large["hi"] < small["lo"]) for small, large in ends)
    rises = sum(bool(large["lo"] > small["hi"]) for small, large in ends)
    numbers = {"ratios": len(ends), "lower": lower, "lower_beyond_noise": falls, "higher_beyond_noise": rises}
    if not ends:
        return Judgement(claim, "undecided", "No ratio was run at two scales.", numbers)
    finding: Finding = "refuted" if rises and not falls else "undecided"
    if lower == len(ends) and falls:
        finding = "supported"
    size = evidence.num_params
    small, large = max(
        ends, key=lambda e: (size[e[1]["scale"]] / size[e[0]["scale"]], e[0]["chinchilla_ratio"])
    )
    sentence = (
        f"From the smallest to the largest scale the best speedup is lower at {lower} of {len(ends)} ratios,"
        f" beyond both intervals at {falls}, higher beyond them at {rises}; at"
        f" {small['chinchilla_ratio']:g}x it goes from {speed(small)} at {small['scale']} to"
        f" {speed(large)} at {large['scale']}."
    )
    return Judgement(claim, finding, sentence, numbers)


def order_changes_in_training(evidence: Evidence) -> Judgement:
    """Rests on flips between a fraction of training and its end. Refuted where many pairs are apart at the end
    and none of them was ever seen the other way round, not even within noise.
    """
    claim = "Rankings during training can invert by its end"
    if not len(evidence.curves) or len(set(evidence.curves["optimizer"])) < 2:
        return Judgement(claim, "undecided", "There are no loss curves to compare.", {"flips": 0})
    found = rows(evidence.flips, evidence.flips["kind"] == "fraction").to_dict("records")
    confirmed = sum(flip["status"] == "confirmed" for flip in found)
    turned = {
        (f["scale"], f["chinchilla_ratio"], frozenset({f["optimizer_a"], f["optimizer_b"]})) for f in found
    } & evidence.settled
    settled = len(evidence.settled)
    finding: Finding = "supported" if confirmed else "undecided"
    if not turned and settled >= FEW:
        finding = "refuted"
    numbers = {"flips": len(found), "confirmed": confirmed, "settled": settled, "turned": len(turned)}
    sentence = (
        f"{len(found)} changes of order between a point of training and its end were seen, {confirmed} beyond"
        f" noise. Of {settled} pairs that are apart at the end beyond noise, {len(turned)} were seen the other"
        " way round before."
    )
    return Judgement(claim, finding, sentence, numbers)


def winner_depends_on_data(evidence: Evidence) -> Judgement:
    """Which matrix method is best at each ratio of a scale, and whether a change of winner is beyond noise.
    Refuted where at every scale one method is ahead of the others at every ratio, each time beyond noise.
    """
    claim = "Which matrix method wins depends on the amount of data"
    ratio = rows(evidence.flips, evidence.flips["kind"] == "ratio")
    family = evidence.family("matrix")
    tasks = sum(1 for _ in evidence.tasks())
    changes = confirmed = scales = constant = 0
    for scale, model in evidence.models.items():
        matrix = model.finite & np.isin(model.optimizer, family)
        winners: dict[str, str] = {}
        clear = True
        for r in np.unique(model.ratio[matrix]):
            at = matrix & (model.ratio == r)
            if at.sum() > 1:
                best = winners[f"{r:g}x"] = str(model.optimizer[at][model.mean[at].argmin()])
                pairs = contrasts(model, r, tasks)
                clear &= all(pairs.interval(str(o), best)[1] > 0 for o in model.optimizer[at] if o != best)
        if len(winners) > 1:
            scales, changes = scales + 1, changes + (len(set(winners.values())) > 1)
            constant += int(clear and len(set(winners.values())) == 1)
        for flip in rows(ratio, (ratio["scale"] == scale) & (ratio["status"] == "confirmed")).to_dict(
            "records"
        ):
            pair = {winners.get(flip["where_1"]), winners.get(flip["where_2"])}
            confirmed += pair == {flip["optimizer_a"], flip["optimizer_b"]}
    numbers = {"scales": scales, "scales_with_a_change": changes, "confirmed": confirmed, "constant": constant}
    finding: Finding = "supported" if confirmed else "undecided"
    if scales and constant == scales:
        finding = "refuted"
    sentence = (
        f"The best matrix method changes with the ratio at {changes} of {scales} scales;"
        f" {confirmed} changes between two winners are beyond noise, and at {constant} scales one method wins"
        " at every ratio beyond noise."
    )
    return Judgement(claim, finding, sentence, numbers)


def _largest(group: pd.DataFrame) -> dict[str, Any]:
    """The cell with the largest speedup; lo and hi hold the largest true speedup of the group."""
    cell = group.sort_values("speedup").to_dict("records")[-1]
    return {**cell, "lo": group["lo"].max(), "hi": group["hi"].max(skipna=False)}


def _task(cell: Mapping[str, float]) -> str:
    return task_name(str(cell["scale"]), cell["chinchilla_ratio"])


PAPER = Paper(
    "Fantastic Pretraining Optimizers and Where to Find Them",
    "https://arxiv.org/abs/2509.02046",
    130e6,
    (
        matrix_ahead,
        none_above_1_4,
        scalar_at_most_1_2,
        falls_with_scale,
        winner_depends_on_data,
        order_changes_in_training,
        transfer_unfair,
        undertuning_inflates,
        sophia_no_gain,
    ),
)
