"""Adam-mini: its authors' package is the oracle; the closed form is a gradient that is flat within blocks."""

from typing import Any

import numpy as np
import pytest
import torch
from adam_mini import Adam_mini as AdamMiniOracle

from optimizers.adam_mini import AdamMini
from optimizers.adamw import AdamW

Fixture = Any
BACKENDS = ["run_jax", "run_torch"]
# the authors' code finds a parameter's kind in its name
THEIR_NAMES = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj", "head": "lm_head"}


def oracle(opt: AdamMini, params: Fixture, grads: Fixture, start: Fixture) -> dict[str, np.ndarray]:
    values = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    theirs = {}
    for name in params:
        stem, _, part = name.rpartition(".")
        part = THEIR_NAMES.get(part, f"mlp.{part}" if part in ("gate", "up", "down") else part)
        theirs[f"{stem}.{part}.weight"] = values[name]
    rule = AdamMiniOracle(
        theirs.items(),
        lr=opt.peak_lr,
        betas=(opt.beta1, opt.beta2),
        eps=opt.eps,
        weight_decay=opt.weight_decay,
        dim=8,
        n_heads=2,
        verbose=False,
    )
    for group in rule.param_groups:  # the embedding does not decay here
        group["weight_decay"] = 0.0 if "embed" in group["name"] else group["weight_decay"]
    path: dict[str, list[np.ndarray]] = {name: [] for name in values}
    for step in range(len(grads["embed"])):
        for name, value in values.items():
            value.grad = torch.tensor(grads[name][step])
        rule.step()
        for name, value in values.items():
            path[name].append(value.detach().numpy().copy())
    return {name: np.stack(points) for name, points in path.items()}


@pytest.mark.oracle("adam-mini")
@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_the_authors_package(
    backend: str,
    request: pytest.FixtureRequest,
    toy_params: Fixture,
    initial: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    opt, params = AdamMini(), toy_params()
    grads = gradients(params)
    actual = request.getfixturevalue(backend)(opt, params, grads, multiplier=lambda step: 1.0)
    assert_close(actual, oracle(opt, params, grads, initial(params)), 1e-12)  # rounding


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_jax_agrees_with_torch(
    variant: str,
    run_jax: Fixture,
    run_torch: Fixture,
    toy_params: Fixture,
    gradients: Fixture,
    assert_close: Fixture,
) -> None:
    opt, params = AdamMini(variant=variant), toy_params()
    grads = gradients(params)
    assert_close(run_jax(opt, params, grads), run_torch(opt, params, grads), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_flat_within_blocks_is_adamw(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    """Where all gradients of a block are equal, their mean square is each one's square."""
    params, run = toy_params(), request.getfixturevalue(backend)
    blocks = {"embed": 12, "head": 12, "final_norm": 1, "layers.0.q": 2, "layers.0.v": 8, "layers.0.up": 20}
    params = {name: params[name] for name in blocks}
    grads = {}
    for name, g in gradients(params).items():
        per_block = g.reshape(len(g), blocks[name], -1)[:, :, :1]
        grads[name] = np.broadcast_to(per_block, (len(g), blocks[name], g[0].size // blocks[name])).reshape(
            g.shape
        )
    assert_close(run(AdamMini(), params, grads), run(AdamW(), params, grads), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_levanter_gives_norms_full_adam(
    backend: str, request: pytest.FixtureRequest, toy_params: Fixture, gradients: Fixture, assert_close: Fixture
) -> None:
    params, run = toy_params(), request.getfixturevalue(backend)
    grads = gradients(params)
    mini, adam = run(AdamMini(variant="levanter"), params, grads), run(AdamW(), params, grads)
    norms = [name for name, p in params.items() if p.role == "norm"]
    assert_close({n: mini[n] for n in norms}, {n: adam[n] for n in norms}, 1e-12)
    assert AdamMini(variant="levanter").clip_roles == ("norm",)
