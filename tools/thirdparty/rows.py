"""The optimizers of other packages that are tried, each as a user would bring it in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark import scales
from benchmark.train import parameters
from optimizers.user import files

SCALE = "27k"
PARAMS = parameters.roles(scales.get(SCALE))
COUNT = sum(param.size for param in PARAMS.values())
HIDDEN = sum(param.size for param in PARAMS.values() if param.role == "hidden") / COUNT
ADAM = {"peak_lr": 0.004, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}
LION = {"peak_lr": 0.002, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95}
MUON = {"peak_lr": 0.02, "weight_decay": 0.1, "momentum": 0.95}
NESTED = "def torch_optimizer(params, lr):\n    return {}\n"
RATES = 'space = {"peak_lr": (0.002, 0.004, 0.008, 0.016)}\n'


@dataclass(frozen=True)
class Row:
    """where: as `--optimizer` has it; `text`: of the short file in its place. state: floats per parameter that
    the rule must keep, None where that is a matter of shapes. gradients: beyond the first that a step takes.
    twin: the registry's name for the rule, `setting` what both are given."""

    where: str
    backend: files.Backend
    state: float | None = None
    gradients: float = 0.0
    text: str = ""
    twin: str = ""
    setting: dict[str, float] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """What must be importable."""
        return self.where.partition(":")[0].partition(".")[0]

    @property
    def way_in(self) -> str:
        lines = len([line for line in self.text.splitlines() if line.strip()])
        return f"file of {lines} lines" if self.text else "flags only"

    def asked(self, folder: Path) -> Path | str:
        """What `--optimizer` is given; a short file is written into the folder."""
        if not self.text:
            return self.where
        path = folder / f"{self.where.rpartition(':')[2].lower()}.py"
        path.write_text(self.text, encoding="utf-8")
        return path


def _torch(where: str, state: float | None, twin: str = "", **more: Any) -> Row:
    return Row(where, "torch", state, twin=twin, **more)


def _jax(where: str, state: float | None, twin: str = "", **more: Any) -> Row:
    return Row(where, "jax", state, twin=twin, **more)


ROWS = (
    _jax("optax:adamw", 2, "adamw", setting=ADAM),
    _jax("optax:nadamw", 2, "nadamw", setting=ADAM),
    _jax("optax:lion", 1, "lion", setting=LION),
    _jax("optax:polyak_sgd", 0),
    _jax("optax:adafactor", None),
    _jax("optax:lamb", 2),
    _jax("optax:sm3", None),
    _jax("optax.contrib:ademamix", 3),
    _jax("optax.contrib:schedule_free_adamw", 2),
    _jax("optax.contrib:prodigy", 4),
    _jax("optax.contrib:muon", None),
    _jax("optax.contrib:momo_adam", 2),
    _torch("torch.optim:AdamW", 2, "adamw", setting=ADAM),
    _torch("torch.optim:RMSprop", 1),
    _torch("torch.optim:NAdam", 2),
    _torch("torch.optim:Adafactor", None),
    _torch("torch.optim:Muon", 2 - HIDDEN, "muon", setting=MUON),
    _torch("schedulefree:AdamWScheduleFree", 2),
    _torch("schedulefree:SGDScheduleFree", 1),
    _torch("prodigyopt:Prodigy", 4),
    _torch("dadaptation:DAdaptAdam", 3),
    _torch("lion_pytorch:Lion", 1, "lion", setting=LION),
    _torch("muon:SingleDeviceMuon", 2 - HIDDEN, "muon", setting=MUON),
    _torch(
        "muon:SingleDeviceMuonWithAuxAdam",
        2 - HIDDEN,
        text="from muon import SingleDeviceMuonWithAuxAdam\n"
        'space = {"peak_lr": (0.01, 0.02, 0.04)}\n\n'
        "def groups(params, roles):\n"
        "    hidden = [p for name, p in params.items() if roles[name].role == 'hidden']\n"
        "    others = [p for name, p in params.items() if roles[name].role != 'hidden']\n"
        "    return [{'params': hidden, 'use_muon': True}, {'params': others, 'use_muon': False}]\n\n"
        "def torch_optimizer(params, lr):\n"
        "    return SingleDeviceMuonWithAuxAdam([{**group, 'lr': lr} for group in params])\n",
    ),
    _torch(
        "momo:MomoAdam",
        2,
        text=f"import momo\n{RATES}\n"
        "class MomoAdam(momo.MomoAdam):  # what the package keeps beside its state_dict\n"
        "    def state_dict(self):\n"
        "        own = self._number_steps, self.loss_avg, self.lb\n"
        "        return {**super().state_dict(), 'own': list(own)}\n\n"
        "    def load_state_dict(self, state):\n"
        "        self._number_steps, self.loss_avg, self.lb = state['own']\n"
        "        super().load_state_dict({k: v for k, v in state.items() if k != 'own'})\n\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, lr=lr)\n",
    ),
    _torch("adabelief_pytorch:AdaBelief", 2),
    _torch("torch_optimizer:MADGRAD", 3),
    _torch("torch_optimizer:Yogi", 2),
    _torch("torch_optimizer:DiffGrad", 3),
    _torch("torch_optimizer:Adahessian", 2, gradients=2),
    _torch(
        "torch_optimizer:Lookahead",
        3,
        text="import torch\nfrom torch_optimizer import Lookahead\n"
        + RATES
        + NESTED.format("Lookahead(torch.optim.AdamW(params, lr=lr))"),
    ),
    _torch("optimi:AdamW", 2, "adamw", setting=ADAM),
    _torch("optimi:StableAdamW", 2),
    _torch("adan_pytorch:Adan", 4),
    _torch("came_pytorch:CAME", None),
    _torch("prodigyplus:ProdigyPlusScheduleFree", None),
    _torch("adv_optm:AdamW_adv", 2, "adamw", setting=ADAM),
    _torch("pytorch_optimizer:Lion", 1, "lion", setting=LION),
    _torch("pytorch_optimizer:ADOPT", 2),
    _torch("pytorch_optimizer:MARS", 3),
    _torch("pytorch_optimizer:SOAP", None),
    _torch("pytorch_optimizer:Kron", None),
    _torch("pytorch_optimizer:SophiaH", 3, gradients=0.2),
    _torch("pytorch_optimizer:SCION", 1),
    _torch("pytorch_optimizer:Shampoo", None),
    _torch("pytorch_optimizer:ScheduleFreeAdamW", 2),
    _torch(
        "pytorch_optimizer:SAM",
        2,  # what it keeps of the parameters is gone after the step
        gradients=1,
        text="import torch\nfrom pytorch_optimizer import SAM\n"
        + RATES
        + NESTED.format("SAM(params, torch.optim.AdamW, lr=lr, rho=0.05)"),
    ),
    _torch(
        "heavyball:AdamW",
        2,
        text=f"import heavyball\nheavyball.utils.compile_mode = None\n{RATES}"
        + NESTED.format("heavyball.AdamW(params, lr=lr)"),
    ),
)
