"""The simulated sweeps: their truth by hand, their components as measured, how one with looks is run."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import store
from tools.bench.components import measure
from tools.simulate import replications, verdicts
from tools.simulate.replications import BASELINE, MENU, baseline_loss, dealt, replication

MICRO = Path(__file__).parents[2] / "results" / "micro-27k-1x"


def test_the_generator_shares_no_code_with_what_it_judges() -> None:
    tree = ast.parse(Path(replications.__file__).read_text(encoding="utf-8"))
    found = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert "numpy" in found and not [name for name in found if name.startswith("benchmark")]


def test_stated_components_are_those_of_the_committed_records() -> None:
    cells = json.loads((MICRO / "sweep.json").read_text(encoding="utf-8"))["cells"]
    found = measure(store.load(MICRO).runs, list(cells.values())).set_index(["part", "optimizer"])
    assert found.loc["residual"].sd.to_dict() == pytest.approx(replications.RESIDUAL_SD, abs=6e-5)
    assert found.sd["report", ""] == pytest.approx(replications.REPORT_SD, abs=6e-5)
    assert found.sd["seed", ""] == pytest.approx(replications.SEED_SD, abs=6e-5)
    chosen = found.loc["choosing"].sd
    assert chosen["adamw"] < chosen[""] < replications.CHOOSING_SD < chosen["muon"]


def test_components_are_found_again_in_runs_drawn_from_them() -> None:
    """Two searches of four optimizers on two hundred tasks, so that each part is known to a tenth."""
    rng = np.random.default_rng(0)
    noise = {"adamw": 0.01, "a": 0.03, "b": 0.01, "c": 0.01}
    rows, cells = [], []
    for task in range(200):
        luck = rng.normal(0, 0.006, 3)
        for name in noise:
            for chosen in rng.normal(0, 0.02, 2):
                loss = 3 + chosen + luck + rng.normal(0, noise[name], 3)
                ids = [f"{len(rows) + k}" for k in range(3)]
                cells.append({"optimizer": name, "task": f"t{task}", "reports": ids})
                rows += [(name, f"t{task}", k, loss[k], ids[k]) for k in range(3)]
    frame = pd.DataFrame(rows, columns=["optimizer", "task", "seed", "val_loss", "trial_id"])
    runs = frame.assign(status="finished", use="report")
    found = measure(runs, cells).set_index(["part", "optimizer"]).sd
    for name, sd in noise.items():
        assert found["residual", name] == pytest.approx(sd, rel=0.1)
    assert found["seed", ""] == pytest.approx(0.006, rel=0.15)
    assert found["choosing", ""] == pytest.approx(0.02, rel=0.1)


def test_a_planted_speedup_reaches_what_the_baseline_reaches_with_so_much_more_data() -> None:
    exact = replace(
        replications.PLAIN, misfit=replications.OFF, residual_sd=0.0, seed_sd=0.0, shared_sd=0.0,
        speedups={BASELINE: 1.0, "x": 2.0},
    )  # fmt: skip
    loss = (
        replication(exact, 2, np.random.default_rng(0))
        .groupby(["optimizer", "chinchilla_ratio"])
        .val_loss.first()
    )
    assert loss["x", 1.0] == pytest.approx(loss[BASELINE, 2.0])
    assert loss["x", 2.0] == pytest.approx(loss[BASELINE, 4.0])
    alpha, exponent, beta = exact.curve
    between = baseline_loss(exact, np.array([2.0**0.5, 64.0]))
    law = alpha * np.array([2.0**0.5, 64.0]) ** -exponent + beta
    assert between - law == pytest.approx([0.01, 0.02])  # half way between 1x and 2x; as at the last beyond it


def test_every_challenger_gets_every_speedup_and_every_search_its_share_of_the_seeds() -> None:
    given = [dealt(replications.PLAIN, number).speedups for number in range(len(MENU))]
    assert {tuple(sorted(s[name] for s in given)) for name in "abcde"} == {tuple(sorted(MENU))}
    assert all(s[BASELINE] == 1.0 for s in given)
    frame = replication(replications.PLAIN, 5, np.random.default_rng(0))
    assert set(zip(frame.search, frame.seed, strict=True)) == {(0, 0), (1, 1), (0, 2), (1, 3), (0, 4)}
    assert set(frame[frame.chinchilla_ratio == 0.5].optimizer) == {BASELINE}


def test_only_undecided_cells_and_their_baseline_get_more_seeds() -> None:
    design = replace(
        replications.PLAIN, speedups={BASELINE: 1.0, "near": 1.05, "far": 3.0}, ratios=(1.0,), looks=(4, 8),
        choosing_sd=0.002, beyond=(0.5, 2.0, 4.0),
    )  # fmt: skip
    losses = replication(design, 8, np.random.default_rng(0))
    found = verdicts.judged(design, losses).set_index(["optimizer", "chinchilla_ratio"]).n
    assert found.to_dict() == {
        ("far", 1.0): 4, ("near", 1.0): 8, (BASELINE, 1.0): 8,
        (BASELINE, 0.5): 4, (BASELINE, 2.0): 4, (BASELINE, 4.0): 4,
    }  # fmt: skip


def test_a_verdict_is_wrong_where_the_truth_is_on_another_side() -> None:
    table = verdicts.outcomes(replications.LARGE, 2, MENU)
    truth = table.truth.to_numpy()
    assert set(truth) == set(MENU)
    assert not table[(table.verdict == "faster") & (truth > 1)].wrong.any()
    assert not table[table.verdict == "undecided"].wrong.any()
    flipped = table.assign(verdict="slower")
    assert verdicts.mistaken(flipped).tolist() == (truth >= 1).tolist()
    same = verdicts.mistaken(table.assign(verdict="inseparable"))
    assert same.tolist() == (truth >= 1.2).tolist()
    assert verdicts.summary(table)["seeds"] == 3.0
