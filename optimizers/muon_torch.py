"""Muon in torch; the rule and its facts are in muon.py."""

import torch

from optimizers.shared.newton_schulz import shape_factor
from optimizers.shared.orthogonal_torch import OrthogonalTorch


class MuonTorch(OrthogonalTorch):
    """See OrthogonalTorch."""

    def scaled(self, matrices: torch.Tensor, members: list[torch.Tensor]) -> torch.Tensor:
        return matrices.mul_(shape_factor(tuple(matrices.shape[1:])))
