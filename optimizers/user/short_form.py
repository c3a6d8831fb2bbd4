"""The short form of an optimizer, grids and a function or a torch class, as a contestant (rule.py).

docs/your-optimizer.md says what a file may declare; what is installed declares nothing.
"""

import dataclasses
import inspect
import keyword
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from types import ModuleType
from typing import Any

from optimizers.base import RATIOS, RECIPE, Info, Optimizer, static
from optimizers.user.axes import LIMITS, RATES, Axes, check_limits, essential, generic, is_static, written
from optimizers.user.rule import UserRule, rate_of
from optimizers.user.spec import Spec

# no schedule: full rate from the first step to the last
UNSCHEDULED = {"warmup_fraction": 0.0, "decay_kind": "linear", "decay_fraction": 1.0, "final_lr_ratio": 1.0}


def made(spec: Spec, module: ModuleType, function: Any, torch_class: Any) -> type[Optimizer]:
    """The contestant of a function that returns an optax transformation, of a torch class, or of both (None for
    the other). Raises ValueError, one line, that says what is wrong."""
    label, build = spec.label, function or torch_class
    declared = getattr(module, "space", None) if spec.is_file else None
    if declared is not None and not isinstance(declared, Mapping):
        raise ValueError(f"{label}: space = {declared!r} must be a dict of grids, name: (value, value, ...)")
    lacking = spec.is_file and not spec.attribute if declared is None else "peak_lr" not in declared
    if lacking:
        raise ValueError(
            f'{label}: lacks `space`; add one such as space = {{"peak_lr": (0.001, 0.002, 0.004)}}'
        )
    not_the_recipe(label, declared or ())
    base = generic(build) if declared is None else written(label, declared, getattr(module, "starts", None))
    grids, scheduled = _schedule(label, module if spec.is_file else None, spec.grids)
    added = written(label, {"peak_lr" if n in (*RATES, *LIMITS) else n: g for n, g in grids})
    check_limits(label, added.axes, {**generic(build).axes, **base.axes})
    found = Axes({**base.axes, **added.axes}, {**base.choices, **added.choices}, base.pairs)
    for part in (function, torch_class):
        if part is not None:
            _check_signature(label, part, found)
    axes = found.axes
    named = tuple(dict.fromkeys((*essential(base.axes), *added.axes)))
    _check_names(label, axes)
    fields = [
        (name, type(a.start), static(a.start) if is_static(a) else dataclasses.field(default=a.start))
        for name, a in axes.items()
    ]
    facts = module if spec.is_file else None
    recipe_start = getattr(facts, "recipe_start", {})
    if not isinstance(recipe_start, Mapping):
        raise ValueError(f"{label}: recipe_start = {recipe_start!r} must be a dict, name: value")
    body = {
        "info": _info(label, facts, axes, named if declared is None else ()),
        "space": {"micro": axes, "paper": axes},
        "file": label,
        "function": staticmethod(function) if function else None,
        "torch_class": staticmethod(torch_class) if torch_class else None,
        "choices": found.choices,
        "pairs": found.pairs,
        "groups": _hook(label, facts, "groups"),
        "averaged": _hook(label, facts, "eval_params"),
        "generic": declared is None,
        "closure": bool(getattr(facts, "closure", False)),
        "recipe_start": dict(recipe_start),
        "recipe_fixed": UNSCHEDULED if scheduled is False else {},
    }

    def assembled() -> Any:
        made = dataclasses.make_dataclass(spec.stem, fields, bases=(UserRule,), namespace=body, frozen=True)
        made.__module__ = module.__name__  # not in the namespace: from Python 3.12 on ours takes its place
        return made

    made = assembled()
    if function:
        from optimizers.user.convention_jax import untraceable

        if fixed := untraceable(made()):  # it asks for their values: each value is a program of its own
            fields = [(n, t, static(axes[n].start) if n in fixed else f) for n, t, f in fields]
            made = assembled()
    may_average = function or not isinstance(torch_class, type) or hasattr(torch_class, "eval")
    if may_average and made().averages():  # what it evaluates does not follow a step that is scaled afterwards
        usual = UNSCHEDULED if scheduled is None else made.recipe_fixed
        made.recipe_fixed = {**usual, **dict.fromkeys(RATIOS, 1.0)}
    return made


