"""AdamW with one rate for all parameters: what a rate per role is worth to the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from optimizers.adamw import AdamW
from optimizers.base import Info, Value


@dataclass(frozen=True)
class AdamWOneRate(AdamW):
    """AdamW's rule; the recipe's ratios are 1."""

    info: ClassVar[Info] = replace(
        AdamW.info,
        title="AdamW, one rate",
        summary="AdamW without the freedom of a rate per role: embedding, norms and head step at the rate of"
        " the hidden matrices. The distance to AdamW is what that freedom is worth.",
        essential=("peak_lr", "weight_decay", "beta1"),
    )
    recipe_fixed: ClassVar[Mapping[str, Value]] = {"embedding_lr_ratio": 1.0, "head_lr_ratio": 1.0}
    ablation_of: ClassVar[str] = "adamw"
