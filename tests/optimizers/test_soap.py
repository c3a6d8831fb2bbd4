"""SOAP against pytorch_optimizer's, and against Adam where its basis is the identity.

Where blocks do not tile them into squares, matrices are square with full-rank first gradients: the null space
of a rectangular one's Gram matrix has no preferred basis, so two correct implementations part there at once.
"""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import SOAP

from benchmark.kit import cases, drive_jax, drive_torch
from optimizers.adamw import AdamW
from optimizers.base import describe
from optimizers.soap import Soap

Fixture = Any
RULE = Soap(
    peak_lr=0.02, weight_decay=0.0, beta1=0.9, beta2=0.95, shampoo_beta=0.9, refresh_fraction=0.2
)  # a refresh every 4 of 20 steps
Q, K, UP = "layers.0.q", "layers.0.k", "layers.0.up"


@pytest.mark.oracle("pytorch_optimizer.SOAP")
def test_follows_the_oracle(path: Fixture, assert_close: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit on an axis leaves the vocabulary without a basis."""
    options = {
        "lr": RULE.peak_lr,
        "betas": (RULE.beta1, RULE.beta2),
        "shampoo_beta": RULE.shampoo_beta,
        "weight_decay": 0.0,
        "precondition_frequency": 4,
        "max_precondition_dim": cases.WIDTH,
        "eps": RULE.eps,
    }
    toy = cases.problem(cases.toy_params("embed", "q", "k", "final_norm", "head"))
    monkeypatch.setattr(torch, "float32", torch.float64)  # the oracle rounds before every QR
    expected = drive_torch.oracle_path(lambda values: [SOAP(list(values.values()), **options)], toy)
    monkeypatch.undo()
    assert_close(path(RULE, toy), expected, 1e-9)


@pytest.mark.parametrize("variant", ["reference", "levanter"])
@pytest.mark.parametrize("block_size", [0, 4])
def test_jax_and_torch_agree(variant: str, block_size: int, assert_close: Fixture) -> None:
    params = cases.toy_params() if block_size else cases.toy_params("embed", "q", "k", "final_norm", "head")
    # a norm's Gram matrix has rank 1: in the published study's rule only its first basis vector is determined
    params = {n: p for n, p in params.items() if p.role != "norm" or variant == "reference"}
    toy = cases.problem(params)
    rule = RULE.replace(variant=variant, block_size=block_size, weight_decay=0.1)
    assert_close(drive_torch.path(rule, toy), drive_jax.path(rule, toy), 1e-9)


def test_with_the_identity_for_a_basis_it_is_adam_one_step_late() -> None:
    params = cases.toy_params("q")
    toy = cases.problem(params, start=cases.zeros(params), fall=0.0)
    # descending: the eigenbasis is the identity, up to signs
    toy.grads[Q][0] = np.diag(np.arange(8.0, 0.0, -1.0))
    path = drive_jax.path(RULE.replace(refresh_fraction=1.0, eps=1e-30), toy)[Q]
    later = cases.problem(params, start=toy.start, grads={Q: toy.grads[Q][1:]}, fall=0.0)
    adam = AdamW(RULE.peak_lr, 0.0, RULE.beta1, RULE.beta2, eps=0.0)
    assert np.all(path[0] == 0)
    np.testing.assert_allclose(path[1:], drive_jax.path(adam, later)[Q], atol=1e-12)


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_rotating_every_gradient_rotates_every_update(variant: str) -> None:
    params = cases.toy_params("q")
    left, right = (np.linalg.qr(np.random.default_rng(i).standard_normal((8, 8)))[0] for i in (0, 1))
    toy = cases.problem(params, start=cases.zeros(params))
    turned = cases.problem(params, start=toy.start, grads={Q: left @ toy.grads[Q] @ right})
    rule = RULE.replace(variant=variant)
    expected = left @ drive_jax.path(rule, toy)[Q] @ right
    np.testing.assert_allclose(drive_jax.path(rule, turned)[Q], expected, atol=1e-9)


def test_blocks_are_matrices_of_their_own() -> None:
    whole, parts = cases.toy_params("up"), cases.toy_params("q", "k")
    grads = cases.gradients(whole)[UP]
    split = {Q: grads[:, :8], K: grads[:, 8:]}
    together = cases.problem(whole, start=cases.zeros(whole), grads={UP: grads})
    apart = cases.problem(parts, start=cases.zeros(parts), grads=split)
    alone = drive_jax.path(RULE, apart)
    expected = np.concatenate([alone[Q], alone[K]], axis=1)
    np.testing.assert_allclose(drive_jax.path(RULE.replace(block_size=8), together)[UP], expected, atol=1e-12)


def test_levanter_counts_its_first_step_and_decays_in_it() -> None:
    toy = cases.problem(cases.toy_params("q"), start={Q: np.ones((8, 8))})
    for variant, expected in (("reference", 1.0), ("levanter", 1.0 - 0.02 * 0.5)):
        path = drive_jax.path(RULE.replace(variant=variant, weight_decay=0.5), toy)[Q]
        np.testing.assert_allclose(path[0], expected, rtol=1e-12)


def test_state_and_cost_of_a_square_matrix() -> None:
    params = describe({"a.q": (10, 10)}, heads=1)
    assert RULE.state_floats(params) == 6 * 100
    every_step = 8 * 100 * 10 * 2 + 15 * 100 + 3 * 200
    assert RULE.replace(refresh_fraction=1.0).extra_flops(params, 10**9, 1) == pytest.approx(every_step)
