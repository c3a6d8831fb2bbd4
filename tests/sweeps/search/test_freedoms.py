"""Equal freedoms and equal openings: who may vary what, what a small search tunes, where it starts."""

import dataclasses
import json

import pytest

import optimizers
from benchmark import scales
from benchmark.published import fantastic
from benchmark.spec import RECIPE
from optimizers.base import RATIOS
from sweeps.run import wanted
from sweeps.run.options import parser
from sweeps.search.contestants import contestants
from sweeps.search.plan import plan
from sweeps.search.sweep import Sweep, stage

LADDERS = ("27k", "2m", "130m")
EVERYONE = optimizers.groups()["all"]
ABLATIONS = sorted(set(optimizers.names()) - set(EVERYONE))
STUDIED = sorted(set(optimizers.entrants()) & set(fantastic.table("ground_states")["optimizer"]))
ADAM_VARIANTS = ("adamw", "nadamw", "cautious", "adam_mini", "mars")
USER = """
space = {"decay": (0.0, 0.1), "peak_lr": (0.1, 0.2, 0.4), "beta": (0.8, 0.9)}
def jax_optimizer(learning_rate, decay, beta):
    import optax
    return optax.chain(optax.add_decayed_weights(decay), optax.sgd(learning_rate, momentum=beta))
"""


