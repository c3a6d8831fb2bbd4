"""Adam-mini: its authors' package is the oracle; the closed form is a gradient that is flat within blocks."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.kit import cases, drive_jax, drive_torch
from optimizers.adam_mini import AdamMini
from optimizers.adamw import AdamW

Fixture = Any
# the authors' code finds a parameter's kind in its name
THEIR_NAMES = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj", "head": "lm_head"}


def oracle(opt: AdamMini, values: drive_torch.Values) -> list[torch.optim.Optimizer]:
    from adam_mini import Adam_mini  # brings torch.distributed: a second of every collection

    theirs = {}
    for name, value in values.items():
        stem, _, part = name.rpartition(".")
        part = THEIR_NAMES.get(part, f"mlp.{part}" if part in ("gate", "up", "down") else part)
        theirs[f"{stem}.{part}.weight"] = value
    rule = Adam_mini(
        theirs.items(),
        lr=opt.peak_lr,
        betas=(opt.beta1, opt.beta2),
        eps=opt.eps,
        weight_decay=opt.weight_decay,
        dim=cases.WIDTH,
        n_heads=2,
        verbose=False,
    )
    for group in rule.param_groups:  # the embedding does not decay here
        group["weight_decay"] = 0.0 if "embed" in group["name"] else group["weight_decay"]
    return [rule]


@pytest.mark.oracle("adam-mini")
def test_agrees_with_the_authors_package(path: Fixture, assert_close: Fixture) -> None:
    opt, toy = AdamMini(), cases.problem(fall=0.0)
    expected = drive_torch.oracle_path(lambda values: oracle(opt, values), toy)
    assert_close(path(opt, toy), expected, 1e-12)  # rounding


@pytest.mark.parametrize("variant", ["reference", "levanter"])
def test_jax_agrees_with_torch(variant: str, assert_close: Fixture) -> None:
    opt, toy = AdamMini(variant=variant), cases.problem()
    assert_close(drive_jax.path(opt, toy), drive_torch.path(opt, toy), 1e-12)


def test_flat_within_blocks_is_adamw(path: Fixture, assert_close: Fixture) -> None:
    """Where all gradients of a block are equal, their mean square is each one's square."""
    long = cases.LONG
    blocks = {
        "embed": long,
        "head": long,
        "final_norm": 1,
        "layers.0.q": 2,
        "layers.0.v": 8,
        "layers.0.up": long,
    }
    toy = cases.problem(cases.toy_params("embed", "head", "final_norm", "q", "v", "up"))
    grads = {}
    for name, g in toy.grads.items():
        per_block = g.reshape(len(g), blocks[name], -1)[:, :, :1]
        flat = np.broadcast_to(per_block, (len(g), blocks[name], g[0].size // blocks[name]))
        grads[name] = flat.reshape(g.shape)
    toy = cases.problem(toy.params, grads=grads)
    assert_close(path(AdamMini(), toy), path(AdamW(), toy), 1e-12)


def test_levanter_gives_norms_full_adam(path: Fixture, assert_close: Fixture) -> None:
    toy = cases.problem()
    mini, adam = path(AdamMini(variant="levanter"), toy), path(AdamW(), toy)
    norms = [name for name, p in toy.params.items() if p.role == "norm"]
    assert_close({n: mini[n] for n in norms}, {n: adam[n] for n in norms}, 1e-12)
    assert AdamMini(variant="levanter").clip_roles == ("norm",)
