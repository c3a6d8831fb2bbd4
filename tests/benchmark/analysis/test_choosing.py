"""What choosing adds: against statsmodels' analysis of variance, and what may be missing."""

import warnings

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.choosing import choosing, first_searches, owners
from benchmark.analysis.residuals import noise
from benchmark.losses import report_losses

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # statsmodels uses what pandas has deprecated
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm


def study(gaps=(0.0, 0.01, -0.005), sd=0.002, seeds=3):
    """(runs, cells): adamw and muon at 27k-1x, adamw's search done once per gap (nats from the first)."""
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.01, seeds)
    rows, cells = [], {}
    searches = [("muon", 0, -0.1), *(("adamw", 100 * i, gap) for i, gap in enumerate(gaps))]
    for name, offset, gap in searches:
        ids = [f"{name}{offset}-{i}" for i in range(seeds)]
        cell = {"optimizer": name, "task": "27k-1x", "seed_offset": offset, "reports": ids, "tuning": []}
        cells[f"{name}/27k-1x" + (f"#{offset}" if offset else "")] = cell | {"winner": {"peak_lr": 0.01 + gap}}
        rows += [(name, ids[i], 1000 + i, 3 + gap + luck[i] + rng.normal(0, sd)) for i in range(seeds)]
    frame = pd.DataFrame(rows, columns=["optimizer", "trial_id", "seed", "val_loss"])
    same = {
        "corpus": "c",
        "corpus_hash": "",
        "tokenizer_hash": "",
        "eval_corpus_hash": "",
        "backend": "jax",
        "precision": "float32",
    }
    same["experiment"] = 2
    where = {"task": "27k-1x", "scale": "27k", "chinchilla_ratio": 1.0, "use": "report", "status": "finished"}
    return frame.assign(**same, **where, eval_split="test", reason=""), cells


def test_spread_noise_and_p_by_hand_and_by_statsmodels() -> None:
    runs, cells = study()
    (row,) = choosing(runs, cells).to_dict("records")
    own = runs[runs.optimizer == "adamw"].assign(search=lambda f: f.trial_id.str.split("-").str[0])
    means = own.groupby("search").val_loss.mean()
    assert (row["n"], row["settings"], row["seeds"]) == (3, 3, 3)
    assert row["spread"] == pytest.approx(means.std(ddof=1))
    assert (row["lowest"], row["highest"], row["val_loss"]) == pytest.approx(
        (means.min(), means.max(), means.mean())
    )
    losses = report_losses(runs, searches=owners(cells))
    sd = noise(losses).set_index("optimizer").residual_sd["adamw"]
    assert row["noise"] == pytest.approx(sd / np.sqrt(3))
    assert row["adds"] == pytest.approx(np.sqrt(row["spread"] ** 2 - row["noise"] ** 2))
    square = anova_lm(smf.ols("val_loss ~ C(search) + C(seed)", data=own).fit())["mean_sq"]["C(search)"]
    assert row["ratio"] ** 2 == pytest.approx(square / sd**2)  # F of choosing


def test_searches_with_seeds_of_their_own_are_compared_beside_the_others_at_these_seeds() -> None:
    rng = np.random.default_rng(1)
    rows, cells = [], {}
    luck = rng.normal(0, 1.0, 6)  # far larger than what choosing adds
    for name in ("adamw", "muon", "soap"):
        for k in (0, 1):
            key = f"{name}/27k-1x" + (f"#{k}" if k else "")
            ids = [f"{name}{k}-{i}" for i in range(k, 6, 2)]
            cells[key] = {"optimizer": name, "task": "27k-1x", "search": k, "reports": ids, "tuning": []}
            gap = 0.05 * k if name == "adamw" else 0.0
            rows += [
                (name, f"{name}{k}-{i}", i, 3 + gap + luck[i] + rng.normal(0, 0.002)) for i in range(k, 6, 2)
            ]
    runs = study()[0].iloc[[0] * len(rows)].reset_index(drop=True)
    runs[["optimizer", "trial_id", "seed", "val_loss"]] = rows
    table = choosing(runs, cells).set_index("optimizer")
    assert (table[["n", "seeds"]] == [2, 3]).all(axis=None)
    assert table.loc["adamw", "spread"] == pytest.approx(0.05 / np.sqrt(2), rel=0.2)
    assert table.loc["adamw", "p"] < 0.01 and table.loc["adamw", "spread"] > 3 * table.loc["adamw", "noise"]
    assert first_searches(cells) == [cells[f"{name}/27k-1x"] for name in ("adamw", "muon", "soap")]
    assert owners(cells)["muon1-3"] == [1]


def test_searches_that_choose_alike_add_nothing() -> None:
    runs, cells = study(gaps=(0.0,))
    again = {**cells["adamw/27k-1x"], "seed_offset": 100}  # the same setting is the same trials
    (row,) = choosing(runs, {**cells, "adamw/27k-1x#100": again}).to_dict("records")
    assert (row["n"], row["settings"], row["spread"], row["adds"], row["p"]) == (2, 1, 0.0, 0.0, 1.0)


def test_without_a_repeat_there_is_no_row() -> None:
    runs, cells = study(gaps=(0.0,))
    table = choosing(runs, cells)
    assert table.empty and "spread" in table
    assert choosing(runs, {}).empty
    published = {"adamw/130m-1x": {"complete": True, "winner": None, "badges": [], "tuning": [], "reports": []}}
    assert choosing(runs, published).empty


def test_a_search_still_under_way_is_not_counted_and_seeds_are_those_of_all() -> None:
    runs, cells = study()
    part = runs[~runs.trial_id.isin(["adamw100-0", "adamw200-0", "adamw200-1", "adamw200-2"])]
    (row,) = choosing(part, cells).to_dict("records")
    assert (row["n"], row["seeds"]) == (2, 2)
    loss = runs.set_index("trial_id").val_loss
    means = [(loss[f"adamw{offset}-1"] + loss[f"adamw{offset}-2"]) / 2 for offset in (0, 100)]
    assert (row["lowest"], row["highest"]) == pytest.approx((min(means), max(means)))
    only_first = runs[~runs.trial_id.str.startswith(("adamw100", "adamw200"))]
    assert choosing(only_first, cells).empty


def test_a_diverged_winner_is_an_infinite_spread_and_one_seed_has_no_noise() -> None:
    runs, cells = study()
    lost = runs.assign(status=np.where(runs.trial_id == "adamw200-1", "diverged", "finished"))
    (row,) = choosing(lost, cells).to_dict("records")
    assert np.isposinf([row["spread"], row["highest"], row["adds"]]).all()
    (row,) = choosing(*study(seeds=1)).to_dict("records")
    assert (row["n"], row["seeds"]) == (3, 1)
    assert np.isfinite(row["spread"]) and np.isnan([row["noise"], row["ratio"], row["adds"], row["p"]]).all()
