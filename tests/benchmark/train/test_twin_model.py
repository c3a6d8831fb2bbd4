"""The decoder is the same in both frameworks: same weights and tokens in, same logits and gradients out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from benchmark import scales
from benchmark.train import model_jax, model_torch, parameters

SCALE = scales.get("100k")  # two layers, two heads
TOKENS = np.random.default_rng(0).integers(0, 512, (3, 65))
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])


def weights(dtype: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The same initial values for both; norms off 1, so that a gain in the wrong place shows."""
    values = parameters.initial(SCALE, seed=0)
    rng = np.random.default_rng(1)
    values = {n: x * rng.uniform(0.5, 1.5, x.shape) if n.endswith("norm") else x for n, x in values.items()}
    in_jax = {name: jnp.asarray(x.astype(dtype)) for name, x in values.items()}
    return in_jax, {name: torch.tensor(x.astype(dtype), requires_grad=True) for name, x in values.items()}


@DTYPES
def test_logits_and_gradients_are_equal(dtype: str, tolerance: float) -> None:
    with jax.enable_x64(dtype == "float64"):
        in_jax, in_torch = weights(dtype)

        @jax.jit
        def both(params: Any) -> Any:
            gradients = jax.grad(model_jax.loss)(params, jnp.asarray(TOKENS), SCALE)
            return model_jax.logits(params, jnp.asarray(TOKENS[:, :-1]), SCALE), gradients

        logits, gradients = jax.tree.map(np.asarray, both(in_jax))
    theirs = model_torch.logits(in_torch, torch.from_numpy(TOKENS[:, :-1]), SCALE).detach().numpy()
    assert logits.dtype == theirs.dtype == dtype
    np.testing.assert_allclose(logits, theirs, rtol=0, atol=tolerance)
    model_torch.loss(in_torch, torch.from_numpy(TOKENS), SCALE).backward()
    for name, value in in_torch.items():
        assert value.grad is not None
        np.testing.assert_allclose(gradients[name], value.grad, rtol=0, atol=tolerance, err_msg=name)


def test_recomputed_activations_change_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above four layers activations are recomputed in the backward pass; that is a matter of memory alone."""
    deep = scales.Scale("deep", "micro", 5, 16, 32, 2, 64, 512, 4, (4,), "fan_in")
    values = {name: torch.tensor(x, requires_grad=True) for name, x in parameters.initial(deep, 0).items()}
    tokens, members = torch.from_numpy(TOKENS), list(values.values())
    calls: list[int] = []
    recompute = model_torch.checkpoint

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return recompute(*args, **options)

    monkeypatch.setattr(model_torch, "checkpoint", counted)
    recomputed = torch.autograd.grad(model_torch.loss(values, tokens, deep), members)
    assert len(calls) == 5
    monkeypatch.setattr(model_torch, "checkpoint", lambda layer, *args, use_reentrant: layer(*args))
    kept = torch.autograd.grad(model_torch.loss(values, tokens, deep), members)
    assert all(torch.equal(a, b) for a, b in zip(recomputed, kept, strict=True))
