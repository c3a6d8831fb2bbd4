"""jax and torch, from the same weights over the same text with the same noise, learn the same."""

import pytest

import optimizers
from benchmark import conformance_cases as cases
from benchmark import parity


@pytest.mark.parametrize("name", optimizers.names())
def test_loss_curves_are_equal(name: str) -> None:
    """The smallest scale, whose programs test_contract.py shares; parity.py measures 27k on real text."""
    assert parity.curve_deviation(name, "13k", cases.one_batch(), sequences=4) < parity.CURVE_TOLERANCE
