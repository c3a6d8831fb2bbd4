"""The claims of "Fantastic Pretraining Optimizers and Where to Find Them" (arXiv 2509.02046), judged.

Each claim is a function of `Evidence` that returns a Verdict; the same functions judge the published figures
and our own sweeps. The rules, alike for all: `refuted` needs something beyond its 95 % interval on the wrong
side, `supported` the claim's direction everywhere and intervals that carry it; all else is `undecided`. "About"
means within 0.1. Intervals hold for each cell by itself, those of pairs for all pairs at once. Two claims rest
on single tuning runs; there a difference counts beyond the band within which two runs of one setting differ.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from itertools import product
from typing import Any

import numpy as np

from benchmark.analysis.contrasts import contrasts
from benchmark.analysis.evidence import Evidence, Judgement, Verdict
from benchmark.analysis.settings import cells, rows
from benchmark.analysis.tuning import claimed, transfer_cost
from benchmark.analysis.whatif import GPT3_LR

ABOUT = 0.1  # slack of "about" in a speedup
NEAR = 2.0  # octaves: a tried rate farther from the recipe's says nothing of the recipe
MOST = 0.9  # share of comparisons beyond noise that carries a claim about all of them


def judge(evidence: Evidence) -> list[Verdict]:
    """Every claim's verdict, in the order of CLAIMS. Empty where the baseline has no losses."""
    if evidence.baseline not in set(evidence.losses["optimizer"]):
        return []
    return [claim(evidence) for claim in CLAIMS]


def matrix_ahead(evidence: Evidence) -> Verdict:
    """Compares every matrix method with every scalar one (the baseline too), task by task."""
    claim = "Every matrix-preconditioned method ends below every scalar one"
    scalar = [*evidence.family("scalar"), evidence.baseline]
    pairs = ahead = beyond = behind = 0
    tasks = list(evidence.tasks())
    for model, ratio in tasks:
        table = contrasts(model, ratio, len(tasks))
        for m, s in product(evidence.family("matrix"), scalar):
            if m in table.names and s in table.names:
                gap, lo, hi = table.interval(s, m)
                pairs, ahead = pairs + 1, ahead + int(gap > 0)
                beyond, behind = beyond + int(lo > 0), behind + int(hi < 0)
    numbers = {"pairs": pairs, "ahead": ahead, "beyond_noise": beyond, "behind_beyond_noise": behind}
    if not pairs:
        return Verdict(claim, "undecided", "No task has methods of both families.", numbers)
    verdict: Judgement = "refuted" if behind else "undecided"
    if ahead == pairs and beyond >= MOST * pairs:
        verdict = "supported"
    sentence = (
        f"Of {pairs} pairs on {len(tasks)} tasks the matrix method is ahead in {ahead}, in {beyond} of them"
        f" beyond noise, and behind beyond noise in {behind}."
    )
    return Verdict(claim, verdict, sentence, numbers)


def none_above_1_4(evidence: Evidence) -> Verdict:
    return _at_most(evidence, "No optimizer exceeds about 1.4x over tuned AdamW", None, 1.4)


def scalar_at_most_1_2(evidence: Evidence) -> Verdict:
    names = evidence.family("scalar")
    return _at_most(evidence, "Scalar methods stay at or below about 1.2x", names, 1.2)


def sophia_no_gain(evidence: Evidence) -> Verdict:
    """As the others, but a gain beyond its interval, however small, keeps it from being supported."""
    verdict = _at_most(evidence, "Sophia gives no gain over tuned AdamW", ["sophia"], 1.0)
    found = evidence.speedups
    gains = found.loc[found["optimizer"] == "sophia", "lo"].to_numpy(float) > 1
    if verdict.verdict != "supported" or not gains.any():
        return verdict
    sentence = f"{verdict.sentence} Of these, {int(gains.sum())} lie wholly above 1."
    return dataclasses.replace(verdict, verdict="undecided", sentence=sentence)


def _at_most(evidence: Evidence, claim: str, names: Collection[str] | None, bound: float) -> Verdict:
    """Refuted by a cell whose whole interval lies above the bound, supported if all intervals end below it."""
    found = evidence.speedups
    found = found if names is None else rows(found, found["optimizer"].isin(list(names)))
    if not len(found):
        return Verdict(claim, "undecided", "No such speedup was measured.", {"cells": 0})
    limit = bound + ABOUT
    lo, hi, value = (found[c].to_numpy(float) for c in ("lo", "hi", "speedup"))
    top = int(value.argmax())
    cell = found.to_dict("records")[top]
    verdict: Judgement = "refuted" if (lo > limit).any() else "undecided"
    if (hi <= limit).all():
        verdict = "supported"
    sentence = (
        f"The largest of {len(found)} speedups is {_speed(cell)} ({cell['optimizer']} at {_task(cell)});"
        f" {int((hi > limit).sum())} intervals reach above {limit:.1f}, {int((lo > limit).sum())} lie wholly"
        " above."
    )
    numbers = {"cells": len(found), "largest": cell["speedup"], "lo": cell["lo"], "hi": cell["hi"]}
    reach = {"limit": limit, "reach_above": int((hi > limit).sum()), "wholly_above": int((lo > limit).sum())}
    return Verdict(claim, verdict, sentence, {**numbers, **reach})


