"""Which column is what: our own names first, then those of trackers' exports, then as `--columns` says.

W&B, MLflow and TensorBoard put a prefix before a name (`config.optimizer`, `params.optimizer`, `hparams/lr`);
it is left off before names are compared. A column that may be two things is asked about, not chosen.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmark.published import loss
from benchmark.published.numbers import shown

REQUIRED = ("optimizer", "scale", "chinchilla_ratio", "val_loss")
ALIASES: dict[str, tuple[str, ...]] = {  # field -> other names, in small letters and digits alone
    "optimizer": ("optim", "opt", "optimizername", "optimname", "optname", "optimizertype", "optimizerclass"),
    "scale": ("modelsize", "model", "size", "modelname", "modelscale"),
    "chinchilla_ratio": ("chinchilla", "ratio", "chinchillamultiple", "xchinchilla", "chinchillax"),
    "val_loss": (
        "evalloss", "validationloss", "validloss", "heldoutloss", "finalvalloss", "finalevalloss",
        "finalvalidationloss", "vallossfinal", "valnll", "evalnll", "evallmloss", "vallmloss", "lossval",
        "losseval", "lossvalidation", "lossvalid",
    ),
    "seed": ("randomseed", "rngseed", "modelseed", "trainseed", "trainerseed", "initseed"),
    "num_params": (
        "nparams", "params", "parameters", "numparameters", "nparameters", "paramcount", "parametercount",
        "modelparams", "nonembeddingparams", "nonembeddingparameters", "numparamsnonembedding",
        "numnonembeddingparams",
    ),
    "tokens": ("traintokens", "trainingtokens", "numtokens", "ntokens", "tokenbudget", "totaltokens",
        "numtraintokens", "tokensseen"),
    "tokens_per_parameter": (
        "tokensperparam", "tokenspernonembeddingparameter", "tokensparameter", "tokensparam", "tokparam",
        "tokperparam", "tpp", "dn",
    ),
    "steps": ("trainsteps", "numsteps", "numtrainsteps", "totalsteps", "trainingsteps"),
    "corpus": ("dataset", "datasetname", "data", "corpusname"),
    "family": (),
    "vocab": ("vocabsize", "vocabulary", "vocabularysize"),
    "backend": ("framework",),
    "precision": ("dtype", "computedtype"),
    "state": ("status", "runstate"),
}  # fmt: skip
BY_HAND = {"loss": "val_loss", "ratio": "chinchilla_ratio", "params": "num_params", "model": "scale"}
SETTINGS = {  # hyperparameters by the names that trackers show -> ours
    "lr": "peak_lr", "learningrate": "peak_lr", "peaklr": "peak_lr", "maxlr": "peak_lr",
    "weightdecay": "weight_decay", "wd": "weight_decay", "beta1": "beta1", "beta2": "beta2",
    "momentum": "momentum", "batchsize": "batch_size", "trainbatchsize": "batch_size",
    "globalbatchsize": "batch_size", "gradclip": "clip_norm", "clipnorm": "clip_norm",
    "maxgradnorm": "clip_norm", "warmupsteps": "warmup_steps",
}  # fmt: skip
_PREFIX = re.compile(
    r"^(config|summary|summarymetrics|summary_metrics|params?|hparams?|metrics?|tags|attributes|args|run|trial)"
    r"[./:\\]+(?=.)",
    re.IGNORECASE,
)
# a unit behind a name that is ours in any case; of other units the name is asked about
_NATS = re.compile(r"\s*[(\[]\s*nats?(\s*(/|per)\s*token)?\s*[)\]]$", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Where each field is. at: field -> index. settings: hyperparameter -> index. ignored: headers."""

    header: Sequence[str]
    at: Mapping[str, int]
    settings: Mapping[str, int] = field(default_factory=dict)
    ignored: Sequence[str] = ()

    def name(self, of: str) -> str:
        """What the table calls a field; our name where it has none."""
        return self.header[self.at[of]] if of in self.at else of

    def told(self) -> list[str]:
        """Lines for a reader: what was found and as what, what is missing, what was ignored."""
        found = [n if self.name(n) == n else f"{n} = {self.name(n)}" for n in ALIASES if n in self.at]
        found += [f"hp.{n} = {self.header[i]}" for n, i in self.settings.items()]
        rest = [n for n in ALIASES if n not in self.at]
        lines = [f"columns found: {_listed(found)}", f"not there: {_listed(rest)}"]
        return [*lines, *([f"ignored: {_listed(self.ignored)}"] if self.ignored else [])]


