"""The ladders of model shapes: the published study's four scales exactly, a micro ladder for two CPU cores, and
between them one for a single GPU.

Each grows in width at fixed depth. The GPU's ladder is the middle of the other two: 8 layers where they have 2
and 32, a vocabulary of 8,192 where they have 512 and 128,256, 512 tokens a sequence where they have 128 and
4,096 (the geometric means are 8, 8,103 and 724).
"""

import math
from dataclasses import dataclass
from typing import Literal

from optimizers.shared.near import near

Ladder = Literal["micro", "gpu", "paper"]


@dataclass(frozen=True)
class Scale:
    """One model shape. `batch_size` is where the search over batch sizes starts, in sequences."""

    name: str
    ladder: Ladder
    layers: int
    width: int
    mlp: int
    heads: int
    seq_len: int
    vocab: int
    batch_size: int
    batch_sizes: tuple[int, ...]
    init: Literal["fan_in", "normal_0.02"]

    @property
    def num_params(self) -> int:
        """Non-embedding parameters: the matrices of attention and MLP. Every budget is a multiple of it."""
        return self.layers * (3 * self.width * self.mlp + 4 * self.width * self.width)

    @property
    def deep(self) -> bool:
        """Whether its layers are trained by one scanned and recomputed program (train/deep_jax.py)."""
        return self.layers > 4

    @property
    def total_params(self) -> int:
        """All parameters: matrices, norms, embedding and untied head."""
        norms = (2 * self.layers + 1) * self.width
        return self.num_params + norms + 2 * self.vocab * self.width


def _micro(name: str, layers: int, width: int, mlp: int, heads: int, batch: int) -> Scale:
    # fan-in init: at these widths std 0.02 would start far from the usual activation sizes
    return Scale(name, "micro", layers, width, mlp, heads, 128, 512, batch, (4, 8, 16, 32), "fan_in")


def _gpu(name: str, width: int, heads: int, batch: int) -> Scale:
    # the published study's block, its MLP four times as wide. fan-in init as on the micro ladder: std 0.02 is a
    # quarter of it at width 128 and half of it at 672, so that the scales would differ in more than their width
    sizes = (32, 64, 128, 256, 512)
    return Scale(name, "gpu", 8, width, 4 * width, heads, 512, 8192, batch, sizes, "fan_in")


def _paper(name: str, width: int, heads: int) -> Scale:
    sizes = (128, 256, 512, 1024)
    return Scale(name, "paper", 32, width, 4 * width, heads, 4096, 128_256, 128, sizes, "normal_0.02")


# The micro ladder starts at the largest batch with at least 500 steps at 1x. The GPU's doubles its batch from
# scale to scale, 33k tokens at 2m to 262k at 60m, on the way to the 524k of 130m: 1,280 to 4,410 steps at 1x.
# Its widths are multiples of 16 and its heads of 8, as tensor cores and fused attention want them.
_ALL = (
    _micro("13k", 1, 32, 96, 1, 4),  # too small to separate optimizers: for tests and `smoke`
    _micro("27k", 2, 32, 96, 1, 8),
    _micro("55k", 2, 48, 128, 1, 16),
    _micro("100k", 2, 64, 176, 2, 16),
    _micro("220k", 2, 96, 256, 3, 32),
    _micro("400k", 2, 128, 352, 4, 32),
    _gpu("2m", 128, 2, 64),
    _gpu("6m", 224, 4, 128),
    _gpu("20m", 400, 5, 256),
    _gpu("60m", 672, 12, 512),
    _paper("130m", 512, 8),
    _paper("300m", 768, 12),
    _paper("520m", 1024, 16),
    _paper("1.2b", 1536, 24),
)
SCALES = {scale.name: scale for scale in _ALL}


def position(ladder: Ladder) -> float:
    """Where a ladder stands between micro, 0, and paper, 1: the mean logarithm of its scales' parameters."""
    first, here, last = map(_middle, ("micro", ladder, "paper"))
    return (here - first) / (last - first)


def _middle(ladder: Ladder) -> float:
    logs = [math.log(scale.num_params) for scale in _ALL if scale.ladder == ladder]
    return math.fsum(logs) / len(logs)


def get(name: str) -> Scale:
    """The scale of this name. Raises ValueError that lists the names there are."""
    if name not in SCALES:
        raise ValueError(f"unknown scale {name!r}{near(name, SCALES)}; choose from {', '.join(SCALES)}")
    return SCALES[name]