def falls_with_scale(evidence: Evidence) -> Verdict:
    """Compares the best speedup at the smallest and the largest scale of each ratio they share."""
    claim = "The largest speedup shrinks as models grow"
    ends: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for _, group in cells(evidence.speedups, ["chinchilla_ratio"]):
        best = {c["scale"]: g.sort_values("speedup").to_dict("records")[-1] for c, g in cells(group, ["scale"])}
        order = sorted(best, key=lambda scale: evidence.num_params[scale])
        if len(order) > 1:
            ends.append((best[order[0]], best[order[-1]]))
    lower = sum(large["speedup"] < small["speedup"] for small, large in ends)
    falls = sum(large["hi"] < small["lo"] for small, large in ends)
    rises = sum(large["lo"] > small["hi"] for small, large in ends)
    numbers = {"ratios": len(ends), "lower": lower, "lower_beyond_noise": falls, "higher_beyond_noise": rises}
    if not ends:
        return Verdict(claim, "undecided", "No ratio was run at two scales.", numbers)
    verdict: Judgement = "refuted" if rises and not falls else "undecided"
    if lower == len(ends) and falls:
        verdict = "supported"
    size = evidence.num_params
    small, large = max(
        ends, key=lambda e: (size[e[1]["scale"]] / size[e[0]["scale"]], e[0]["chinchilla_ratio"])
    )
    sentence = (
        f"From the smallest to the largest scale the best speedup is lower at {lower} of {len(ends)} ratios,"
        f" beyond both intervals at {falls}, higher beyond them at {rises}; at"
        f" {small['chinchilla_ratio']:g}x it goes from {_speed(small)} at {small['scale']} to"
        f" {_speed(large)} at {large['scale']}."
    )
    return Verdict(claim, verdict, sentence, numbers)


def order_changes_in_training(evidence: Evidence) -> Verdict:
    """Rests on flips between a fraction of training and its end."""
    claim = "Rankings during training can invert by its end"
    if not len(evidence.curves) or len(set(evidence.curves["optimizer"])) < 2:
        return Verdict(claim, "undecided", "There are no loss curves to compare.", {"flips": 0})
    found = rows(evidence.flips, evidence.flips["kind"] == "fraction")["status"].to_list()
    confirmed = found.count("confirmed")
    numbers = {"flips": len(found), "confirmed": confirmed}
    verdict: Judgement = "supported" if confirmed else "undecided"
    sentence = (
        f"{len(found)} changes of order between a point of training and its end were seen, {confirmed} beyond"
        " noise."
    )
    return Verdict(claim, verdict, sentence, numbers)


def winner_depends_on_data(evidence: Evidence) -> Verdict:
    """Which matrix method is best at each ratio of a scale, and whether a change of winner is beyond noise."""
    claim = "Which matrix method wins depends on the amount of data"
    ratio = rows(evidence.flips, evidence.flips["kind"] == "ratio")
    changes = confirmed = scales = 0
    for scale, model in evidence.models.items():
        matrix = model.finite & np.isin(model.optimizer, evidence.family("matrix"))
        winners = {
            f"{r:g}x": str(model.optimizer[at][model.mean[at].argmin()])
            for r in np.unique(model.ratio[matrix])
            if (at := matrix & (model.ratio == r)).sum() > 1
        }
        if len(winners) > 1:
            scales, changes = scales + 1, changes + (len(set(winners.values())) > 1)
        for flip in rows(ratio, (ratio["scale"] == scale) & (ratio["status"] == "confirmed")).to_dict(
            "records"
        ):
            pair = {winners.get(flip["where_1"]), winners.get(flip["where_2"])}
            confirmed += pair == {flip["optimizer_a"], flip["optimizer_b"]}
    numbers = {"scales": scales, "scales_with_a_change": changes, "confirmed": confirmed}
    # the same winner everywhere refutes nothing: a change may lie beyond the ratios or within the noise
    verdict: Judgement = "supported" if confirmed else "undecided"
    sentence = (
        f"The best matrix method changes with the ratio at {changes} of {scales} scales;"
        f" {confirmed} changes between two winners are beyond noise."
    )
    return Verdict(claim, verdict, sentence, numbers)


