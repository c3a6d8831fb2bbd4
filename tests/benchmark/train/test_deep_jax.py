"""Deep models train by another program that computes the same function: same loss, logits and gradients."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from jax.extend.core import jaxprs_in_params

import optimizers
from benchmark import scales
from benchmark.data import batches
from benchmark.kit import cases
from benchmark.train import deep_jax, loss_jax, model_jax, parameters, programs_jax, runner

DEEP = dataclasses.replace(scales.get("13k"), layers=5, width=16, mlp=32, heads=2, seq_len=32, vocab=64)
TOKENS = np.random.default_rng(0).integers(0, DEEP.vocab, (8, DEEP.seq_len + 1))


def values(dtype: str) -> dict[str, jax.Array]:
    """Initial values with norms off 1, so that a gain in the wrong place shows."""
    rng, found = np.random.default_rng(1), parameters.initial(DEEP, 0)
    off = {n: x * rng.uniform(0.5, 1.5, x.shape) if n.endswith("norm") else x for n, x in found.items()}
    return {name: jnp.asarray(x.astype(dtype)) for name, x in off.items()}


def by_deep(dtype: str) -> Any:
    return functools.partial(loss_jax.loss, batch=jnp.asarray(TOKENS), scale=DEEP, dtype=jnp.dtype(dtype))


def by_plain(params: Any) -> jax.Array:
    return model_jax.loss(params, jnp.asarray(TOKENS), DEEP)


@functools.cache
def plainly() -> tuple[jax.Array, Any]:
    """The plain model's loss and gradient in float64, compiled once for all that is compared with them."""
    with jax.enable_x64(True):
        return jax.jit(jax.value_and_grad(by_plain))(values("float64"))


def curvature(loss: Any, params: Any) -> Any:
    """Hessian times a fixed vector, as Sophia asks for it."""
    along = {name: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape) for name, x in params.items()}
    return jax.jvp(jax.grad(loss), (params,), (along,))[1]


@pytest.mark.parametrize(("rows", "logits"), [(8, 2**29), (2, 16 * DEEP.vocab)])
def test_loss_gradient_and_curvature_are_those_of_the_plain_model(monkeypatch, rows, logits):
    """Whole, in parts of a batch, and in parts whose logits come in chunks."""
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", rows * DEEP.seq_len)
    monkeypatch.setattr(batches, "LOGITS_AT_ONCE", logits)
    with jax.enable_x64(True):
        params = values("float64")
        loss, grads = jax.jit(jax.value_and_grad(by_deep("float64")))(params)
        expected, others = plainly()
        assert float(loss) == pytest.approx(float(expected), abs=1e-12)
        for name in params:
            np.testing.assert_allclose(grads[name], others[name], rtol=0, atol=1e-10, err_msg=name)
        if rows < len(TOKENS) and logits < 2**29:  # Sophia's product, where everything is in parts
            bent, as_bent = (
                jax.jit(functools.partial(curvature, f))(params) for f in (by_deep("float64"), by_plain)
            )
            for name in params:
                np.testing.assert_allclose(bent[name], as_bent[name], rtol=0, atol=1e-10, err_msg=name)


def test_losses_of_tokens_are_those_of_the_plain_model(monkeypatch):
    monkeypatch.setattr(batches, "LOGITS_AT_ONCE", 16 * DEEP.vocab)
    with jax.enable_x64(True):
        params, wide = values("float64"), jnp.dtype("float64")
        stack = deep_jax.stacked(params, DEEP, wide)
        got = deep_jax.token_losses(stack, jnp.asarray(TOKENS), DEEP, wide, "plain")
        np.testing.assert_allclose(got, model_jax.token_losses(params, jnp.asarray(TOKENS), DEEP), atol=1e-12)


def test_in_bfloat16_the_loss_is_close_and_the_gradient_is_no_rounded_sum(monkeypatch):
    """512 equal parts: a sum in bfloat16 would stop growing after 256 of them."""
    params, narrow = values("float32"), jnp.dtype("bfloat16")
    loss, grads = jax.jit(jax.value_and_grad(by_deep("bfloat16")))(params)
    expected, others = jax.jit(jax.value_and_grad(by_plain))(params)
    assert float(loss) == pytest.approx(float(expected), abs=2e-3)
    for name, grad in grads.items():
        assert grad.dtype == jnp.float32
        assert jnp.linalg.norm(grad - others[name]) < 0.15 * jnp.linalg.norm(others[name]), name
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", DEEP.seq_len)
    one = jnp.asarray(TOKENS[:1])
    many = jnp.repeat(one, 512, axis=0)
    few, lots = (
        jax.jit(jax.grad(functools.partial(loss_jax.loss, batch=b, scale=DEEP, dtype=narrow)))(params)
        for b in (one, many)
    )
    for name, grad in lots.items():
        np.testing.assert_allclose(grad, few[name], rtol=1e-4, atol=1e-7, err_msg=name)


def shapes_of(jaxpr: Any) -> set[tuple[int, ...]]:
    """Shapes of everything that a program computes, its loops and branches included."""
    found = set()
    for equation in jaxpr.eqns:
        found |= {tuple(v.aval.shape) for v in equation.outvars}
        for sub in jaxprs_in_params(equation.params):
            found |= shapes_of(sub)
    return found


def traced(scale: scales.Scale, attention: Any) -> Any:
    params = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in parameters.shapes(scale).items()}
    batch = jax.ShapeDtypeStruct((128, scale.seq_len + 1), jnp.int32)

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        return loss_jax.loss(params, batch, scale, jnp.dtype("bfloat16"), attention)

    return jax.make_jaxpr(jax.value_and_grad(loss))(params, batch).jaxpr


def test_a_paper_step_holds_no_scores_and_no_logits_of_a_part(monkeypatch):
    scale = scales.get("130m")
    for name, answer in (("check_cudnn_version", 91002), ("check_compute_capability", True)):
        monkeypatch.setattr(
            fused_attention_stablehlo, name, lambda *_, answer=answer: answer
        )  # no driver to ask
    shapes = shapes_of(traced(scale, "cudnn"))
    assert not [s for s in shapes if s[-2:] == (scale.seq_len, scale.seq_len)]
    logits = [int(np.prod(s)) for s in shapes if len(s) > 1 and s[-1] == scale.vocab]
    assert logits and max(logits) <= batches.LOGITS_AT_ONCE
    scores = [s for s in shapes_of(traced(scale, "plain")) if s[-2:] == (scale.seq_len, scale.seq_len)]
    assert scores  # the plain one does hold them: the check can fail


def test_a_pack_of_deep_models_trains_and_names_its_attention(monkeypatch):
    """On a CPU the plain one, whatever the precision."""
    narrow = dataclasses.replace(scales.get("13k"), layers=5, width=16, mlp=32, heads=2)
    monkeypatch.setitem(scales.SCALES, "13k", narrow)
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", 2 * narrow.seq_len)
    programs_jax.programs.cache_clear()
    adamw = optimizers.get("adamw")
    trials = [cases.one_batch_trial(adamw(), "jax", seed, 3) for seed in (0, 1)]
    together = runner.run(trials, adamw, cases.one_batch())
    programs_jax.programs.cache_clear()
    for record in together:
        assert record.status != "failed", record.reason
        assert record.train_loss and record.environment["attention"] == "plain"
    assert together[0].train_loss != together[1].train_loss
