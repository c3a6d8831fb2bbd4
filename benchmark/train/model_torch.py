"""The decoder of model_jax.py in torch, line for line: RMSNorm, RoPE, SwiGLU, no bias, untied head.

Dimensions: B batch, T sequence, D width, H heads, K head width, F MLP width, V vocabulary.
Parameters are a flat dict (benchmark/train/parameters.py).
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from benchmark.scales import Scale

NORM_EPS = 1e-5
ROPE_BASE = 10_000.0

Params = Mapping[str, torch.Tensor]
Rotation = tuple[torch.Tensor, torch.Tensor]


def loss(params: Params, tokens_BT1: torch.Tensor, scale: Scale) -> torch.Tensor:
    """Mean next-token cross-entropy in nats over a batch of sequences with their targets, [B, T + 1]."""
    return token_losses(params, tokens_BT1, scale).mean()


def token_losses(params: Params, tokens_BT1: torch.Tensor, scale: Scale) -> torch.Tensor:
    """Cross-entropy of each predicted token in nats, [B, T]."""
    logits_BTV = logits(params, tokens_BT1[:, :-1], scale)
    # one kernel each way: logsumexp less the picked logit passes over the logits six times
    return F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT1[:, 1:].flatten(), reduction="none").view(
        logits_BTV.shape[:2]
    )


def logits(params: Params, tokens_BT: torch.Tensor, scale: Scale) -> torch.Tensor:
    """Next-token logits, [B, T, V], in at least float32 whatever the parameters' precision."""
    x_BTD = F.embedding(tokens_BT, params["embed"])
    rotation = rope(tokens_BT.shape[1], scale.width // scale.heads, x_BTD)
    x_BTD = x_BTD.to(params["head"].dtype)
    for i in range(scale.layers):
        prefix = f"layers.{i}."
        weights = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        if scale.deep and torch.is_grad_enabled():
            # deep models recompute activations in the backward pass: 32 layers would not fit otherwise
            x_BTD = checkpoint(_layer, weights, x_BTD, rotation, scale.heads, use_reentrant=False)
        else:
            x_BTD = _layer(weights, x_BTD, rotation, scale.heads)
    x_BTD = _rms_norm(x_BTD, params["final_norm"])
    out = torch.promote_types(x_BTD.dtype, torch.float32)
    if scale.deep:  # the product in the parameters' precision: the head is a third of such a model
        return F.linear(x_BTD, params["head"]).to(out)
    return F.linear(x_BTD.to(out), params["head"].to(out))


def cast(params: Params, dtype: torch.dtype, scale: Scale) -> Params:
    """The parameters for products in `dtype`; of a deep model embedding and norms stay as they are, as in
    deep_jax.py."""
    if dtype == torch.float32:
        return params
    kept = ("embed", "norm") if scale.deep else ()
    return {name: value if name.endswith(kept) else value.to(dtype) for name, value in params.items()}


def rope(length: int, head_width: int, like: torch.Tensor) -> Rotation:
    """Cosines and sines of the rotary embedding (arXiv 2104.09864), [T, K / 2], of `like`'s type and device."""
    wide = torch.promote_types(like.dtype, torch.float32)
    frequency = ROPE_BASE ** (-torch.arange(0, head_width, 2, dtype=wide, device=like.device) / head_width)
    angle = torch.arange(length, dtype=wide, device=like.device)[:, None] * frequency
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _layer(w: Params, x_BTD: torch.Tensor, rotation: Rotation, heads: int) -> torch.Tensor:
    x_BTD = x_BTD + _attention(w, _rms_norm(x_BTD, w["attn_norm"]), rotation, heads)
    y_BTD = _rms_norm(x_BTD, w["mlp_norm"])
    gate_BTF, up_BTF = _linears(y_BTD, w["gate"], w["up"])
    return x_BTD + F.linear(F.silu(gate_BTF) * up_BTF, w["down"])


def _attention(w: Params, x_BTD: torch.Tensor, rotation: Rotation, heads: int) -> torch.Tensor:
    B, T, D = x_BTD.shape

    def split(y_BTD: torch.Tensor) -> torch.Tensor:
        return y_BTD.reshape(B, T, heads, D // heads).transpose(1, 2)

    q_BTD, k_BTD, v_BTD = _linears(x_BTD, w["q"], w["k"], w["v"])
    q_BHTK, k_BHTK = _rotate(split(q_BTD), rotation), _rotate(split(k_BTD), rotation)
    mixed_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, split(v_BTD), is_causal=True)
    return F.linear(mixed_BHTK.transpose(1, 2).reshape(B, T, D), w["o"])


def _rotate(x_BHTK: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    cos, sin = rotation
    first, second = x_BHTK.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x_BHTK.dtype)


def _rms_norm(x_BTD: torch.Tensor, gain_D: torch.Tensor) -> torch.Tensor:
    wide = x_BTD.to(torch.promote_types(x_BTD.dtype, torch.float32))
    normed = wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + NORM_EPS)
    return (normed.to(gain_D.dtype) * gain_D).to(x_BTD.dtype)


def _linears(x_BTD: torch.Tensor, *weights_OD: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Several linear maps of one input as one product, which is faster than the products apart."""
    return F.linear(x_BTD, torch.cat(weights_OD)).chunk(len(weights_OD), dim=-1)
