"""SOAP-Muon against pytorch_optimizer's SOAP, its steps orthogonalised here through their singular values."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import SOAP

from benchmark.kit import cases, drive_torch
from benchmark.kit.cases import Arrays
from optimizers.adamw import AdamW
from optimizers.base import describe
from optimizers.soap import Soap
from optimizers.soap_muon import SoapMuon

Fixture = Any
RULE = SoapMuon(
    peak_lr=0.02,
    weight_decay=0.3,
    beta1=0.9,
    beta2=0.95,
    shampoo_beta=0.9,
    ns_eps=1e-30,  # SOAP's directions have another size in the oracle: equal where it vanishes
    refresh_fraction=0.2,
)  # a refresh every 4 of 20 steps
# square, with full-rank first gradients: other eigenbases are not determined (see test_soap.py)
TOY = cases.problem(cases.toy_params("embed", "q", "k", "final_norm", "head"))
HIDDEN = [name for name, param in TOY.params.items() if param.role == "hidden"]


def orthogonalised(matrix: np.ndarray) -> np.ndarray:
    """Five Newton-Schulz steps, through the singular values that they move."""
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    sizes = sizes / max(np.sqrt(np.sum(sizes**2)), 1e-300)
    for _ in range(5):
        sizes = 3.4445 * sizes - 4.775 * sizes**3 + 2.0315 * sizes**5
    return (left * sizes) @ right


def expected(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """Gradients are given, so that the oracle's steps from zeros at a rate of 1 are its directions."""
    alone = {name: TOY.params[name] for name in HIDDEN}
    free = cases.problem(
        alone, start=cases.zeros(alone), grads={n: TOY.grads[n] for n in HIDDEN}, fall=0.0, loss_fn=None
    )
    options = {"betas": (0.9, 0.95), "shampoo_beta": 0.9, "eps": RULE.eps, "weight_decay": 0.0}
    monkeypatch.setattr(torch, "float32", torch.float64)  # the oracle rounds before every QR
    points = drive_torch.oracle_path(
        lambda values: [SOAP(list(values.values()), lr=1.0, precondition_frequency=4, **options)], free
    )
    monkeypatch.undo()
    adamw = AdamW(peak_lr=0.02, weight_decay=0.3, beta1=0.9, beta2=0.95, eps=RULE.eps)
    found = drive_torch.path(adamw, TOY)
    for name in HIDDEN:
        value = TOY.start[name]
        for step, direction in enumerate(-np.diff(points[name], axis=0, prepend=0.0)):
            value = value - 0.02 * TOY.multiplier(step) * (orthogonalised(direction) + 0.3 * value)
            found[name][step] = value
    return found


@pytest.mark.oracle("pytorch_optimizer.SOAP, then Newton-Schulz in numpy")
def test_follows_soap_orthogonalised(
    path: Fixture, assert_close: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = expected(monkeypatch)
    assert_close(path(RULE, TOY), wanted, 1e-7)


def test_state_and_cost_of_a_square_matrix() -> None:
    params = describe({"a.q": (10, 10), "head": (20, 10)}, heads=1)
    assert RULE.state_floats(params) == 6 * 100 + 2 * 200
    often = RULE.replace(refresh_fraction=1.0)
    soap = Soap(refresh_fraction=1.0).extra_flops({"a.q": params["a.q"]}, 10**9, 1)
    assert often.extra_flops(params, 10**9, 1) == pytest.approx(soap + 30 * 10**3 + 4 * 100 + 16 * 200)
