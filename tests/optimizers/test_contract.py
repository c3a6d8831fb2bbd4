"""Every optimizer in the registry passes the whole conformance kit, and learns alike in both frameworks.

What trains a model is slow for those beyond the group "study" and its ablations, so that the registry can grow:
their rules are checked on the toy, and `pytest -m slow` does the rest.
"""

from collections.abc import Callable

import pytest

import optimizers
from benchmark.kit import cases, conformance
from benchmark.train import trainer_torch
from optimizers.user import files
from tools import parity

TRAINS = ("trains and resumes", "overfits one batch", "runs are their seed")


def marks(name: str, label: str = TRAINS[0]) -> list[pytest.MarkDecorator]:
    """Slow is what trains a model with an optimizer of another group."""
    return [pytest.mark.slow] if optimizers.get(name).group != "study" and label.endswith(TRAINS) else []


CASES = [
    pytest.param(check, id=f"{name}-{label}", marks=marks(name, label))
    for name in optimizers.names()
    for label, check in conformance.checks(optimizers.get(name))
]


@pytest.mark.parametrize("check", CASES)
def test_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", optimizers.names())
def test_is_written_in_both_frameworks(name: str) -> None:
    assert files.backends(optimizers.get(name)) == ("jax", "torch")


@pytest.mark.parametrize("name", optimizers.names())
def test_defaults_are_in_the_search_space(name: str) -> None:
    """What a reader sees as the default is where a search on the micro ladder starts, and lies on its grid."""
    entry = optimizers.get(name)
    default = entry()
    default.validate()
    for hyperparameter, axis in entry.space["micro"].items():
        assert getattr(default, hyperparameter) == axis.start
        assert axis.start in axis.grid


@pytest.mark.parametrize("name", ["muon", "scion", "sophia"])
def test_updates_are_not_kept_between_steps(name: str) -> None:
    """Outside `state`, which is counted, a torch build holds no tensors while the next gradient is computed."""
    optimizer = optimizers.get(name)()
    run = trainer_torch.TrainingRun(
        cases.one_batch_trial(optimizer, "torch", 0, 1), optimizer, cases.one_batch()
    )
    assert run.train()
    kept = {
        key: len(value) for key, value in vars(run.rule).items() if key in ("directions", "steps", "estimates")
    }
    assert len(kept) == 1 and set(kept.values()) == {0}


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in optimizers.names()])
def test_loss_curves_are_equal(name: str) -> None:
    """From the same weights over the same text with the same noise, at the smallest scale, whose programs are
    compiled by now; tools/parity.py measures 27k on real text.

    Where a last bit of the initial weights moves torch's own curve by more than the tolerance, jax may differ
    by as much: SOAP divides by the size of the gradient along eigenvectors that float32 does not determine.
    """
    gap = parity.curve_gap(name, "13k", cases.one_batch(), sequences=4)
    assert gap.twins <= parity.CURVE_TOLERANCE or gap.note.startswith("rounding"), gap


def test_a_word_stands_for_a_group_and_the_study_s_eleven_enter_where_nobody_is_named() -> None:
    groups = optimizers.groups()
    assert groups["study"] == optimizers.entrants() and len(groups["study"]) == 11
    assert set(groups["all"]) == {name for name in optimizers.names() if not optimizers.get(name).ablation_of}
    others = [name for word, found in groups.items() if word not in ("study", "all") for name in found]
    assert sorted([*groups["study"], *others]) == groups["all"]
    assert optimizers.expand(["muon", "study"])[0] == "muon" and len(optimizers.expand(["muon", "study"])) == 11
    assert optimizers.expand(["adamw~2", "adamw+wsd", "nobody"]) == ["adamw~2", "adamw+wsd", "nobody"]
