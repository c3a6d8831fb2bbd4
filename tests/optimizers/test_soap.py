"""SOAP against pytorch_optimizer's, and against Adam where its basis is the identity.

Matrices are square with full-rank first gradients: the null space of a rectangular one's Gram matrix has no
preferred basis, so two correct implementations part there at once.
"""

from typing import Any

import numpy as np
import optax
import pytest
import torch
from pytorch_optimizer import SOAP

from optimizers.base import describe
from optimizers.soap import Soap

Fixture = Any
RULE = Soap(
    peak_lr=0.02, weight_decay=0.0, beta1=0.9, beta2=0.95, shampoo_beta=0.9, refresh_fraction=0.2
)  # a refresh every 4 of 20 steps
SHAPES = {"embed": (12, 8), "a.q": (8, 8), "a.up": (10, 10), "norm": (8,), "head": (12, 8)}


def oracle(rule: Soap, grads: Fixture, start: Fixture, frequency: int) -> dict[str, np.ndarray]:
    """pytorch_optimizer's SOAP; its limit on an axis leaves the vocabulary (12) without a basis."""
    values = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    optimizer = SOAP(
        list(values.values()),
        lr=rule.peak_lr,
        betas=(rule.beta1, rule.beta2),
        shampoo_beta=rule.shampoo_beta,
        weight_decay=0.0,
        precondition_frequency=frequency,
        max_precondition_dim=11,
        eps=rule.eps,
    )
    steps, path = len(grads["embed"]), {name: [] for name in values}
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rule.peak_lr * (1.0 - 0.5 * step / steps)
        for name, value in values.items():
            value.grad = torch.tensor(grads[name][step])
        optimizer.step()
        for name, value in values.items():
            path[name].append(value.detach().numpy().copy())
    return {name: np.stack(points) for name, points in path.items()}


@pytest.mark.oracle("pytorch_optimizer.SOAP")
def test_both_builds_follow_the_oracle(
    run_jax: Fixture,
    run_torch: Fixture,
    gradients: Fixture,
    initial: Fixture,
    assert_close: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = describe(SHAPES, heads=1)
    grads, start = gradients(params), initial(params)
    monkeypatch.setattr(torch, "float32", torch.float64)  # the oracle rounds before every QR
    expected = oracle(RULE, grads, start, frequency=4)
    monkeypatch.undo()
    assert_close(run_jax(RULE, params, grads), expected, 1e-9)
    assert_close(run_torch(RULE, params, grads), expected, 1e-9)


@pytest.mark.parametrize("variant", ["reference", "levanter"])
@pytest.mark.parametrize("block_size", [0, 5])
def test_jax_and_torch_agree(
    run_jax: Fixture,
    run_torch: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
    variant: str,
    block_size: int,
) -> None:
    # a norm's Gram matrix has rank 1: in the study's rule only its first basis vector is determined
    shapes = {name: s for name, s in SHAPES.items() if name != "norm" or variant == "reference"}
    params = describe(shapes, heads=1)
    grads = gradients(params, seed=1)
    rule = RULE.replace(variant=variant, block_size=block_size, weight_decay=0.1)
    assert_close(run_torch(rule, params, grads), run_jax(rule, params, grads), 1e-9)


def test_with_the_identity_for_a_basis_it_is_adam_one_step_late(run_jax: Fixture, gradients: Fixture) -> None:
    params = describe({"a.q": (6, 6)}, heads=1)
    grads = gradients(params)
    grads["a.q"][0] = np.diag(
        np.arange(6.0, 0.0, -1.0)
    )  # descending: the eigenbasis is the identity, up to signs
    start = {"a.q": np.zeros((6, 6))}
    rule = RULE.replace(refresh_fraction=1.0, eps=1e-30)
    path = run_jax(rule, params, grads, start, multiplier=lambda step: 1.0)["a.q"]
    adam = optax.adam(rule.peak_lr, rule.beta1, rule.beta2, eps=0.0)
    value, state = start["a.q"], adam.init(start["a.q"])
    assert np.all(path[0] == 0)
    for step in range(1, 20):
        update, state = adam.update(grads["a.q"][step], state)
        value = value + np.asarray(update)
        np.testing.assert_allclose(path[step], value, atol=1e-12)


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_rotating_every_gradient_rotates_every_update(
    run_jax: Fixture, gradients: Fixture, variant: str
) -> None:
    params = describe({"a.q": (6, 6)}, heads=1)
    grads = gradients(params)["a.q"]
    left, right = (np.linalg.qr(np.random.default_rng(i).standard_normal((6, 6)))[0] for i in (0, 1))
    start = {"a.q": np.zeros((6, 6))}
    rule = RULE.replace(variant=variant)
    plain = run_jax(rule, params, {"a.q": grads}, start)["a.q"]
    turned = run_jax(rule, params, {"a.q": left @ grads @ right}, start)["a.q"]
    np.testing.assert_allclose(turned, left @ plain @ right, atol=1e-9)


def test_blocks_are_matrices_of_their_own(run_jax: Fixture, gradients: Fixture) -> None:
    whole = describe({"a.up": (12, 6)}, heads=1)
    parts = describe({"a.up": (6, 6), "b.up": (6, 6)}, heads=1)
    grads = gradients(whole)["a.up"]
    split = {"a.up": grads[:, :6], "b.up": grads[:, 6:]}
    zeros = np.zeros((12, 6))
    blocked = run_jax(RULE.replace(block_size=8), whole, {"a.up": grads}, {"a.up": zeros})["a.up"]
    alone = run_jax(RULE, parts, split, {"a.up": zeros[:6], "b.up": zeros[6:]})
    np.testing.assert_allclose(blocked, np.concatenate([alone["a.up"], alone["b.up"]], axis=1), atol=1e-12)


def test_levanter_counts_its_first_step_and_decays_in_it(run_jax: Fixture, gradients: Fixture) -> None:
    params = describe({"a.q": (6, 6)}, heads=1)
    grads, start = gradients(params), {"a.q": np.ones((6, 6))}
    for variant, expected in (("reference", 1.0), ("levanter", 1.0 - 0.02 * 0.5)):
        path = run_jax(RULE.replace(variant=variant, weight_decay=0.5), params, grads, start)["a.q"]
        np.testing.assert_allclose(path[0], expected, rtol=1e-12)


def test_state_and_cost_of_a_square_matrix() -> None:
    params = describe({"a.q": (10, 10)}, heads=1)
    assert RULE.state_floats(params) == 6 * 100
    every_step = 8 * 100 * 10 * 2 + 15 * 100 + 3 * 200
    assert RULE.replace(refresh_fraction=1.0).extra_flops(params, 10**9, 1) == pytest.approx(every_step)
