"""SOAP-Muon in torch; the rule and its facts are in soap_muon.py."""

from collections.abc import Mapping
from typing import Any

import torch

from optimizers.shared.blocks import cut, join
from optimizers.shared.newton_schulz import shape_factor
from optimizers.shared.orthogonal_torch import OrthogonalTorch
from optimizers.soap_torch import AdamInBases


class SoapMuonTorch(OrthogonalTorch):
    """blocks: name -> (number, rows, columns). sides: name -> the sides that have a basis."""

    def __init__(
        self,
        params: Any,
        lr: float,
        ns_steps: int,
        soap: AdamInBases,
        blocks: Mapping[str, tuple[int, int, int]],
        sides: Mapping[str, tuple[str, ...]],
        **rule: float,
    ) -> None:
        self.soap, self.blocks, self.sides = soap, blocks, sides
        super().__init__(params, lr, ns_steps, **rule)

    def average(
        self, name: str, grad: torch.Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> torch.Tensor:
        blocks = cut(grad, self.blocks[name])
        if not state:
            state.update(self.soap.first(blocks, self.sides[name]))
            return torch.zeros_like(grad)
        return join(self.soap.direction(blocks, state), tuple(grad.shape))

    def scaled(self, matrices: torch.Tensor, members: list[torch.Tensor]) -> torch.Tensor:
        return matrices.mul_(shape_factor(tuple(matrices.shape[1:])))
