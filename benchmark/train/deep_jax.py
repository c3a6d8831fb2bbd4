"""The decoder of model_jax.py for deep models on one GPU: the same function in less memory and traffic.

Layers are stacked and scanned, so that one is compiled; the backward pass computes each layer's forward once
more and nothing twice more. Head and cross-entropy go by chunks of tokens: no [B, T, V] buffer exists. Where
products are bfloat16, weights are cast once a step, and norms, rotary angles, the softmax, the embedding and
every sum over tokens, chunks or parts of a batch stay in float32.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from benchmark.data import batches
from benchmark.scales import Scale
from benchmark.train.model_jax import Attention, layer, rms_norm, rope

Stack = Mapping[str, Any]
"""The flat dict with its layers stacked: embed, final_norm, head, and layers: part -> [layers, ...]."""


@functools.cache
def attention_here(scale: Scale, precision: str) -> Attention:
    """Which attention a training step uses on this process's device: cuDNN's where the model is deep and both
    of its passes compile for the scale's heads in this precision, else the plain one."""
    if not scale.deep or jax.default_backend() != "gpu":
        return "plain"
    q = jax.ShapeDtypeStruct((1, scale.seq_len, scale.heads, scale.width // scale.heads), jnp.dtype(precision))

    def summed(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
        return mixed.astype(jnp.float32).sum()

    try:
        jax.jit(jax.grad(summed, (0, 1, 2))).lower(q, q, q).compile()
    except Exception:  # of many kinds: the type, the head's width, the device, a missing cuDNN
        return "plain"
    return "cudnn"


def stacked(params: Mapping[str, jax.Array], scale: Scale, dtype: Any) -> Stack:
    """The layers' matrices in `dtype`, stacked; everything else as it is."""
    parts = [name.removeprefix("layers.0.") for name in params if name.startswith("layers.0.")]
    layers = {}
    for part in parts:
        rows = [params[f"layers.{i}.{part}"] for i in range(scale.layers)]
        layers[part] = jnp.stack(rows if part.endswith("norm") else [row.astype(dtype) for row in rows])
    return {"layers": layers, **{name: params[name] for name in ("embed", "final_norm", "head")}}


def unstacked(stack: Stack, like: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The flat dict of a stack, with the names in the order of `like`."""
    flat = {}
    for name in like:
        if name.startswith("layers."):
            _, i, part = name.split(".", 2)
            flat[name] = stack["layers"][part][int(i)]
        else:
            flat[name] = stack[name]
    return flat


def loss(stack: Stack, tokens_BT1: jax.Array, scale: Scale, dtype: Any, attention: Attention) -> jax.Array:
    """Mean next-token cross-entropy in nats over a batch of sequences with their targets, [B, T + 1]."""
    x_BTD = _decoded(stack, tokens_BT1[:, :-1], scale, dtype, attention)
    targets_N = tokens_BT1[:, 1:].reshape(-1)
    return _head_loss(x_BTD.reshape(-1, scale.width), stack["head"], targets_N) / targets_N.size


def token_losses(
    stack: Stack, tokens_BT1: jax.Array, scale: Scale, dtype: Any, attention: Attention
) -> jax.Array:
    """Cross-entropy of each predicted token in nats, [B, T]."""
    x_BTD = _decoded(stack, tokens_BT1[:, :-1], scale, dtype, attention)
    targets_BT = tokens_BT1[:, 1:]
    chunks = _chunks(x_BTD.reshape(-1, scale.width), targets_BT.reshape(-1), scale.vocab)
    head_VD = stack["head"].astype(dtype)
    losses = jax.lax.map(lambda chunk: _softmax(chunk[0], chunk[1], head_VD)[0], chunks)
    return losses.reshape(targets_BT.shape)


def _decoded(stack: Stack, tokens_BT: jax.Array, scale: Scale, dtype: Any, attention: Attention) -> jax.Array:
    """What the head sees, [B, T, D] in `dtype`."""
    # embedding rows are cast after they are looked up: their gradients are then added up in float32
    x_BTD = stack["embed"][tokens_BT].astype(dtype)
    rotation = rope(tokens_BT.shape[1], scale.width // scale.heads, jnp.promote_types(dtype, jnp.float32))

    def one(x_BTD: jax.Array, weights: Mapping[str, jax.Array]) -> tuple[jax.Array, None]:
        # cut out of the layers' inputs by one kernel, instead of by each that reads it
        x_BTD = jax.lax.optimization_barrier(x_BTD)
        return layer(weights, x_BTD, rotation, scale.heads, attention), None

    # in a scan nothing merges the two forward passes, so no barrier has to keep them apart
    recomputed = jax.checkpoint(one, prevent_cse=False, policy=_kept)
    x_BTD, _ = jax.lax.scan(recomputed, x_BTD, stack["layers"])
    return rms_norm(x_BTD, stack["final_norm"])


def _kept(primitive: Any, *_: Any, **__: Any) -> bool:
    """What the backward pass does not compute again: cuDNN's attention, dear for what it takes to keep."""
    return primitive.name.startswith("dot_product_attention_fwd")


def _chunks(x_ND: jax.Array, targets_N: jax.Array, vocab: int) -> tuple[jax.Array, jax.Array]:
    """Tokens in equal chunks [chunks, C, D] and [chunks, C]."""
    size = batches.chunk_of_head(len(targets_N), vocab)
    return x_ND.reshape(-1, size, x_ND.shape[1]), targets_N.reshape(-1, size)


def _softmax(x_CD: jax.Array, targets_C: jax.Array, head_VD: jax.Array) -> tuple[jax.Array, Callable[[], Any]]:
    """Loss of each token, [C], and what computes the derivatives of their sum by the logits, [C, V]."""
    out = jnp.promote_types(x_CD.dtype, jnp.float32)
    logits_CV = jnp.einsum("cd,vd->cv", x_CD, head_VD, preferred_element_type=out)
    total_C = jax.nn.logsumexp(logits_CV, axis=-1)
    losses_C = total_C - jnp.take_along_axis(logits_CV, targets_C[:, None], axis=-1)[:, 0]

    def slopes() -> jax.Array:
        hit_CV = jnp.arange(logits_CV.shape[1], dtype=targets_C.dtype) == targets_C[:, None]
        return (jnp.exp(logits_CV - total_C[:, None]) - hit_CV).astype(x_CD.dtype)

    return losses_C, slopes


@jax.custom_jvp
def _head_loss(x_ND: jax.Array, head_VD: jax.Array, targets_N: jax.Array) -> jax.Array:
    """Sum of the tokens' cross-entropies. Its gradient is taken chunk by chunk along with the loss, so that no
    logits are computed again; the head is cast to the type of x, its gradient is summed in its own."""
    head = head_VD.astype(x_ND.dtype)

    def add(total: jax.Array, chunk: Any) -> tuple[jax.Array, None]:
        return total + _softmax(chunk[0], chunk[1], head)[0].sum(), None

    wide = jnp.promote_types(x_ND.dtype, jnp.float32)
    return jax.lax.scan(add, jnp.zeros((), wide), _chunks(x_ND, targets_N, len(head_VD)))[0]


@_head_loss.defjvp
def _(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x_ND, head_VD, targets_N = primals
    dx_ND, dhead_VD, _ = tangents
    head = head_VD.astype(x_ND.dtype)
    wide = jnp.promote_types(x_ND.dtype, jnp.float32)

    def add(so_far: Any, chunk: Any) -> tuple[Any, jax.Array]:
        total, by_head_VD = so_far
        losses_C, slopes = _softmax(chunk[0], chunk[1], head)
        slopes_CV = slopes()
        by_x_CD = jnp.einsum("cv,vd->cd", slopes_CV, head)
        by_head_VD += jnp.einsum("cv,cd->vd", slopes_CV, chunk[0], preferred_element_type=wide)
        return (total + losses_C.sum(), by_head_VD), by_x_CD

    start = (jnp.zeros((), wide), jnp.zeros(head_VD.shape, wide))
    (total, by_head_VD), by_x = jax.lax.scan(add, start, _chunks(x_ND, targets_N, len(head_VD)))
    by_x_ND = by_x.reshape(x_ND.shape).astype(wide)
    return total, jnp.sum(by_x_ND * dx_ND) + jnp.sum(by_head_VD * dhead_VD)
