"""The two-way residual model, against statsmodels and by hand."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis.residuals import NOISE_COLUMNS, check_losses, fit_scale, noise
from tools.simulate.replications import MICRO, replication

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # statsmodels uses what pandas has deprecated
    import statsmodels.formula.api as smf


def losses(seeds: int = 3, start: int = 0) -> pd.DataFrame:
    return replication(MICRO, seeds, np.random.default_rng(start))


def ols(frame: pd.DataFrame, ratio: float):
    task = frame[(frame.chinchilla_ratio == ratio) & np.isfinite(frame.val_loss)]
    return smf.ols("val_loss ~ 0 + C(optimizer) + C(seed, Sum)", data=task).fit()


@pytest.mark.parametrize("missing", [0, 1, 4])
def test_residual_means_and_covariance_are_those_of_ordinary_least_squares(missing: int) -> None:
    frame = check_losses(losses().drop(index=[5, 40, 60, 65][:missing]))
    model = fit_scale(frame)
    fits = {ratio: ols(frame, ratio) for ratio in (1.0, 2.0, 4.0, 8.0)}
    df = sum(fit.df_resid for fit in fits.values())
    assert model.components.pooled == pytest.approx(sum(fit.ssr for fit in fits.values()) / df, rel=1e-6)
    assert model.df == pytest.approx(df)
    for ratio, fit in fits.items():
        here = model.ratio == ratio
        names = [f"C(optimizer)[{name}]" for name in model.optimizer[here]]
        np.testing.assert_allclose(model.mean[here], fit.params[names], rtol=0, atol=1e-12)
        covariance = model.weights[np.ix_(here, here)][:, :, :-1].sum(axis=-1)  # of equal residual variances
        np.testing.assert_allclose(covariance, fit.normalized_cov_params.loc[names, names], atol=1e-9)


def test_df_is_optimizers_less_one_times_seeds_less_one_per_task() -> None:
    assert fit_scale(check_losses(losses(5))).df == pytest.approx(4 * (6 - 1) * (5 - 1))


def test_mean_is_the_plain_mean_where_no_seed_is_missing() -> None:
    frame = losses()
    model = fit_scale(check_losses(frame))
    plain = frame.groupby(["chinchilla_ratio", "optimizer"]).val_loss.agg(["mean", "std"])
    np.testing.assert_allclose(model.mean, plain["mean"], rtol=1e-13)
    np.testing.assert_allclose(model.sd, plain["std"], rtol=1e-9)
    assert not model.adjusted.any()


def test_a_missing_seed_does_not_move_a_mean_by_the_luck_of_that_seed() -> None:
    frame = losses()
    frame.loc[frame.seed == 0, "val_loss"] += 1.0  # an unlucky seed for all
    without = frame[~((frame.optimizer == "e") & (frame.seed == 0) & (frame.chinchilla_ratio == 1.0))]
    whole, part = fit_scale(check_losses(frame)), fit_scale(check_losses(without))
    cell = (whole.optimizer == "e") & (whole.ratio == 1.0)
    assert part.adjusted[cell].all() and part.n[cell] == 2
    assert abs(part.mean[cell] - whole.mean[cell]) < 0.02


def test_seed_by_ratio_mean_square_is_that_of_the_three_way_table() -> None:
    frame = losses(4)
    model = fit_scale(check_losses(frame))
    table = frame.groupby(["chinchilla_ratio", "seed"]).val_loss.mean().unstack()
    residual = table - table.mean(axis=0) - table.mean(axis=1).to_numpy()[:, None] + table.to_numpy().mean()
    square = 6 * (residual.to_numpy() ** 2).sum() / (3 * 3)
    assert model.shared.c_ms == pytest.approx(square, rel=1e-9)
    assert (model.shared.c_df, model.shared.c_size) == (9, pytest.approx(6))


def test_variances_are_recovered_on_average() -> None:
    models = [fit_scale(check_losses(losses(5, start))) for start in range(60)]
    residual = np.mean([m.residual_sd**2 for m in models])
    own = np.mean([(m.shared.c_ms - m.residual_sd**2) / m.shared.c_size for m in models])
    # 60 estimates on 80 and 12 degrees of freedom: standard errors of about 2 % and 6 %
    assert residual == pytest.approx(MICRO.residual_sd**2, rel=0.08)
    assert own == pytest.approx(MICRO.seed_sd**2, rel=0.25)


def test_drawn_differences_within_a_task_are_student_t() -> None:
    """Where noise is the same for all, as a stated one is; else a draw has one scale for all of its cells."""
    model = fit_scale(check_losses(losses(1)), noise_sd=0.01)
    drawn = model.draw(100_000, np.random.default_rng(0))
    gap = drawn[:, 1] - drawn[:, 0]
    half = 0.01 * np.sqrt(2) * stats.norm.ppf(0.975)
    assert np.quantile(gap, [0.025, 0.975]) == pytest.approx(
        model.mean[1] - model.mean[0] + np.array([-half, half]), abs=0.03 * half
    )
    model = fit_scale(check_losses(losses()))
    variances = model.components.values[:2]
    assert model.differences()[0][0, 1] == pytest.approx(np.sqrt(variances.sum() / 3))


def test_what_a_seed_does_to_every_ratio_is_not_drawn_but_what_it_does_to_one_is() -> None:
    def spread(frame: pd.DataFrame) -> float:
        model = fit_scale(check_losses(frame))
        drawn = model.draw(4000, np.random.default_rng(0))
        first = model.ratio[model.finite] == 1.0
        return (drawn[:, first].mean(axis=1) - drawn[:, ~first].mean(axis=1)).std()

    frame = losses()
    shared = frame.assign(val_loss=frame.val_loss + 0.1 * frame.seed)
    own = frame.assign(val_loss=frame.val_loss + 0.1 * frame.seed * (frame.chinchilla_ratio == 1.0))
    assert spread(shared) == pytest.approx(spread(frame), rel=1e-6)
    assert spread(own) > 4 * spread(frame)


def test_other_seeds_at_other_ratios_leave_the_shared_part_in() -> None:
    frame = losses(4)
    frame["val_loss"] += 0.1 * frame.seed
    part = frame[(frame.chinchilla_ratio != 1.0) | (frame.seed == 0)]
    model = fit_scale(check_losses(part))
    drawn = model.draw(4000, np.random.default_rng(0))
    first = model.ratio[model.finite] == 1.0
    between = drawn[:, first].mean(axis=1) - drawn[:, ~first].mean(axis=1)
    assert between.std() > 0.1  # one seed of a spread of .13 against the mean of four


def test_optimizers_with_seeds_of_their_own_share_nothing() -> None:
    frame = losses()
    frame["seed"] += 10 * frame.groupby("optimizer").ngroup()
    model = fit_scale(check_losses(frame))
    within = frame.groupby(["optimizer", "chinchilla_ratio"]).val_loss.var(ddof=1)
    assert model.df == pytest.approx(4 * 6 * 2)
    assert model.residual_sd**2 == pytest.approx(within.mean(), rel=1e-9)


def test_one_seed_takes_the_noise_that_is_given_and_two_do_not() -> None:
    one = check_losses(losses(1))
    assert np.isnan(fit_scale(one).residual_sd)
    assert fit_scale(one, noise_sd=0.01).residual_sd == 0.01
    two = check_losses(losses(2))
    assert fit_scale(two, noise_sd=0.01).residual_sd == fit_scale(two).residual_sd


# --- searches, and the noise of each optimizer ------------------------------------------------------------


def test_two_searches_are_the_analysis_of_variance_of_their_differences() -> None:
    design = replace(MICRO, searches=2, choosing_sd=0.05, ratios=(1.0,))
    frame = replication(design, 6, np.random.default_rng(2))
    model = fit_scale(check_losses(frame))
    table = frame.pivot(index=["search", "seed"], columns="optimizer", values="val_loss")
    by_search = table.groupby("search").mean()
    centred = by_search.sub(by_search.mean(axis=1), axis=0)
    between = ((centred - centred.mean()) ** 2).to_numpy().sum() / 5
    away = table - table.groupby("search").transform("mean")
    within = (away.sub(away.mean(axis=1), axis=0) ** 2).to_numpy().sum() / (2 * 5 * 2)
    assert model.components.pooled == pytest.approx(within, rel=1e-3)
    assert model.components.choosing_df == 5
    # beside unequal residuals the choosing is near the pooled analysis, not equal to it
    assert model.choosing_sd**2 == pytest.approx(between - within / 3, rel=0.1)
    assert (model.searches == 2).all() and (model.n == 6).all()


def test_a_mean_counts_every_search_the_same_and_seeds_cancel() -> None:
    rows = [("a", k, i, 3.0 + 0.1 * k + i) for k, i in ((0, 0), (0, 1), (1, 2))]
    rows += [("b", k, i, 3.5 + i) for k, i in ((0, 0), (0, 1), (1, 2))]
    frame = pd.DataFrame(rows, columns=["optimizer", "search", "seed", "val_loss"])
    model = fit_scale(check_losses(frame.assign(scale="s", chinchilla_ratio=1.0)))
    assert model.mean[1] - model.mean[0] == pytest.approx(0.5 - 0.05)
    assert model.mean[0] == pytest.approx(((3.0 + 4.0) / 2 + 5.1) / 2)


def test_searches_on_the_same_seeds_beside_single_ones_share_the_pooled_choosing() -> None:
    """As in micro-27k-1x: two optimizers searched three times, the others once, all on three seeds."""
    rng = np.random.default_rng(0)
    frame = losses(3).query("chinchilla_ratio == 1")
    again = [
        own.assign(search=k, val_loss=own.val_loss + rng.normal(0, 0.02, len(own)) + rng.normal(0, 0.2))
        for own in (frame[frame.optimizer == name] for name in ("adamw", "e"))
        for k in (1, 2)
    ]
    model = fit_scale(check_losses(pd.concat([frame, *again])))
    assert model.components.choosing_df == 4
    assert model.searches.tolist() == [1, 3, 1, 1, 1, 3]
    error, names = model.differences()[0], model.optimizer.tolist()
    single, searched = error[names.index("a"), names.index("b")], error[names.index("adamw"), names.index("e")]
    assert single == pytest.approx(np.sqrt(2) * model.choosing_sd, rel=0.1)
    assert searched == pytest.approx(np.sqrt(2 / 3) * model.choosing_sd, rel=0.1)


def test_a_run_that_two_searches_share_is_one_measurement() -> None:
    frame = losses()
    twice = pd.concat([frame, frame[frame.optimizer == "a"].assign(search=1)])
    one, both = fit_scale(check_losses(frame)), fit_scale(check_losses(twice))
    assert both.df == one.df and both.n.tolist() == one.n.tolist()


def test_a_loud_optimizer_is_told_from_the_others_and_noise_says_so() -> None:
    for start in range(4):
        table = noise(replication(replace(MICRO, residual_sds={"c": 0.1}), 6, np.random.default_rng(start)))
        assert list(table.columns) == NOISE_COLUMNS
        own = table.set_index("optimizer").residual_sd
        assert own["c"] > 0.06 and own.drop("c").max() < 0.05
        assert (table.heterogeneity_p < 0.001).all() and (table.choosing_df == 0).all()
    even = [noise(replication(MICRO, 6, np.random.default_rng(i))).heterogeneity_p[0] for i in range(30)]
    assert np.mean(np.array(even) < 0.2) <= 0.42  # of 30 fair tests more would be one in a hundred


def test_two_optimizers_share_the_variance_of_their_difference() -> None:
    frame = losses(6).query("optimizer in ['adamw', 'e']")
    model = fit_scale(check_losses(frame))
    wide = frame.pivot(index=["chinchilla_ratio", "seed"], columns="optimizer", values="val_loss")
    gap = (wide.e - wide.adamw).groupby("chinchilla_ratio").var(ddof=1).mean()
    assert model.components.values[0] == pytest.approx(gap / 2, rel=1e-6)
    error, df = (part[0, 1] for part in model.differences())
    assert (error, df) == (pytest.approx(np.sqrt(gap / 6), rel=1e-6), pytest.approx(20, rel=1e-6))


def test_standard_errors_are_right_on_average_where_noise_is_unequal() -> None:
    """Expected by hand: two searches of .012 and six runs of .03 and of .010, each."""
    names = dict.fromkeys(["adamw", "a", "b", "c"], 1.0)
    design = replace(MICRO, speedups=names, residual_sd=0.01, residual_sds={"a": 0.03}, ratios=(1.0,))
    design = replace(design, searches=2, choosing_sd=0.012)
    models = [fit_scale(check_losses(replication(design, 6, np.random.default_rng(i)))) for i in range(80)]
    truth = 2 * 0.012**2 / 2 + (0.03**2 + 0.01**2) / 6
    assert np.mean([m.differences()[0][0, 1] ** 2 for m in models]) == pytest.approx(truth, rel=0.25)


@pytest.mark.parametrize("sd", [-0.1, np.nan, np.inf])
def test_noise_that_is_no_standard_deviation_is_refused(sd: float) -> None:
    with pytest.raises(ValueError, match="noise_sd"):
        fit_scale(check_losses(losses(1)), sd)


def test_bad_frames_are_refused_with_the_reason() -> None:
    frame = losses()
    with pytest.raises(ValueError, match=r"lack the column.* seed"):
        check_losses(frame.drop(columns="seed"))
    with pytest.raises(ValueError, match="positive"):
        check_losses(frame.assign(chinchilla_ratio=0.0))
    with pytest.raises(ValueError, match="-inf"):
        check_losses(frame.assign(val_loss=-np.inf))
    with pytest.raises(ValueError, match=r"two different losses.*adamw at simulated 1x, seed 0"):
        check_losses(pd.concat([frame, frame.iloc[:1].assign(val_loss=9.0)]))


def test_the_input_is_left_alone() -> None:
    frame = losses().sample(frac=1, random_state=0)
    before = frame.copy()
    check_losses(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_equality_of_noise_is_not_judged_where_its_estimates_are_below_zero() -> None:
    from benchmark.analysis.components import _bartlett

    df = np.full(4, 5.0)
    assert np.isnan(_bartlett(np.array([1e-4, -3e-4, 1e-5, -1e-4]), df))
    assert 0 < _bartlett(np.array([1e-4, 3e-4, 1e-5, -1e-5]), df) < 1
