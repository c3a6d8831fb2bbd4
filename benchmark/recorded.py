"""Records as they are read: whether what a line says can be true of a run.

spec.py says what a record is, validate.py how a field is checked; here is what holds beyond a field's type.
"""

from collections.abc import Mapping
from typing import Any

from benchmark import validate
from benchmark.spec import SCHEMA, Record
from optimizers.base import RECIPE, ROLES, Value

# the hyperparameters of every optimizer that are numbers
NUMERIC = frozenset(("peak_lr", "weight_decay", *RECIPE)) - {"decay_kind"}
SIGNED = validate.number(-1e30, 1e30)
LOSS = validate.number(0.0, 1e6)  # nats per token of a finished run; one that diverges may be anywhere


def check_value(value: Any) -> Value:
    """A check of a hyperparameter's value: a number, or a word."""
    if isinstance(value, str):
        return validate.name(value)
    return value if isinstance(value, bool) else SIGNED(value)


_GIVEN: Mapping[str, validate.Check] = {
    **dict.fromkeys(NUMERIC, SIGNED),
    "peak_lr": validate.number(1e-30, 1e30),
    "decay_kind": validate.name,
    "batch_size": validate.whole(0, 10**9),
}


def check_settings(value: Any) -> Mapping[str, Value]:
    """A check of hyperparameters: numbers, and words where the recipe has words."""
    found, name = {}, ""
    try:
        for name, one in validate.mapping(value).items():
            found[name] = _GIVEN.get(name, check_value)(one)
    except validate.Wrong as error:
        raise error.within(name) from None
    return found


def check_init(value: Any) -> Mapping[str, float]:
    """A check of the factors of initial values."""
    found = validate.each(validate.number(1e-6, 1e6))(value)
    if unknown := sorted(set(found) - set(ROLES)):
        raise validate.Wrong(f"{validate.shown(unknown[0])} is no role; roles are {', '.join(ROLES)}")
    return found


SPACING = "scale"  # what manifests call Axis.spacing, so that old and new ones are alike
SEARCH_LOOKS = "own_looks"  # what they call Sweep.search_looks
_AXIS = {"grid": validate.several(check_value), "start": check_value, SPACING: validate.name}
check_facts = validate.tree(
    {
        **dict.fromkeys(("title", "paper", "url", "family", "rule", "ablation_of"), validate.name),
        "summary": validate.prose,
        "essential": validate.several(validate.name),
        "space": validate.each(validate.tree(_AXIS)),
    }
)
"""A check of what is known of an optimizer; in a manifest its search space is too."""

RANGES: Mapping[str, validate.Check] = {
    "chinchilla_ratio": validate.number(1e-6, 1e9),
    "tokens": validate.whole(0, 10**18),
    "Trial.tokens": validate.whole(1, 10**18),
    "steps": validate.whole(0, 10**15),
    "step": validate.whole(0, 10**15),
    "Record.val_loss": validate.maybe(LOSS),
    "bits_per_byte": validate.maybe(LOSS),
    "domain_losses": validate.each(LOSS),
    "Record.averages": validate.each(LOSS),
    "hyperparameters": check_settings,
    "init_ratios": check_init,
    "facts": check_facts,
    "environment": validate.tree({"machine": validate.name}),
    "reason": validate.prose,
}
"""What fields of a record hold beyond their annotation."""

_record = validate.shape(Record, RANGES)


def record_from_json(text: str | bytes) -> Record:
    """Parse one record. Raises ValueError that says what is wrong: not JSON, another schema, a field that
    cannot be, an outcome that contradicts itself, another id."""
    try:
        body = validate.parse(text)
    except ValueError as error:
        raise ValueError(f"not a record ({error})") from None
    if not isinstance(body, dict) or not {"schema", "trial_id", "trial"} <= body.keys():
        raise ValueError("not a record (schema, trial_id or trial is missing)")
    schema, trial_id = body.pop("schema"), body.pop("trial_id")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise ValueError(f"schema {validate.shown(schema)}, but this version reads schema {SCHEMA}")
    try:
        record: Record = _record(body)
        if problem := _contradiction(record):
            raise ValueError(problem)
    except ValueError as error:
        raise ValueError(f"not a record of schema {SCHEMA} ({error})") from None
    if record.trial.trial_id != trial_id:
        shown = validate.shown(trial_id)
        raise ValueError(f"its content hashes to {record.trial.trial_id}, not to {shown}: it was edited")
    return record


def _contradiction(record: Record) -> str:
    """Why an outcome cannot be of its trial; empty if it can. Of a run that did not finish there is no final
    loss: a loss that is not finite is what `diverged` says."""
    trial = record.trial
    if (record.status == "finished") != (record.val_loss is not None):
        known = "no val_loss" if record.val_loss is None else "a val_loss"
        return f"it is {record.status} and has {known}"
    last = max((point.step for point in record.curve), default=0)
    if record.curve and last > trial.steps:
        return f"its curve goes to step {last} of {trial.steps}"
    if not (trial.optimizer and trial.rule and trial.scale and "batch_size" in trial.hyperparameters):
        return "optimizer, rule, scale or batch size is not stated"
    return ""
