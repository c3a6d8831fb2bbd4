"""The page of a sweep that carries settings to wider models: what each rule costs against tuning there."""

from typing import TYPE_CHECKING, Any

from benchmark.analysis import carrying
from benchmark.frames import rows
from benchmark.report import text
from benchmark.report.table import TASK, Column, Table, fixed, numbers
from benchmark.study import Study
from benchmark.tasks import task_name
from optimizers.shared.carried import POLICIES, found_carried

if TYPE_CHECKING:
    from benchmark.report.site import Site

FILE = "transfer.html"


def write(site: "Site", study: Study) -> None:
    if has(study):
        site.put(study, FILE, page(study), site.template("transfer"))


def has(study: Study) -> bool:
    """Whether it carries any contestant."""
    return any(found_carried(name)[1] for name in study.optimizers)


def page(study: Study) -> dict[str, Any]:
    return {
        "heading": "Settings carried to wider models",
        "lead": "Regret: nats that a setting found at the smallest width and carried by a rule loses against"
        " tuning at the target. What was tuned is the best that its searches found: a regret may be negative.",
        "tables": [table for table in (regret(study),) if len(table)],
    }


def regret(study: Study) -> Table:
    """Every carried contestant on every task, against the tuned one there."""
    found = [
        {**r, "task": task, **spent(study, r["optimizer"], r["tuned"], task)}
        for r in rows(carrying.regrets(study.losses))
        for task in [task_name(r["scale"], r["chinchilla_ratio"])]
    ]
    columns = (
        Column("tuned", "Optimizer", lambda name: study.titles.get(name) or name),
        Column("policy", "Rule", _rule),
        TASK,
        numbers("val_loss", "Test loss", fixed(4)),
        numbers("tuned_loss", "Tuned there", fixed(4)),
        numbers("regret", "Regret, nats", lambda nats: text.signed(nats, 4)),
        numbers("interval", "95 % interval", _interval, of=("lo", "hi")),
        Column("verdict", "Verdict"),
        numbers("n", "n runs", lambda n: str(int(n))),
        numbers("diverged", "Diverged", lambda n: str(int(n))),
        numbers("saved", "Tuning trials saved there", str),
        numbers("share", "Tuning tokens, of those of the tuned one", fixed(2)),
    )
    places = {task.name: place for place, task in enumerate(study.tasks)}
    by_rule = {rule: place for place, rule in enumerate(POLICIES)}
    ordered = sorted(found, key=lambda r: (places[r["task"]], r["tuned"], by_rule[r["policy"]]))
    return Table("Regret of carried settings (intervals hold for all rows at once)", columns, ordered)


def spent(study: Study, name: str, tuned: str, task: str) -> dict[str, Any]:
    """saved: tuning trials at the task that the tuned contestant spent and the carried one did not. share: of
    tokens, of all trials that either setting rests on, the carried one's over the tuned one's; None where no
    record says."""
    own = {i for entry in study.searches(tuned, task) for i in entry.get("tuning", ())}
    tokens = [_tokens(study, study.tuned_by(who, task)) for who in (name, tuned)]
    return {"saved": len(own), "share": tokens[0] / tokens[1] if tokens[1] else None}


def _tokens(study: Study, ids: set[str]) -> int:
    return sum(study.by_id[i].trial.tokens for i in ids if i in study.by_id)


def _rule(policy: str) -> str:
    return POLICIES[policy].removeprefix("carried").lstrip(" ,")


def _interval(lo: float, hi: float) -> str:
    return f"[{text.signed(lo, 4)}, {text.signed(hi, 4)}]" if text.is_number(lo) else text.MISSING
