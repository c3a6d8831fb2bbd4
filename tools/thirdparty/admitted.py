"""Optimizers of other packages, each brought in as a user would: what the benchmark makes of them, as a table.

`python -m tools.thirdparty` runs all whose package is installed; `... torch.optim schedulefree` those whose
name contains a word. Each is admitted, charged, trained for 30 steps at 27k, and where the registry has its
rule, compared with that at one seed and setting.
"""

import dataclasses
import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optimizers
from benchmark import scales
from benchmark.arguments import Parser
from benchmark.data import corpora
from benchmark.data.corpora import Corpus
from benchmark.kit import admission, cases
from benchmark.spec import Record, Trial
from benchmark.train import parameters, runner
from optimizers.base import Optimizer
from optimizers.user import files

SCALE, STEPS, SEQUENCES = "27k", 30, 64
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
        3,
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
HEAD = "| optimizer | way in | admitted | state per parameter | more gradients | 30 steps | number's check |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table row by row; returns the exit status."""
    parser = Parser(prog="python -m tools.thirdparty", usage="%(prog)s [WORD ...]", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only optimizers whose place has one of these")
    words = parser.parse_args(arguments).words
    warnings.filterwarnings("ignore")
    corpus = corpora.prepare("gcide", scales.get(SCALE).vocab, progress=False)
    print(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}", flush=True)
    for row in ROWS:
        asked = not words or any(word in row.where for word in words)
        if asked and importlib.util.find_spec(row.where.partition(".")[0].partition(":")[0]):
            print(f"| `{row.where}` | {' | '.join(cells(row, corpus))} |", flush=True)
    return 0


def cells(row: Row, corpus: Corpus) -> Iterator[str]:
    """What the table says of a row, cell by cell; it ends where the optimizer is refused."""
    lines = len([line for line in row.text.splitlines() if line.strip()])
    yield f"file of {lines} lines" if row.text else "flags only"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{row.where.rpartition(':')[2].lower()}.py"
        path.write_text(row.text, encoding="utf-8")
        try:
            entry = files.load(path if row.text else row.where)
            admission.admit(entry, row.backend)
        except ValueError as error:
            yield f"refused: {str(error)[-120:]}"
            return
        yield "yes"
        yield _against(entry().state_floats(PARAMS) / COUNT, row.state)
        yield _against(entry().extra_gradients(PARAMS), row.gradients)
        record = trained(entry, row.backend, corpus, {})
        loss = record.val_loss if record.val_loss is not None else record.train_loss
        yield f"{loss:.3f}" if loss is not None else f"{record.status}: {record.reason[:60]}"
        yield _checked(row, entry, corpus) if row.twin else "–"


def _against(found: float, must: float | None) -> str:
    if must is None:
        return f"{found:.2f}"
    return f"{found:.2f} as it must" if abs(found - must) < 0.02 else f"**{found:.2f}, must be {must:.2f}**"


def _checked(row: Row, entry: type[Optimizer], corpus: Corpus) -> str:
    """How far the loss is from the registry's, at one seed and setting."""
    short = {"beta1": "b1", "beta2": "b2"}
    theirs = {short[n] if n in short and not hasattr(entry(), n) else n: v for n, v in row.setting.items()}
    twin = optimizers.get(row.twin)
    one = trained(entry, row.backend, corpus, theirs).val_loss
    other = trained(twin, row.backend, corpus, row.setting).val_loss
    return (
        f"{row.twin}: {one - other:+.1e}" if one is not None and other is not None else f"{row.twin}: no loss"
    )


def trained(entry: type[Optimizer], backend: Any, corpus: Corpus, setting: dict[str, float]) -> Record:
    """A short run at one seed; `setting` replaces hyperparameters."""
    base, scale = cases.one_batch_trial(entry(), backend, 0, STEPS), scales.get(SCALE)
    own = {name: value for name, value in setting.items() if hasattr(entry(), name)}
    trial: Trial = dataclasses.replace(
        base,
        scale=SCALE,
        tokens=STEPS * scale.batch_size * scale.seq_len,
        hyperparameters={**base.hyperparameters, **entry.recipe_fixed, "batch_size": scale.batch_size, **own},
        corpus=corpus.name,
        corpus_hash=corpus.corpus_hash,
        tokenizer_hash=corpus.tokenizer_hash,
        evaluation=dataclasses.replace(base.evaluation, sequences=SEQUENCES),
    )
    return runner.run([trial], entry, corpus)[0]


if __name__ == "__main__":
    sys.exit(main())
