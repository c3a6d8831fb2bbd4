"""muP by role against the table (arXiv 2203.03466, Table 3, Adam), and what it makes of settings and of initial
values."""

import dataclasses

import numpy as np
import pytest

import optimizers
from benchmark import scales, spec
from benchmark.recorded import record_from_json
from benchmark.spec import Outcome
from benchmark.train import parameters, runner
from sweeps.search import width
from sweeps.search.contestants import contestants
from sweeps.search.plan import plan
from sweeps.search.sweep import Protocol, Sweep, stage

TABLE = {  # role -> exponents of the width in the rate and in the initial standard deviation
    "hidden": (-1, -0.5),
    "head": (-1, -1),
    "embedding": (0, 0),
    "norm": (0, 0),
}
SPECTRAL = dict.fromkeys(("muon", "muonh", "normuon", "soap_muon"), ("hidden",)) | {"scion": ("hidden", "head")}


@pytest.mark.parametrize("role", TABLE)
@pytest.mark.parametrize("rule", width.DECAY)
@pytest.mark.parametrize("ratio", [1.5, 2.0, 4.0])
def test_every_role_follows_the_table(rule, role, ratio):
    found = width.factors(rule, role, ratio)
    rate, init = TABLE[role]
    assert found.rate == pytest.approx(ratio**rate)
    assert found.init == pytest.approx(ratio**init)
    decay = {"mup": 0, "mup-sqrt": 0.5, "mup-independent": 1}[rule] if role in ("hidden", "head") else 0
    assert found.decay == pytest.approx(ratio**decay)
    assert width.factors(rule, role, ratio, ("hidden", "head")) == width.Factors(1.0, 1.0, found.init)


@pytest.mark.parametrize("name", optimizers.names())
@pytest.mark.parametrize("rule", width.DECAY)
def test_a_setting_gives_each_role_its_rate(name, rule):
    """The rate of a role is `peak_lr` times the role's ratio, that of hidden matrices `peak_lr` itself."""
    (contestant,) = contestants([name])
    assert contestant.width_free == SPECTRAL.get(name, ())
    by = width.setting(rule, 2.0, contestant.width_free)
    rates = {"hidden": by["peak_lr"]}
    rates |= {role: by["peak_lr"] * by[f"{role}_lr_ratio"] for role in ("head", "embedding")}
    for role, rate in rates.items():
        assert rate == pytest.approx(1.0 if role in contestant.width_free else 2.0 ** TABLE[role][0]), role
    if rule == "mup-independent":
        assert by["peak_lr"] * by["weight_decay"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["100k", "400k", "60m", "300m", "1.2b"])
def test_initial_values_at_the_smallest_width_s_size_follow_the_table(name):
    """Standard deviation at a scale over the smallest of its ladder, with muP's ratios."""
    scale = scales.get(name)
    first = next(s for s in scales.SCALES.values() if s.ladder == scale.ladder and s.name != "13k")
    ratio = scale.width / first.width
    ratios = width.init_ratios(scale, ratio)
    usual = {"fan_in": (scale.width / first.width) ** -0.5, "normal_0.02": 1.0}[scale.init]
    for role in ("hidden", "head", "embedding"):
        assert ratios.get(role, 1.0) * usual == pytest.approx(ratio ** TABLE[role][1], rel=1e-5)
    assert width.init_ratios(first, 1.0) == {}


def test_the_initial_values_of_a_trial_are_the_usual_ones_times_its_ratios():
    scale = scales.get("100k")
    usual = parameters.initial(scale, 3)
    found = parameters.initial(scale, 3, {"embedding": 2.0**0.5, "head": 2.0**-0.5})
    for name, values in usual.items():
        factor = {"embed": 2.0**0.5, "head": 2.0**-0.5}.get(name, 1.0)
        np.testing.assert_allclose(found[name], factor * values, rtol=1e-6)
    assert all(np.array_equal(v, usual[k]) for k, v in parameters.initial(scale, 3, {}).items())


def test_ratios_are_part_of_what_a_trial_is_and_their_absence_of_none():
    sweep = Sweep("s", "", (stage("27k-0.5x", "I", 2),), Protocol(), contestants=contestants(["adamw"]))
    usual = plan(sweep, {}).ready[0]
    assert "init_ratios" not in usual.stored()
    other = dataclasses.replace(usual, init_ratios={"head": 0.5})
    assert other.trial_id != usual.trial_id
    record = runner.record(other, optimizers.get("adamw"), Outcome("finished", val_loss=3.0))
    assert record_from_json(record.to_json()).trial == other
    bad = dataclasses.replace(record, trial=dataclasses.replace(usual, init_ratios={"tail": 0.5}))
    with pytest.raises(ValueError, match="'tail' is no role; roles are hidden"):
        record_from_json(bad.to_json())
    assert spec.EXPERIMENT == 2
