"""Cost beside the speedup, and the choice of the runs that a comparison rests on."""

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.cost import COLUMNS, costs, step_overheads
from benchmark.analysis.speedup import speedups
from benchmark.losses import report_losses

RATIOS = (1.0, 2.0, 4.0, 8.0)


def runs(**columns: object) -> pd.DataFrame:
    """Report runs of adamw and x, which needs 1 / 1.3 of the tokens, twice the time and 1.2 x the FLOPs."""
    rows = []
    for name, factor, seconds, extra in (("adamw", 1.0, 1.0, 0.0), ("x", 1.3, 2.0, 0.2)):
        for ratio in RATIOS:
            for seed in (0, 1, 2):
                loss = 0.42 * (ratio * factor) ** -0.5 + 3.11 + 0.001 * seed
                tokens = 1000.0 * ratio
                row = (name, "s", ratio, seed, loss, f"s-{ratio:g}x", tokens, seconds * tokens, 6 * tokens)
                rows.append((*row, 6 * tokens * extra, f"{name}{ratio}{seed}"))
    names = [
        "optimizer", "scale", "chinchilla_ratio", "seed", "val_loss", "task", "tokens", "train_seconds",
        "model_flops", "optimizer_flops", "trial_id",
    ]  # fmt: skip
    fixed = {
        "use": "report", "status": "finished", "reason": "", "machine": "box", "peak_memory_bytes": 100,
        "state_bytes": 10, "corpus": "c", "corpus_hash": "h", "tokenizer_hash": "t", "eval_corpus_hash": "",
        "backend": "jax", "precision": "float32", "experiment": 2, "eval_split": "test",
    }  # fmt: skip
    return pd.DataFrame(rows, columns=names).assign(**{**fixed, **columns})


def table(frame: pd.DataFrame) -> pd.DataFrame:
    return costs(speedups(report_losses(frame)), frame)


def test_speedup_in_seconds_and_flops_is_that_in_tokens_times_the_price_ratio() -> None:
    rows = table(runs())
    assert list(rows.columns) == COLUMNS and len(rows) == 8
    x, base = rows[rows.optimizer == "x"], rows[rows.optimizer == "adamw"]
    assert x.speedup.to_numpy() == pytest.approx(1.3, abs=1e-4)
    for column in ("speedup", "lo", "hi"):
        assert x[f"{column}_seconds"].to_numpy() == pytest.approx(x[column].to_numpy() / 2)
        assert x[f"{column}_flops"].to_numpy() == pytest.approx(x[column].to_numpy() / 1.2)
    assert (base[["speedup_seconds", "speedup_flops"]] == 1.0).all(axis=None)
    assert x.flops_per_token.to_numpy() == pytest.approx(7.2)
    assert x.optimizer_share.to_numpy() == pytest.approx(0.2 / 1.2)
    assert (x.seconds_per_token == 2.0).all()
    assert (rows.peak_memory_bytes == 100).all() and (rows.state_bytes == 10).all()


def test_verdicts_in_seconds_and_flops_are_read_off_their_own_intervals() -> None:
    """1.3 x the tokens at twice the time is 0.65, at 1.28 x the FLOPs about 1."""
    frame = runs()
    frame.loc[frame.optimizer == "x", "optimizer_flops"] = 0.28 * 6 * frame.tokens
    given = speedups(report_losses(frame))

    def verdicts(lo: float, hi: float) -> list[tuple[str, str]]:
        is_x = given.optimizer == "x"
        rows = costs(given.assign(lo=np.where(is_x, lo, 1.0), hi=np.where(is_x, hi, 1.0)), frame)
        pairs = rows.assign(pair=list(zip(rows.verdict_seconds, rows.verdict_flops, strict=True)))
        both = pairs.groupby("optimizer")["pair"].agg(set)
        assert both["adamw"] == {("baseline", "baseline")}
        return sorted(both["x"])

    assert verdicts(1.2, 1.4) == [("slower", "inseparable")]
    assert verdicts(0.9, 2.1) == [("undecided", "undecided")]
    assert verdicts(2.1, 3.0) == [("faster", "faster")]


def test_step_overhead_is_the_median_over_machines_and_batches_of_what_ran_on_both() -> None:
    """By hand: 1.5 x on the old machine at batch 8, 1.1 x at batch 4; batch 16 ran without the baseline."""
    timed = [
        ("adamw", "old", 8, 1.0), ("adamw", "old", 8, 3.0), ("adamw", "old", 8, 1.0), ("x", "old", 8, 1.5),
        ("adamw", "old", 4, 2.0), ("x", "old", 4, 2.2), ("x", "old", 16, 9.0), ("x", "new", 8, 9.0),
        ("x", "old", 4, 0.0), ("adamw", "new", 8, 9.0),
    ]  # fmt: skip
    frame = pd.DataFrame(timed, columns=["optimizer", "machine", "batch_size", "step_seconds"])
    frame = frame.assign(status=["finished"] * 9 + ["failed"], scale="s", chinchilla_ratio=1.0)
    assert step_overheads(frame).to_numpy().tolist() == [["x", "s", 1.0, pytest.approx(0.3)]]
    assert step_overheads(frame, "nobody").empty and step_overheads(frame.drop(columns="batch_size")).empty


def test_times_of_different_machines_are_not_compared() -> None:
    frame = runs()
    frame["machine"] = frame.optimizer.map({"adamw": "old", "x": "new"})
    x = table(frame).query("optimizer == 'x'")
    assert x.speedup_seconds.isna().all()
    assert x.speedup_flops.notna().all()


