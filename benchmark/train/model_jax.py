"""A LLaMA-style decoder in jax: RMSNorm, RoPE, SwiGLU, no bias, untied head. Its twin is model_torch.py.

Dimensions: B batch, T sequence, D width, H heads, K head width, F MLP width, V vocabulary.
Parameters are a flat dict (benchmark/train/parameters.py). Deep models are trained by deep_jax.py, which
computes the same function from the same layer.
"""

import math
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from benchmark.scales import Scale

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0

Params = Mapping[str, jax.Array]
Rotation = tuple[jax.Array, jax.Array]
Attention = Literal["plain", "cudnn"]


def loss(params: Params, tokens_BT1: jax.Array, scale: Scale) -> jax.Array:
    """Mean next-token cross-entropy in nats over a batch of sequences with their targets, [B, T + 1]."""
    return jnp.mean(token_losses(params, tokens_BT1, scale))


def token_losses(params: Params, tokens_BT1: jax.Array, scale: Scale) -> jax.Array:
    """Cross-entropy of each predicted token in nats, [B, T]."""
    logits_BTV = logits(params, tokens_BT1[:, :-1], scale)
    picked_BT = jnp.take_along_axis(logits_BTV, tokens_BT1[:, 1:, None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - picked_BT


def logits(params: Params, tokens_BT: jax.Array, scale: Scale) -> jax.Array:
    """Next-token logits, [B, T, V], in at least float32 whatever the parameters' precision."""
    x_BTD = params["embed"][tokens_BT]
    rotation = rope(tokens_BT.shape[1], scale.width // scale.heads, x_BTD.dtype)
    for i in range(scale.layers):
        prefix = f"layers.{i}."
        weights = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        x_BTD = layer(weights, x_BTD, rotation, scale.heads)
    x_BTD = rms_norm(x_BTD, params["final_norm"])
    out = jnp.promote_types(x_BTD.dtype, jnp.float32)
    return jnp.einsum("btd,vd->btv", x_BTD, params["head"], preferred_element_type=out)


def rope(length: int, head_width: int, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of the rotary embedding (arXiv 2104.09864), each [T, K / 2]."""
    wide = jnp.promote_types(dtype, jnp.float32)
    frequency = ROPE_BASE ** (-jnp.arange(0, head_width, 2, dtype=wide) / head_width)
    angle = jnp.arange(length, dtype=wide)[:, None] * frequency
    return jnp.cos(angle).astype(dtype), jnp.sin(angle).astype(dtype)


def layer(
    w: Params,
    x_BTD: jax.Array,
    rotation: Rotation,
    heads: int,
    attention: Attention = "plain",
) -> jax.Array:
    """One block: attention and MLP, each of the normed input and added to it."""
    x_BTD = x_BTD + _attention(w, rms_norm(x_BTD, w["attn_norm"]), rotation, heads, attention)
    y_BTD = rms_norm(x_BTD, w["mlp_norm"])
    gate_BTF, up_BTF = _linears(y_BTD, w["gate"], w["up"], attention=attention)
    return x_BTD + _linear(jax.nn.silu(gate_BTF) * up_BTF, w["down"])


def _attention(w: Params, x_BTD: jax.Array, rotation: Rotation, heads: int, attention: Attention) -> jax.Array:
    B, T, D = x_BTD.shape

    def split(y_BTD: jax.Array) -> jax.Array:
        return y_BTD.reshape(B, T, heads, D // heads)

    q_BTD, k_BTD, v_BTD = _linears(x_BTD, w["q"], w["k"], w["v"], attention=attention)
    if attention == "cudnn":
        cos_T1K, sin_T1K = (x_TK[:, None] for x_TK in rotation)
        q_BTHK, k_BTHK = (_rotate(split(x), (cos_T1K, sin_T1K)) for x in (q_BTD, k_BTD))
        mixed_BTHK = jax.nn.dot_product_attention(
            q_BTHK, k_BTHK, split(v_BTD), is_causal=True, implementation="cudnn"
        )
        return _linear(mixed_BTHK.reshape(B, T, D), w["o"])
    q_BHTK, k_BHTK = (
        _rotate(split(q_BTD).swapaxes(1, 2), rotation),
        _rotate(split(k_BTD).swapaxes(1, 2), rotation),
    )
    mixed_BHTK = _mixed(q_BHTK, k_BHTK, v_BTD)
    return _linear(mixed_BHTK.swapaxes(1, 2).reshape(B, T, D), w["o"])


def _mixed(q_BHTK: jax.Array, k_BHTK: jax.Array, v_BTD: jax.Array) -> jax.Array:
    """Causal softmax attention with all its scores in memory, [B, H, T, K]; can be differentiated any number of
    times."""
    B, H, T, K = q_BHTK.shape
    wide = jnp.promote_types(q_BHTK.dtype, jnp.float32)
    scores_BHTS = jnp.einsum("bhtk,bhsk->bhts", q_BHTK, k_BHTK, preferred_element_type=wide)
    causal_TS = jnp.tril(jnp.ones((T, T), bool))
    scores_BHTS = jnp.where(causal_TS, scores_BHTS / math.sqrt(K), -jnp.inf)
    # a softmax that divides after the mix: its backward pass has no sum over S
    # (not jax.nn.dot_product_attention: it takes the softmax of float64 in float32)
    largest_BHT1 = jax.lax.stop_gradient(scores_BHTS.max(axis=-1, keepdims=True))
    weights_BHTS = jnp.exp(scores_BHTS - largest_BHT1)
    rounded_BHTS = weights_BHTS.astype(q_BHTK.dtype)
    v_BHTK = v_BTD.reshape(B, T, H, K).swapaxes(1, 2)
    mixed_BHTK = jnp.einsum("bhts,bhsk->bhtk", rounded_BHTS, v_BHTK, preferred_element_type=wide)
    return (mixed_BHTK / weights_BHTS.sum(axis=-1, keepdims=True)).astype(q_BHTK.dtype)


def _rotate(x: jax.Array, rotation: Rotation) -> jax.Array:
    """Each head's vector turned by its position; x is [..., K], computed in the wider type of the two."""
    cos, sin = rotation
    first, second = jnp.split(x, 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def rms_norm(x_BTD: jax.Array, gain_D: jax.Array) -> jax.Array:
    """x over its root mean square, times the gain; the product is taken in the gain's type."""
    wide = x_BTD.astype(jnp.promote_types(x_BTD.dtype, jnp.float32))
    normed = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + NORM_EPS)
    return (normed.astype(gain_D.dtype) * gain_D).astype(x_BTD.dtype)


def _linear(x_BTD: jax.Array, w_OD: jax.Array) -> jax.Array:
    return jnp.einsum("btd,od->bto", x_BTD, w_OD)


def _linears(x_BTD: jax.Array, *weights_OD: jax.Array, attention: Attention) -> list[jax.Array]:
    """Several linear maps of one input: one product, which is faster than the products apart; but apart where
    attention is a GPU's kernel, because joining their gradients would copy them."""
    if attention == "cudnn":
        return [_linear(x_BTD, w_OD) for w_OD in weights_OD]
    return jnp.split(_linear(x_BTD, jnp.concatenate(weights_OD)), len(weights_OD), axis=-1)