def _check_names(label: str, axes: Mapping[str, Any]) -> None:
    """Every hyperparameter becomes an attribute of a class of ours; a rate is a number that a run can have."""
    taken = {*dir(UserRule), *UserRule.__annotations__, *Optimizer.__annotations__}
    for name in axes:
        if not name.isidentifier() or keyword.iskeyword(name) or name in taken:
            raise ValueError(f"{label}: a hyperparameter cannot be called {name!r}; give it another name")
    rates = axes["peak_lr"]
    if not all(_is_rate(value) for value in rates.grid) or not rates.start:
        raise ValueError(f"{label}: space['peak_lr'] = {rates.grid} must be numbers above 0")


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= sys.float_info.max


def _schedule(label: str, facts: ModuleType | None, grids: Any) -> tuple[Any, bool | None]:
    """The grids without the word about the schedule, and that word: `schedule = False` in a file, or
    `--axis schedule=off`; None where nobody says."""
    said = getattr(facts, "schedule", None)
    for name, values in grids:
        if name == "schedule":
            if values not in SCHEDULE_WORDS:
                raise ValueError(f"{label}: schedule is on or off, not {','.join(map(str, values))}")
            said = SCHEDULE_WORDS[values]
    return tuple(grid for grid in grids if grid[0] != "schedule"), said


SCHEDULE_WORDS = {("on",): True, ("off",): False, (True,): True, (False,): False}


def _hook(label: str, facts: ModuleType | None, name: str) -> Any:
    """A function that the file may declare, as a class attribute."""
    found = getattr(facts, name, None)
    if found and not callable(found):
        raise ValueError(f"{label}: {name} = {found!r} must be a function")
    return staticmethod(found) if found else None


def _info(label: str, facts: ModuleType | None, axes: Mapping[str, Any], named: tuple[str, ...]) -> Info:
    """Title and summary: the first line and the next paragraph of the file's docstring; of an installed one its
    name. named: what is essential where nobody says."""
    text = getattr(facts, "__doc__", None)
    text = text if text and isinstance(text, str) else label.removesuffix(".py")
    title, _, rest = inspect.cleandoc(text).partition("\n")
    summary = " ".join(rest.strip().split("\n\n")[0].split()) or title
    family = getattr(facts, "family", "scalar")
    if family not in ("scalar", "matrix"):
        raise ValueError(f'{label}: family is "scalar" or "matrix", not {family!r}')
    chosen = getattr(facts, "essential", named)
    known = (*axes, *RECIPE)
    if isinstance(chosen, str) or not isinstance(chosen, Iterable) or not all(name in known for name in chosen):
        raise ValueError(f"{label}: essential = {chosen!r} must be a tuple of names among {', '.join(known)}")
    return Info(title.rstrip("."), "", "", family, summary, tuple(chosen))


def _check_signature(label: str, build: Callable[..., Any], found: Axes) -> None:
    """Every hyperparameter is an argument, every other argument has a default."""
    accepted = arguments(label, build)
    name = getattr(build, "__name__", label)
    taken = {n for names in found.pairs.values() for n in names}
    needed = (set(found.axes) - {"peak_lr"} - taken) | set(found.pairs)
    any_name = any(a.kind is a.VAR_KEYWORD for a in accepted.values())
    if not rate_of(accepted):
        raise ValueError(
            f"{label}: {name} must take the argument lr or learning_rate; call it from a function of your own"
            " that does (docs/your-optimizer.md)"
        )
    if (missing := sorted(needed - set(accepted))) and not any_name:
        raise ValueError(f"{label}: {name} must take the arguments {', '.join(missing)}")
    for i, (argument, kind) in enumerate(accepted.items()):
        given = argument in needed or argument in ("mask", "roles", rate_of(accepted))
        if given or (i == 0 and argument.startswith("param")):
            continue
        if kind.kind not in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD) and kind.default is kind.empty:
            raise ValueError(
                f"{label}: {name} needs {argument!r}; add it to `space`, or give it a grid with --axis"
                f" {argument}=v1,v2"
            )


def arguments(label: str, build: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """What a function or class takes. Raises ValueError where nobody can tell."""
    try:
        return inspect.signature(build).parameters
    except (TypeError, ValueError):
        raise ValueError(f"{label}: its signature cannot be read; wrap it in a file of your own") from None


def not_the_recipe(label: str, names: Container[str]) -> None:
    """Raise ValueError where an optimizer has a hyperparameter of the recipe's name."""
    for name in RECIPE:
        if name in names:
            raise ValueError(
                f"{label}: {name} belongs to the recipe, which is open to all optimizers alike; take it out"
            )