def by_hand(text: str) -> dict[str, str]:
    """`loss=eval/loss,ratio=x` -> field -> header. Raises ValueError that lists the fields there are."""
    parts = re.split(r",(?=[a-z_]+=)", text) if text else []
    found = {}
    for part in parts:
        name, equals, header = part.partition("=")
        name = BY_HAND.get(name.strip(), name.strip())
        if not equals or not header.strip() or name not in ALIASES:
            known = ", ".join(sorted({*BY_HAND, *ALIASES} - set(BY_HAND.values())))
            raise ValueError(f"{shown(part)} is not FIELD=COLUMN; the fields are {known}")
        found[name] = " ".join(header.split())
    return found


def recognise(header: Sequence[str], named: Mapping[str, str], given: Mapping[str, str]) -> Columns:
    """The columns of a table.

    named: field -> header, as `--columns` says. given: field -> value for all rows, which needs no column.
    Raises ValueError where a field may be two columns or a named one is not there, and where one is missing.
    """
    at: dict[str, int] = {}
    for of, name in named.items():
        if name not in header:
            raise ValueError(f"no column {shown(name)} for --columns; there are {_listed(header)}")
        at[of] = _one(header, [i for i, h in enumerate(header) if h == name], of)
    taken = set(at.values())
    for of, others in ALIASES.items():
        if of in at or of in given:
            continue
        own = [i for i, h in enumerate(header) if h == of]
        keys = (_key(of), *others)
        like = [i for i, h in enumerate(header) if i not in taken and _key(h) in keys]
        if own or like:
            at[of] = _one(header, own or like, of)
            taken.add(at[of])
    settings = _settings(header, taken)
    used = {*at.values(), *settings.values()}
    found = Columns(header, at, settings, [h or "(no name)" for i, h in enumerate(header) if i not in used])
    _complete(found, given)
    return found


def _key(header: str) -> str:
    name, before = _NATS.sub("", header.strip()), ""
    while name != before:
        before, name = name, _PREFIX.sub("", name)
    return "".join(c for c in name.lower().removesuffix(".value") if c.isalnum())


def _one(header: Sequence[str], places: Sequence[int], of: str) -> int:
    names = list(dict.fromkeys(header[i] for i in places))
    if len(names) > 1:
        short = next((k for k, v in BY_HAND.items() if v == of), of)
        raise ValueError(f"{_listed(names)} may each be {of}; say which with --columns {short}={names[0]}")
    if len(places) > 1:
        raise ValueError(f"two columns {shown(names[0])}; leave one of them out")
    return places[0]


def _settings(header: Sequence[str], taken: set[int]) -> dict[str, int]:
    """Hyperparameters: `hp.NAME` as it stands, and the usual ones by the names that trackers show."""
    found: dict[str, int] = {}
    for i, name in enumerate(header):
        ours = name[3:] if name.startswith("hp.") else SETTINGS.get(_key(name), "")
        if ours and i not in taken:
            if ours in found:
                raise ValueError(
                    f"two columns for hp.{ours}: {header[found[ours]]!r} and {name!r}; leave one out"
                )
            found[ours] = i
    return found


def _complete(found: Columns, given: Mapping[str, str]) -> None:
    have = {*found.at, *given}
    ratio = {"tokens", "num_params"} <= have or "tokens_per_parameter" in have
    stand_in = {"scale": "num_params" in have, "chinchilla_ratio": ratio or {"tokens", "scale"} <= have}
    missing = [n for n in REQUIRED if n not in have and not stand_in.get(n)]
    if not missing:
        return
    hints = [f"there are {_listed(found.header)}"]
    if "val_loss" in missing:
        hints += _loss_hints(found.ignored)
    other = [n for n in missing if n != "val_loss"]
    if other:
        hints.append(
            f"name a column with --columns {other[0]}=COLUMN, or one value for all with --given"
            f" {other[0]}=VALUE"
        )
    raise ValueError(
        f"no column {', '.join(map(repr, missing))}; give every run a row with {', '.join(REQUIRED)}"
        f" ({'; '.join(hints)})"
    )


def _loss_hints(ignored: Sequence[str]) -> list[str]:
    """What to type for columns that may hold the loss and were not taken for it."""
    hints = []
    for name in ignored:
        kind = loss.suspicion(name)
        if kind in ("perplexity", "bits"):
            hints.append(f"for the {kind} in {name!r}: --columns loss={name} --loss-is {kind}")
        elif kind.startswith("bits per"):
            hints.append(f"{name!r} holds {kind}, which are no loss per token")
        elif _key(name).endswith("loss") and "train" not in name.lower():
            hints.append(f"{name!r} may be the training loss; if it is the held-out one: --columns loss={name}")
    return hints or ["--columns loss=COLUMN names it"]


def _listed(names: Sequence[str], most: int = 25) -> str:
    """Names with commas between, cut where they are long or many."""
    short = [n if len(n) <= 40 else f"{n[:40]}…" for n in names[:most]]
    return ", ".join(short + ([f"{len(names) - most} more"] if len(names) > most else [])) or "none"
