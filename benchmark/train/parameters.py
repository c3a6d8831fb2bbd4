"""The decoder's parameters: names, shapes, initial values and FLOPs, one source for jax and torch.

Values are drawn in numpy, so that both frameworks, and every optimizer at a seed, start from the same bits.
"""

import math
import zlib
from collections.abc import Mapping

import numpy as np

from benchmark.scales import Scale
from optimizers.base import Param, describe


def shapes(scale: Scale) -> dict[str, tuple[int, ...]]:
    """Name -> shape in the order of the forward pass. Matrices are (out, in)."""
    d, mlp = scale.width, scale.mlp
    layer = {
        "attn_norm": (d,),
        "q": (d, d),
        "k": (d, d),
        "v": (d, d),
        "o": (d, d),
        "mlp_norm": (d,),
        "gate": (mlp, d),
        "up": (mlp, d),
        "down": (d, mlp),
    }
    layers = {f"layers.{i}.{part}": shape for i in range(scale.layers) for part, shape in layer.items()}
    return {"embed": (scale.vocab, d), **layers, "final_norm": (d,), "head": (scale.vocab, d)}


def roles(scale: Scale) -> dict[str, Param]:
    """Every parameter with its role, as optimizers see it."""
    return describe(shapes(scale), scale.heads)


def initial(scale: Scale, seed: int, ratios: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:
    """float32 initial values at a seed: norms at 1, matrices normal.

    Each tensor has a stream of its own (seed, name), so that a change to one leaves the others alone.

    ratios: role -> factor on its standard deviation (`Trial.init_ratios`).
    """
    values = {}
    for name, param in roles(scale).items():
        if param.role == "norm":
            values[name] = np.ones(param.shape, np.float32)
            continue
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        std = _std(scale, param) * (ratios or {}).get(param.role, 1.0)
        values[name] = (std * rng.standard_normal(param.shape)).astype(np.float32)
    return values


def _std(scale: Scale, param: Param) -> float:
    if scale.init == "normal_0.02":
        return 0.02
    return 1.0 / math.sqrt(param.shape[1])  # fan-in; an embedding row has the norm of a head row


def flops_per_token(scale: Scale) -> float:
    """Forward and backward FLOPs of one token: every matrix product, head and full attention scores included.

    A multiply-add is 2, a backward pass twice its forward pass. Recomputed activations, norms, softmax and the
    embedding lookup are not counted.
    """
    matrices = scale.num_params + scale.vocab * scale.width
    attention = scale.layers * 2 * scale.seq_len * scale.width  # scores and their mix, per token
    return 6.0 * (matrices + attention)
