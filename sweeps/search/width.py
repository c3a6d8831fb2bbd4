"""muP, by role: how rates, decay and initial values follow the width of a model (arXiv 2203.03466, Table 3).

The table is Adam's, whose steps have entries of one size whatever the width. Then hidden matrices and the head
step at rates ~ 1/width, embedding and norms at constant ones; initial standard deviations are ~ 1/sqrt(width)
for hidden matrices, ~ 1/width for the head and constant for the embedding. A rule that divides a role's step by
the width itself, or fixes its spectral norm, has done what the table asks for (arXiv 2310.17813): that role's
rate is kept (`Optimizer.width_free`).

The table leaves decay alone. "mup-sqrt" has it ~ sqrt(width), which keeps the top singular value of a hidden
matrix: AdamW takes it to about sqrt(rate / decay) width^.75 (arXiv 2510.15262). "mup-independent" has
it ~ width, which keeps rate times decay, as the independent decay of arXiv 2309.14322 does. Where the rate of
hidden matrices is kept, both keep the decay too: rate times decay is then kept, and steps of one spectral norm
take no singular value beyond that norm over the decay, whatever the width.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchmark.scales import Scale
from benchmark.spec import Value
from optimizers.base import Role

DECAY: Mapping[str, float] = {"mup": 0.0, "mup-sqrt": 0.5, "mup-independent": 1.0}
"""Rule -> exponent of the width in the decay of a role whose rate is ~ 1/width."""

INIT: Mapping[Role, float] = {"hidden": -0.5, "head": -1.0, "embedding": 0.0}
"""Exponents of initial standard deviations; norms start at 1."""

# what the ladders have without muP (benchmark/train/parameters.py): a row's norm is 1, or 0.02 everywhere
_USUAL: Mapping[str, Mapping[Role, float]] = {
    "fan_in": dict.fromkeys(INIT, -0.5),
    "normal_0.02": dict.fromkeys(INIT, 0.0),
}


@dataclass(frozen=True)
class Factors:
    """By what a role's rate, decay and initial standard deviation are multiplied."""

    rate: float
    decay: float
    init: float


def factors(rule: str, role: Role, ratio: float, width_free: Collection[Role] = ()) -> Factors:
    """A role's factors at `ratio` times the width. width_free: roles whose rate needs no change."""
    grows = role in ("hidden", "head") and role not in width_free
    decay = ratio ** DECAY[rule] if grows else 1.0
    return Factors(1 / ratio if grows else 1.0, decay, ratio ** INIT.get(role, 0.0))


def setting(rule: str, ratio: float, width_free: Collection[Role] = ()) -> dict[str, float]:
    """Hyperparameter -> what to multiply it by: `peak_lr` is the rate of hidden matrices, the two ratios are
    the other roles' over it. There is one decay, which is that of hidden matrices."""
    hidden, head, embedding = (factors(rule, r, ratio, width_free) for r in ("hidden", "head", "embedding"))
    return {
        "peak_lr": hidden.rate,
        "weight_decay": hidden.decay,
        "head_lr_ratio": head.rate / hidden.rate,
        "embedding_lr_ratio": embedding.rate / hidden.rate,
    }


def init_ratios(scale: Scale, ratio: float) -> dict[str, float]:
    """Role -> initial standard deviation over the usual one at this scale, for a model that is `ratio` times as
    wide as one with the usual ones; without the roles for which it is 1."""
    usual = _USUAL[scale.init]
    found = {role: float(f"{ratio ** (e - usual[role]):.6g}") for role, e in INIT.items()}
    return {role: factor for role, factor in found.items() if factor != 1.0}


def scaled(start: Mapping[str, Value], by: Mapping[str, float]) -> dict[str, float]:
    """What becomes of a setting's values, to six digits; those that stay are left out."""
    return {
        name: float(f"{float(start[name]) * factor:.6g}")
        for name, factor in by.items()
        if name in start and factor != 1.0
    }