def test_each_machine_that_timed_both_gets_a_row() -> None:
    fast = runs()
    slow = runs(machine="slow", train_seconds=fast.train_seconds * np.where(fast.optimizer == "x", 9, 6))
    slow["seed"] += 3
    slow["trial_id"] += "slow"
    x = table(pd.concat([fast, slow])).query("optimizer == 'x' and chinchilla_ratio == 2").set_index("machine")
    assert x.speedup_seconds["box"] == pytest.approx(1.3 / 2, abs=1e-3)
    assert x.speedup_seconds["slow"] == pytest.approx(1.3 / 3, abs=1e-3)


def test_times_under_different_conditions_are_not_compared() -> None:
    """x was timed beside the baseline once, at 1.5 times its step, and once alone on a busy day."""
    frame = runs(batch_size=8, step_seconds=1.0, conditions="monday")
    is_x = frame.optimizer == "x"
    frame.loc[is_x, ["step_seconds", "conditions"]] = [9.0, "friday"]
    assert table(frame).query("optimizer == 'x'")[["speedup_seconds", "step_overhead"]].isna().all(axis=None)
    frame.loc[is_x & (frame.seed == 0), ["step_seconds", "conditions"]] = [1.5, "monday"]
    x = table(frame).query("optimizer == 'x'")
    assert x.step_overhead.to_numpy() == pytest.approx(0.5)
    assert x.speedup_seconds.to_numpy() == pytest.approx(1.3 / 2, abs=1e-3)
    unknown = frame.assign(machine="")
    assert step_overheads(unknown).empty


def test_step_times_measured_in_turns_count_before_those_of_runs() -> None:
    frame = runs(batch_size=8, step_seconds=1.0)
    timed = pd.DataFrame({"optimizer": ["x", "other"], "scale": "s", "step_overhead": [0.25, 9.0]})
    found = step_overheads(frame, timed=timed)
    assert found.optimizer.tolist() == ["x"] * 4 and (found.step_overhead == 0.25).all()
    apart = frame.assign(conditions=frame.optimizer)
    assert step_overheads(apart).empty and (step_overheads(apart, timed=timed).step_overhead == 0.25).all()
    rows = costs(speedups(report_losses(frame)), frame, timed=timed)
    assert (rows.query("optimizer == 'x'").step_overhead == 0.25).all()


def test_a_second_gradient_halves_the_speedup_per_gradient() -> None:
    frame = runs(gradients_per_step=1.0)
    frame.loc[frame.optimizer == "x", "gradients_per_step"] = 2.0
    x = table(frame).query("optimizer == 'x'")
    assert x.speedup_gradients.to_numpy() == pytest.approx(0.65, abs=1e-4)
    assert x.hi_gradients.to_numpy() == pytest.approx(x.hi.to_numpy() / 2)
    assert set(x.verdict_gradients) == {"slower"}
    assert table(runs()).speedup_gradients.isna().all()  # records that do not say


def test_the_median_run_sets_the_price() -> None:
    frame = runs()
    frame.loc[(frame.optimizer == "x") & (frame.seed == 2), "train_seconds"] *= 100  # a machine that was busy
    assert (table(frame).query("optimizer == 'x'").seconds_per_token == 2.0).all()


def test_what_was_not_measured_is_missing_not_zero() -> None:
    rows = table(runs(machine="", train_seconds=0.0, peak_memory_bytes=0, model_flops=0.0, optimizer_flops=0.0))
    assert (
        rows[["speedup_seconds", "speedup_flops", "peak_memory_bytes", "flops_per_token"]].isna().all(axis=None)
    )
    assert rows.speedup.notna().all()


def test_diverged_and_failed_runs_stay_in_the_losses() -> None:
    frame = runs()
    frame["val_loss"] = frame.val_loss.astype(object)
    frame.loc[0, ["status", "reason", "val_loss"]] = ["diverged", "loss exploded at step 7", None]
    frame.loc[1, ["status", "reason", "val_loss"]] = ["failed", "out of memory", None]
    losses = report_losses(frame)
    assert len(losses) == len(frame)
    assert np.isposinf(losses.val_loss[0]) and np.isnan(losses.val_loss[1])
    assert losses.reason[0] == "loss exploded at step 7"
    assert np.isfinite(losses.val_loss[2:]).all()


def test_only_report_runs_of_the_sweep_count() -> None:
    frame = pd.concat([runs(), runs(use="tuning", val_loss=1.0)], ignore_index=True)
    assert report_losses(frame).val_loss.min() > 3
    some = report_losses(frame, trial_ids={"x1.00", "adamw1.00"})
    assert some.trial_id.tolist() == ["adamw1.00", "x1.00"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("corpus", "other"),
        ("backend", "torch"),
        ("precision", "bfloat16"),
        ("experiment", 1),
        ("eval_split", "validation"),
    ],
)
def test_runs_of_different_experiments_are_not_mixed(column: str, value: object) -> None:
    both = pd.concat([runs(), runs(**{column: value})], ignore_index=True)
    with pytest.raises(ValueError, match=f"differ in {column} "):
        report_losses(both)


def test_two_runs_of_one_seed_are_refused() -> None:
    assert len(report_losses(pd.concat([runs(), runs().iloc[:5]]))) == len(
        runs()
    )  # the same runs are no others
    again = runs(trial_id="again").iloc[:1]
    with pytest.raises(ValueError, match=r"adamw on s-1x has two report runs of seed 0.*trial_ids"):
        report_losses(pd.concat([runs(), again]))


def test_a_sweep_that_has_reported_nothing_costs_nothing():
    speedups = pd.DataFrame(columns=["optimizer", "scale", "chinchilla_ratio", "speedup", "lo", "hi"])
    runs = pd.DataFrame(columns=["use", "status", "machine", "optimizer", "scale", "chinchilla_ratio"])
    assert costs(speedups, runs).empty
