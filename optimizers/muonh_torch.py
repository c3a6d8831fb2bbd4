"""MuonH in torch; the rule and its facts are in muonh.py."""

import torch

from optimizers.shared.hyperball_torch import HyperballTorch, on_sphere
from optimizers.shared.orthogonal_torch import OrthogonalTorch


class MuonHTorch(HyperballTorch, OrthogonalTorch):
    """See the two classes."""

    def scaled(self, matrices: torch.Tensor, members: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([on_sphere(self.state[p], p, u) for p, u in zip(members, matrices, strict=True)])