def of_file(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return contestants((), [path])[0]


def test_a_sweep_of_nobody_in_particular_leaves_ablations_out():
    assert {"adamw_one_rate", "adamw_study"} <= set(ABLATIONS)
    args = parser().parse_args(["quick", "--dry-run"])
    names = [c.name for c in wanted.named_sweep(args).contestants]
    assert "adamw" in names and not set(names) & set(ABLATIONS)


@pytest.mark.parametrize("scale", LADDERS)
@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_differs_from_whom_it_restricts_in_what_it_fixes(name, scale):
    cls = optimizers.get(name)
    whole, part = (c for c in contestants([cls.ablation_of, name]))
    axes, at = part.axes(scales.get(scale)), part.start(scales.get(scale))
    fixed = part.recipe_fixed
    assert fixed and set(fixed) <= set(RECIPE) and not set(fixed) & set(axes)
    assert axes == {n: axis for n, axis in whole.axes(scales.get(scale)).items() if n not in fixed}
    assert at == {**whole.start(scales.get(scale)), **fixed}
    assert part.essential == tuple(n for n in whole.essential if n not in fixed)


def test_every_trial_of_an_ablation_has_the_fixed_values(finish, valley):
    sweep = Sweep("part", "", (stage("27k-1x", "I", 20),), contestants=contestants(["adamw", "adamw_study"]))
    done, _ = finish(sweep, valley)
    searches = [done.solved[f"adamw_study/27k-1x{search}"] for search in ("", "#1")]
    tried = [asked.trial.hyperparameters for solved in searches for asked in solved.asked]
    assert len(tried) == 20
    assert {(h["embedding_lr_ratio"], h["head_lr_ratio"], h["decay_kind"]) for h in tried} == {
        (1.0, 1.0, "cosine")
    }
    assert any(a.trial.hyperparameters["head_lr_ratio"] != 1.0 for a in done.solved["adamw/27k-1x"].asked)


@pytest.mark.parametrize("scale", LADDERS)
@pytest.mark.parametrize("name", EVERYONE)
def test_even_the_smallest_search_tunes_five_hyperparameters_of_everyone(name, scale):
    (contestant,) = contestants([name])
    assert contestant.essential[0] == "peak_lr" and len(set(contestant.essential)) == 5
    assert {"embedding_lr_ratio", "head_lr_ratio"} <= set(contestant.essential)
    assert set(contestant.essential) <= set(contestant.axes(scales.get(scale)))
    assert set(contestant.defaults).isdisjoint(RECIPE)


@pytest.mark.parametrize("name", STUDIED)
def test_every_start_on_the_micro_ladder_is_the_study_s_best_by_one_rule(name):
    states = fantastic.table("ground_states").set_index(["optimizer", "scale", "chinchilla_ratio"])[
        "hyperparameters"
    ]
    published, adam = (json.loads(states[(n, "130m", 1)]) for n in (name, "adamw"))
    compared = 0
    for hyperparameter, axis in optimizers.get(name).space["micro"].items():
        if hyperparameter == "peak_lr":
            assert axis.start == pytest.approx(4 * published["peak_lr"])
            assert [value / axis.start for value in axis.grid] == pytest.approx([1 / 8, 1 / 4, 1 / 2, 1, 2, 4])
        elif name in ADAM_VARIANTS and hyperparameter in adam:
            assert axis.start == adam[hyperparameter]
        elif hyperparameter in published:
            assert axis.start == published[hyperparameter]
        compared += hyperparameter in published
    assert compared >= 3


def test_grids_of_one_kind_of_hyperparameter_are_as_wide_for_everyone():
    spaces = [optimizers.get(name).space["micro"] for name in EVERYONE]
    decays = [s["weight_decay" if "weight_decay" in s else "head_decay"].grid for s in spaces]
    assert all([v / grid[2] for v in grid] == pytest.approx([0, 0.5, 1, 2, 4]) for grid in decays)
    assert len({s["momentum" if "momentum" in s else "beta1"].grid for s in spaces}) == 1
    assert len({s["beta2"].grid for s in spaces if "beta2" in s}) == 1
    for axes in spaces:
        rates, start = axes["peak_lr"].grid, axes["peak_lr"].start
        assert [rate / start for rate in rates] == pytest.approx([1 / 8, 1 / 4, 1 / 2, 1, 2, 4])


def test_whoever_finds_its_rate_has_a_factor_that_starts_at_1():
    found = [name for name in EVERYONE if optimizers.get(name).finds_rate]
    assert found == optimizers.groups()["lr-free"]
    assert {
        optimizers.get(name).space[ladder]["peak_lr"].start for name in found for ladder in ("micro", "paper")
    } == {1.0}


def test_a_file_that_calls_nothing_essential_has_its_own_tuned_and_the_two_ratios(tmp_path):
    mine = of_file(tmp_path, USER)
    assert mine.essential == ("peak_lr", "decay", "beta", "embedding_lr_ratio", "head_lr_ratio")
    stages = (stage("27k-1x", "I", 60, tune="essential"),)
    sweep = Sweep("small", "", stages, contestants=(*contestants(["adamw"]), mine))
    opening = plan(sweep, {}).solved["mine/27k-1x"].opening
    assert set(opening.axes) == set(mine.essential)
    everything = plan(dataclasses.replace(sweep, stages=(stage("27k-1x", "I", 60),)), {})
    assert set(everything.solved["mine/27k-1x"].opening.axes) == set(mine.axes(scales.get("27k")))


@pytest.mark.parametrize(
    ("where", "own"),
    [
        ("optax:adamw", ("peak_lr", "weight_decay", "b1")),
        ("optax:lion", ("peak_lr", "weight_decay", "b1")),
        ("optax:sgd?momentum=0.8,0.9", ("peak_lr", "momentum")),
        ("optax:adamw?b2=0.9,0.95", ("peak_lr", "weight_decay", "b1", "b2")),
        ("torch.optim:AdamW", ("peak_lr", "weight_decay", "beta1")),
        ("torch.optim:RMSprop", ("peak_lr", "weight_decay", "momentum")),
    ],
)
def test_what_is_installed_has_as_few_tuned_as_the_registry_and_what_the_user_gives_a_grid(where, own):
    mine = contestants((), [where], "torch" if where.startswith("torch") else "jax")[0]
    assert set(mine.essential) == {*own, "embedding_lr_ratio", "head_lr_ratio"}
    assert mine.essential[0] == "peak_lr"
    assert set(mine.essential) <= set(mine.axes(scales.get("27k")))


def test_a_rule_with_an_average_of_its_own_is_stepped_as_it_is():
    """Scaled after its step, its parameters would no longer fit the points that the average is of."""
    mine = contestants((), ["optax.contrib:schedule_free_adamw"])[0]
    assert mine.essential == ("peak_lr", "weight_decay", "b1")
    at, axes = mine.start(scales.get("27k")), mine.axes(scales.get("27k"))
    assert {name: at[name] for name in RATIOS} == dict.fromkeys(RATIOS, 1.0) and not set(RATIOS) & set(axes)
    assert at["decay_fraction"] == at["final_lr_ratio"] == 1.0


def test_a_file_s_essential_hyperparameters_may_be_the_recipe_s(tmp_path):
    mine = of_file(tmp_path, USER + 'essential = ("peak_lr", "head_lr_ratio")')
    assert mine.essential == ("peak_lr", "head_lr_ratio")


def test_a_file_starts_where_it_says(tmp_path):
    mine = of_file(tmp_path, USER + 'starts = {"peak_lr": 0.4}')
    start = mine.start(scales.get("27k"))
    assert (start["peak_lr"], start["decay"]) == (0.4, 0.0)
    assert mine.defaults["peak_lr"] == 0.4
    assert mine.axes(scales.get("27k"))["peak_lr"].spacing == "log"


def test_an_essential_hyperparameter_without_an_axis_is_one_clear_line():
    (adamw,) = contestants(["adamw"])
    fixed = dataclasses.replace(adamw, recipe_fixed={"head_lr_ratio": 1.0})
    assert fixed.essential == tuple(n for n in adamw.essential if n != "head_lr_ratio")
    odd = dataclasses.replace(adamw, info=dataclasses.replace(adamw.info, essential=("peak_lr", "momentum")))
    with pytest.raises(ValueError, match="adamw calls momentum essential but gives it no axis"):
        odd.axes(scales.get("27k"))
