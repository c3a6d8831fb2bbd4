"""AdamW with the freedoms that it had in "Fantastic Pretraining Optimizers" (arXiv 2509.02046) and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from optimizers.adamw import AdamW
from optimizers.base import Info, Value


@dataclass(frozen=True)
class AdamWStudy(AdamW):
    """AdamW's rule; the recipe's ratios are 1, and the rate falls by a cosine."""

    info: ClassVar[Info] = replace(
        AdamW.info,
        title="AdamW as in the study",
        summary="AdamW with one rate for all parameters and a cosine schedule, as the study tuned it, while its"
        " Muon and Scion had a rate per role and a linear decay. The distance to AdamW is what both are worth.",
        essential=("peak_lr", "weight_decay", "beta1"),
    )
    recipe_fixed: ClassVar[Mapping[str, Value]] = {
        "embedding_lr_ratio": 1.0,
        "head_lr_ratio": 1.0,
        "decay_kind": "cosine",
    }
    ablation_of: ClassVar[str] = "adamw"
