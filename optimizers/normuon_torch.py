"""NorMuon in torch; the rule and its facts are in normuon.py."""

import torch

from optimizers.shared.newton_schulz import shape_factor
from optimizers.shared.orthogonal_torch import OrthogonalTorch
from optimizers.shared.rows import even_rows


class NorMuonTorch(OrthogonalTorch):
    """Groups carry row_beta besides what OrthogonalTorch asks for."""

    def scaled(self, matrices: torch.Tensor, members: list[torch.Tensor]) -> torch.Tensor:
        states = [self.state[p] for p in members]
        fresh = matrices.new_zeros(matrices.shape[1], 1)
        rows = torch.stack([state.get("rows", fresh) for state in states])
        even, rows = even_rows(matrices, rows, self.param_groups[0]["row_beta"])
        for state, row in zip(states, rows, strict=True):
            state["rows"] = row.clone()  # a view would keep the rows of all its members
        return even.mul_(shape_factor(tuple(matrices.shape[1:])))