def transfer_unfair(evidence: Evidence) -> Verdict:
    """Rests on trials that ran one optimizer with another's best rate or decay, all else at its own best."""
    claim = "One optimizer's best hyperparameters are not another's"
    costs: list[float] = []
    for name in ("peak_lr", "weight_decay"):
        if len(evidence.runs) and f"hp.{name}" in evidence.runs:
            found = transfer_cost(evidence.runs, [name], evidence.band)
            real = found["cost"].notna() & (found["changed"] > 0) & (found["others"] == 0)
            costs += rows(found, real)["cost"].to_list()
    dear = int((np.array(costs) > evidence.band).sum())
    numbers = {"transfers": len(costs), "dear": dear, "band": evidence.band}
    if len(costs) < 10:
        return Verdict(claim, "undecided", f"Only {len(costs)} such transfers were run.", numbers)
    share = dear / len(costs)
    verdict: Judgement = "supported" if share >= 0.5 else "refuted" if share < 0.1 else "undecided"
    sentence = (
        f"Of {len(costs)} times that an optimizer ran with another's best rate or decay, {dear} cost more than"
        f" the noise ({evidence.band:.4f} nats) or diverged; the median cost is {np.median(costs):.4f} nats."
    )
    return Verdict(claim, verdict, sentence, {**numbers, "median_cost": float(np.median(costs))})


def undertuning_inflates(evidence: Evidence) -> Verdict:
    """Rests on the baseline's own trials at the tried rate nearest to GPT-3's, within NEAR octaves of it and an
    octave or more below the best; the rise in loss must be beyond the noise band.
    """
    claim = "A baseline left at an old recipe's learning rate inflates speedups"
    found = _under_tuned(evidence) if len(evidence.runs) else []
    if not found:
        sentence = f"The baseline ran at no rate near {GPT3_LR:g}, GPT-3's, that is far below its best."
        return Verdict(claim, "undecided", sentence, {"tasks": 0})
    worst = max(found, key=lambda row: row["claimed"])
    median = float(np.median([row["claimed"] for row in found]))
    beyond = worst["rise"] > evidence.band
    verdict: Judgement = "supported" if worst["claimed"] >= 1.4 and beyond else "undecided"
    if worst["claimed"] < 1 + ABOUT and max(row["octaves"] for row in found) >= 2:
        verdict = "refuted"
    sentence = (
        f"Left at {worst['peak_lr']:g} on {worst['task']}, the baseline itself needs {worst['claimed']:.2f}"
        f" times the tokens, and every speedup over it grows as much; the median over {len(found)} tasks is"
        f" {median:.2f}. The rise of {worst['rise']:.4f} nats is {'beyond' if beyond else 'within'} the noise"
        f" ({evidence.band:.4f})."
    )
    numbers = {"tasks": len(found), "largest": worst["claimed"], "median": median, "peak_lr": worst["peak_lr"]}
    numbers |= {"rise": worst["rise"], "band": evidence.band}
    return Verdict(claim, verdict, sentence, numbers)


def _under_tuned(evidence: Evidence) -> list[dict[str, Any]]:
    """The baseline's own rows of `claimed` at the reference rate, where that is an octave below its best."""
    found = claimed(evidence.runs, evidence.losses, evidence.baseline, evidence.noise_sd)
    own = rows(found, found["optimizer"] == evidence.baseline).to_dict("records")
    best = {row["task"]: row["peak_lr"] for row in own if row["rise"] == 0}
    near = [r for r in own if r["reference"] and abs(np.log2(r["peak_lr"] / GPT3_LR)) <= NEAR]
    below = [{**row, "octaves": np.log2(best[row["task"]] / row["peak_lr"])} for row in near]
    return [row for row in below if row["octaves"] >= 1 and np.isfinite(row["claimed"])]


def _speed(cell: Mapping[str, float]) -> str:
    known = np.isfinite(cell["lo"]) or np.isfinite(cell["hi"])
    interval = f"[{cell['lo']:.2f}, {cell['hi']:.2f}]" if known else "(no interval)"
    return f"{cell['speedup']:.2f} {interval}"


def _task(cell: Mapping[str, float]) -> str:
    return f"{cell['scale']}-{cell['chinchilla_ratio']:g}x"


CLAIMS: tuple[Callable[[Evidence], Verdict], ...] = (
    matrix_ahead,
    none_above_1_4,
    scalar_at_most_1_2,
    falls_with_scale,
    winner_depends_on_data,
    order_changes_in_training,
    transfer_unfair,
    undertuning_inflates,
    sophia_no_gain,
)
