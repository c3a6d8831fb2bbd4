"""Every optimizer in the registry passes the whole conformance kit, and learns alike in both frameworks.

Of those outside the study's group, what compiles the trainer's program or takes many steps is run by
`pytest -m slow`; here that program is traced, and their own tests compare the two builds with an oracle.
"""

from collections.abc import Callable

import jax
import numpy as np
import pytest

import optimizers
from benchmark import scales
from benchmark.kit import cases, conformance
from benchmark.train import parameters, programs_jax, trainer_jax, trainer_torch
from benchmark.train.schedule import CHUNK
from optimizers.user import files
from tools import parity

OUTSIDE = [name for name in optimizers.names() if optimizers.get(name).group != "study"]
LONG = (
    "jax: trains and resumes",
    "jax: overfits one batch",
    "jax: runs are their seed",
    "jax: pack equals single runs",
    "torch: overfits one batch",
)


def marks(name: str, label: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if name in OUTSIDE and label in LONG else []


CASES = [
    pytest.param(check, id=f"{name}-{label}", marks=marks(name, label))
    for name in optimizers.names()
    for label, check in conformance.checks(optimizers.get(name))
]
CURVES = [pytest.param(name, marks=marks(name, LONG[0])) for name in optimizers.names()]


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


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_trainer_s_program_takes_its_state_in_float32(name: str) -> None:
    """Traced, not compiled: a state whose types or shapes change from step to step is refused by the loop."""
    optimizer, scale = optimizers.get(name)(), scales.get("13k")
    blank = optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0))
    functions = programs_jax.programs(blank, scale, "float32", 1)._functions
    setting = trainer_jax._setting(cases.one_batch_trial(optimizer, "jax", 0, 8), optimizer)
    values = parameters.initial(scale, 0)
    state = jax.eval_shape(functions["init"], values, setting)
    chunk = np.zeros((CHUNK, scale.batch_size, scale.seq_len + 1), np.uint16)
    carry, losses = jax.eval_shape(
        functions["advance_chunk"], (values, state), setting, chunk, np.int32(0), np.int32(1)
    )
    assert losses.shape == (CHUNK,) and jax.tree.map(np.shape, carry[0]) == jax.tree.map(np.shape, values)
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} <= {np.dtype("float32"), np.dtype("int32")}


@pytest.mark.parametrize("name", CURVES)
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
