"""Every optimizer in the registry passes every check of the conformance kit, in both frameworks."""

from collections.abc import Callable

import pytest

import optimizers
from benchmark import conformance
from optimizers import _user

CASES = [
    pytest.param(check, id=f"{name}-{label}")
    for name in optimizers.names()
    for label, check in conformance.checks(optimizers.get(name))
]


@pytest.mark.parametrize("check", CASES)
def test_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", optimizers.names())
def test_is_written_in_both_frameworks(name: str) -> None:
    assert _user.backends(optimizers.get(name)) == ("jax", "torch")


@pytest.mark.parametrize("name", optimizers.names())
def test_defaults_are_in_the_search_space(name: str) -> None:
    """What a reader sees as the default is where a search on the micro ladder starts, and lies on its grid."""
    entry = optimizers.get(name)
    default = entry()
    default.validate()
    for hyperparameter, axis in entry.space["micro"].items():
        assert getattr(default, hyperparameter) == axis.start
        assert axis.start in axis.grid
