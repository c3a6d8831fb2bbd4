"""The ladder of model shapes: the published study's four scales exactly, and a micro ladder for two CPU cores.

Both grow in width at fixed depth.
"""

from dataclasses import dataclass
from typing import Literal

from optimizers.shared.near import near

Ladder = Literal["micro", "paper"]


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
    def total_params(self) -> int:
        """All parameters: matrices, norms, embedding and untied head."""
        norms = (2 * self.layers + 1) * self.width
        return self.num_params + norms + 2 * self.vocab * self.width


def _micro(name: str, layers: int, width: int, mlp: int, heads: int, batch: int) -> Scale:
    # fan-in init: at these widths std 0.02 would start far from the usual activation sizes
    return Scale(name, "micro", layers, width, mlp, heads, 128, 512, batch, (4, 8, 16, 32), "fan_in")


def _paper(name: str, width: int, heads: int) -> Scale:
    sizes = (128, 256, 512, 1024)
    return Scale(name, "paper", 32, width, 4 * width, heads, 4096, 128_256, 128, sizes, "normal_0.02")


# The micro ladder starts at the largest batch with at least 500 steps at 1x.
_ALL = (
    _micro("13k", 1, 32, 96, 1, 4),  # too small to separate optimizers: for tests and `smoke`
    _micro("27k", 2, 32, 96, 1, 8),
    _micro("55k", 2, 48, 128, 1, 16),
    _micro("100k", 2, 64, 176, 2, 16),
    _micro("220k", 2, 96, 256, 3, 32),
    _micro("400k", 2, 128, 352, 4, 32),
    _paper("130m", 512, 8),
    _paper("300m", 768, 12),
    _paper("520m", 1024, 16),
    _paper("1.2b", 1536, 24),
)
SCALES = {scale.name: scale for scale in _ALL}


def get(name: str) -> Scale:
    """The scale of this name. Raises ValueError that lists the names there are."""
    if name not in SCALES:
        raise ValueError(f"unknown scale {name!r}{near(name, SCALES)}; choose from {', '.join(SCALES)}")
    return SCALES[name]
