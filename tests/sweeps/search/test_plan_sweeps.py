"""The sweeps that come with the project, planned with the optimizers that come with it."""

import dataclasses

import pytest

import optimizers
import sweeps
from benchmark.scales import SCALES
from optimizers.base import Info
from sweeps.search.cells import cells_of
from sweeps.search.contestant import RECIPE_SPACE, Contestant
from sweeps.search.contestants import contestants
from sweeps.search.plan import Memory, plan


def full(name):
    sweep = sweeps.get(name)
    return dataclasses.replace(sweep, contestants=contestants(sweep.optimizers or optimizers.entrants()))


@pytest.mark.parametrize("name", sweeps.names())
def test_every_first_trial_is_one_that_its_optimizer_accepts(name):
    now = plan(full(name), {})
    assert now.ready
    for trial in now.ready:
        cls = optimizers.get(trial.optimizer)
        own = {f.name: trial.hyperparameters[f.name] for f in dataclasses.fields(cls)}
        cls(**own).validate()
        assert trial.steps >= 50


@pytest.mark.parametrize("name", sweeps.names())
def test_the_baseline_is_run_at_half_the_smallest_and_twice_the_largest_ratio(name):
    """For the curve that turns losses into tokens; what carried settings lose is said in nats."""
    ratios = {}
    for stage in () if sweeps.get(name).policies else sweeps.get(name).stages:
        alone = stage.phase == "baseline"
        ratios.setdefault(stage.task.scale.name, {}).setdefault(alone, []).append(stage.task.chinchilla_ratio)
    for scale, kinds in ratios.items():
        assert sorted(kinds[True]) == [min(kinds[False]) / 2, max(kinds[False]) * 2], scale


def test_quick_gives_every_search_the_same_trials_and_seeds_and_the_baseline_more_searches():
    sweep = full("quick")
    now = plan(sweep, {})
    searches, look = sweep.protocol.searches, sweep.protocol.looks[0]
    assert sweep.protocol.baseline_times > 1
    for stage in sweep.stages:
        left = {}
        for key, count in now.left.items():
            name, task = key.partition("#")[0].split("/")
            if task == stage.task.name:
                left.setdefault(name, []).append(count)
        assert set(left) == ({"adamw"} if stage.phase == "baseline" else {c.name for c in sweep.contestants})
        for name, counts in left.items():
            assert set(counts) == {(stage.budget + look) // searches}
            more = name == sweep.baseline and stage.phase != "baseline"  # its curve alone needs no more
            assert len(counts) == searches * (sweep.protocol.baseline_times if more else 1)


def test_the_baseline_s_further_searches_report_on_the_seeds_of_everybody():
    """A seed that the baseline alone ran would tell nothing of a difference."""
    sweep = full("quick")
    shares = {}
    for cell in cells_of(sweep):
        if cell.contestant.name in (sweep.baseline, "muon") and cell.stage.phase != "baseline":
            shares.setdefault((cell.contestant.name, cell.stage.task.name), []).append(
                tuple(cell.share(range(8)))
            )
    for (name, _), own in shares.items():
        times = sweep.protocol.baseline_times if name == sweep.baseline else 1
        assert sorted(seed for share in own for seed in share) == sorted(list(range(8)) * times)


def test_the_paper_sweep_has_the_study_s_tasks():
    tasks = {s.task.name for s in sweeps.get("paper").stages if s.phase != "baseline"}
    ratios = ("1x", "2x", "4x", "8x")
    assert tasks == {f"{scale}-{ratio}" for scale in ("130m", "300m", "520m", "1.2b") for ratio in ratios}


@pytest.mark.parametrize("ladder", ["micro", "gpu", "paper"])
def test_recipe_grids_are_the_same_for_all_and_hold_every_start(ladder):
    scale = next(s for s in SCALES.values() if s.ladder == ladder)
    entered = contestants(optimizers.names())
    for name in (*RECIPE_SPACE["micro"], "batch_size"):
        spaces = [c.axes(scale) for c in entered if name not in c.recipe_fixed]
        assert len({space[name].grid for space in spaces}) == 1
        assert all(space[name].start in space[name].grid for space in spaces)


def test_a_missing_ladder_is_one_clear_line():
    bare = Contestant("odd", "odd@1", Info("", "", "", "scalar", "", ("peak_lr",)), {}, {}, {})
    with pytest.raises(ValueError, match="odd has no search space for the micro ladder"):
        bare.axes(SCALES["27k"])


def test_planning_again_after_one_more_record_takes_milliseconds(small, finish, valley):
    """Not a stopwatch: counts the searches that are replayed, which is what takes time."""
    memory = Memory()
    _, known = finish(small, valley)
    plan(small, known, memory)
    before = {name: result for name, (_, result) in memory.solved.items()}
    last = plan(small, known, memory).solved["adamw/27k-4x"].asked[-1].trial_id
    plan(small, {k: v for k, v in known.items() if k != last}, memory)
    replayed = [name for name, (_, result) in memory.solved.items() if result is not before[name]]
    assert replayed == ["adamw/27k-4x"]
