"""A decoder and an eager training loop in torch as people write them: the yardstick for our own loops.

Modules, the fused attention of torch, its own optimizers and clipping; the same shapes, batch and recipe.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.data import batches
from benchmark.scales import Scale
from tools.bench.trials import CLIP_NORM, LR


class Decoder(nn.Module):
    """RMSNorm, rotary embedding, SwiGLU, no bias, untied head."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.embed = nn.Embedding(scale.vocab, scale.width)
        self.layers = nn.ModuleList(Layer(scale) for _ in range(scale.layers))
        self.norm = nn.RMSNorm(scale.width)
        self.head = nn.Linear(scale.width, scale.vocab, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, T] -> logits [B, T, V]."""
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Layer(nn.Module):
    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(scale.width), nn.RMSNorm(scale.width)
        self.attention = Attention(scale)
        self.gate = nn.Linear(scale.width, scale.mlp, bias=False)
        self.up = nn.Linear(scale.width, scale.mlp, bias=False)
        self.down = nn.Linear(scale.mlp, scale.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Attention(nn.Module):
    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.heads, width = scale.heads, scale.width
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        head = width // scale.heads
        frequency = 10_000 ** (-torch.arange(0, head, 2) / head)
        angle = torch.arange(scale.seq_len)[:, None] * frequency
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, D = x.shape
        q, k, v = (f(x).view(B, T, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(B, T, D))

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat((-second, first), dim=-1) * self.sin


def losses(name: str, scale: Scale, tokens: np.ndarray, steps: int) -> list[float]:
    """Train for `steps` steps from the start; the loss of every step in nats per token."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    stream = torch.from_numpy(tokens.astype(np.int64))
    rows = batches.order(len(tokens), scale.seq_len, scale.batch_size, steps, seed=0)
    model = Decoder(scale)
    rules = optimizers_of(name, model)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(rule, lambda i: _factor(i, steps)) for rule in rules]
    found = []
    for row in rows:
        starts = (row * scale.seq_len).tolist()
        batch = torch.stack([stream[i : i + scale.seq_len + 1] for i in starts])
        logits = model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        for rule, scheduler in zip(rules, schedulers, strict=True):
            rule.step()
            scheduler.step()
            rule.zero_grad()
        found.append(loss.item())
    return found


def optimizers_of(name: str, model: nn.Module) -> list[torch.optim.Optimizer]:
    """torch's own rule, or that of the package `pytorch_optimizer`, with what they leave to AdamW."""
    everything = list(model.parameters())
    if name == "adamw":
        return [torch.optim.AdamW(everything, lr=LR, betas=(0.9, 0.95), weight_decay=0.1)]
    if name == "muon":
        hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and n.startswith("layers")]
        chosen = {id(p) for p in hidden}
        others = [p for p in everything if id(p) not in chosen]
        return [torch.optim.Muon(hidden, lr=LR), torch.optim.AdamW(others, lr=LR)]
    import pytorch_optimizer

    if name == "soap":
        # its default of one refresh in ten steps would do less than a run of ours
        return [pytorch_optimizer.SOAP(everything, lr=LR, precondition_frequency=1)]
    if name == "kron":
        return [pytorch_optimizer.Kron(everything, lr=LR)]
    raise ValueError(f"no plain torch loop for {name!r}; choose adamw, muon, soap or kron")


def _factor(step: int, steps: int) -> float:
    """Ten per cent warmup, then a cosine."""
    warmup = max(1.0, 0.1 * steps)
    rise = min(1.0, (step + 1) / warmup)
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, step - warmup) / max(steps - warmup, 1))))
