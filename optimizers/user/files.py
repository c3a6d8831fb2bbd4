"""An optimizer that is not in the registry: a Python file or an installed package becomes a contestant.

A file holds one of
- a frozen dataclass that subclasses `optimizers.Optimizer`, as the built-in entries do;
- `space`, a dict of grids, with a function `jax_optimizer(learning_rate, ...)` that returns an optax
  transformation, or with a `torch.optim.Optimizer` (a class, or a function `torch_optimizer(params, lr, ...)`),
  or with both. docs/your-optimizer.md shows what else the short form may say.
What an installed package has (`torch.optim:RMSprop`) needs no file: its axes come from its signature (axes.py).
"""

import contextlib
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import optimizers
from optimizers.base import Optimizer
from optimizers.shared.near import alike
from optimizers.user import identity, modules, short_form
from optimizers.user.rule import UserRule
from optimizers.user.spec import Spec, parse

Backend = Literal["jax", "torch"]
BACKENDS: tuple[Backend, ...] = ("jax", "torch")
KIND = "user_optimizer"
HOW = (
    "define a frozen dataclass that subclasses optimizers.Optimizer, a function"
    " jax_optimizer(learning_rate, ...) or a subclass of torch.optim.Optimizer"
)


def load(where: str | Path) -> type[Optimizer]:
    """The contestant of this name (see spec.py). Raises ValueError, one line, that says what is wrong."""
    spec = parse(where)
    module = _file(spec) if spec.is_file else modules.named(spec.where)
    found = _attribute(spec, module) if spec.attribute else _only(spec, module)
    if isinstance(found, type) and issubclass(found, Optimizer):
        if spec.grids:
            raise ValueError(f"{spec.label}: its class declares its own axes; change its `space` instead")
        return _checked(spec.label, found)
    return _checked(spec.label, short_form.made(spec, module, *found))


def preload(where: str | Path) -> None:
    """Import the installed packages that a file names, so that its own import takes what it does itself. What
    fails here fails there, where it is told."""
    spec = parse(where)
    path = Path(spec.where)
    names = identity.imported(path) if spec.is_file and path.is_file() else {spec.where.partition(".")[0]}
    for package in sorted(names):
        beside = spec.is_file and any((path.parent / each).exists() for each in (package, f"{package}.py"))
        if not beside:
            with contextlib.suppress(BaseException):
                importlib.import_module(package)


def name(where: str | Path) -> str:
    """What tables and records call it; `my_` in front where the registry has an optimizer of this name."""
    stem = parse(where).stem
    return f"my_{stem}" if stem in optimizers.names() else stem


def rule(where: str | Path) -> str:
    """The rule's identity: an edited file, or an edited package that it uses, is another rule."""
    spec = parse(where)
    if spec.is_file:
        source, module = Path(spec.where), modules.name(Path(spec.where), KIND)
    else:
        where_from = modules.named(spec.where)
        owner = inspect.getmodule(getattr(where_from, spec.attribute)) or where_from
        source, module = Path(str(owner.__file__)), owner.__name__
    return f"{name(where)}#{identity.digest(source, module, spec.attribute)}"


def backends(entry: type[Optimizer]) -> tuple[Backend, ...]:
    """The frameworks a contestant is written in."""
    if issubclass(entry, UserRule):
        written_in = {"jax": entry.function is not None, "torch": entry.torch_class is not None}
    else:
        written_in = {b: getattr(entry, f"build_{b}") is not getattr(Optimizer, f"build_{b}") for b in BACKENDS}
    return tuple(backend for backend in BACKENDS if written_in[backend])


def with_terms(entry: type[Optimizer]) -> type[Optimizer]:
    """The contestant, whose summary says on what terms it takes part where they are not everybody's."""
    if issubclass(entry, UserRule) and (terms := entry().terms()):
        sentences = [f"{entry.info.summary.rstrip('.')}.", *terms]
        entry.info = dataclasses.replace(entry.info, summary=" ".join(dict.fromkeys(sentences)))
    return entry


def require(entry: type[Optimizer], backend: Backend) -> None:
    """Raise ValueError unless a contestant is written in this framework."""
    if backend not in (there := backends(entry)):
        raise ValueError(
            f"{entry.info.title} has no {backend} build; run it with --backend {' or '.join(there)}"
        )


def _file(spec: Spec) -> ModuleType:
    """The file as a module; what lies beside it can be imported from it."""
    path = Path(spec.where)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that nothing of ours is hidden
    if path.is_file():
        _refuse_hidden(path)
    return modules.run(path, KIND)


def _refuse_hidden(path: Path) -> None:
    """Raises ValueError where what lies beside a file has the name of something in the current folder or of
    ours: Python takes that one, and a rule would be judged by another's helper."""
    ours = {Path.cwd(), Path(__file__).parents[2]} - {path.parent}
    for name in sorted(identity.imported(path)):
        places = [path.parent / f"{name}.py", path.parent / name / "__init__.py"]
        beside = [place for place in places if place.is_file() and place != path]
        taken = modules.found(name) if beside else None
        if taken and (taken.parent.parent if taken.name == "__init__.py" else taken.parent) in ours:
            raise ValueError(
                f"{path}: Python takes {name} from {taken}, not from {beside[0]}: give the latter another name"
            )


Builds = tuple[Callable[..., Any] | None, Any]


def _only(spec: Spec, module: ModuleType) -> type[Optimizer] | Builds:
    """The one optimizer in a file: its own classes first, then what it imports."""
    classes = [v for k, v in vars(module).items() if isinstance(v, type) and not k.startswith("_")]
    own = [c for c in classes if c.__module__ == module.__name__ and not inspect.isabstract(c)]
    torch = sys.modules.get("torch")  # imported by the file, or it has no torch optimizer
    base = torch.optim.Optimizer if torch else None
    entries = [c for c in own if issubclass(c, Optimizer)]
    function = getattr(module, "jax_optimizer", None)
    built = getattr(module, "torch_optimizer", None)
    rules = [built] if built else [c for c in own if base and issubclass(c, base)]
    if not rules and not function:
        rules = [c for c in dict.fromkeys(classes) if base and issubclass(c, base) and c is not base]
    if len(entries) > 1 or (not entries and len(rules) > 1):
        names = ", ".join(c.__name__ for c in entries or rules)
        raise ValueError(f"{spec.where}: holds several optimizers ({names}); name one with {spec.label}:NAME")
    if entries:
        return entries[0]
    if function is None and not rules:
        raise ValueError(f"{spec.where}: holds no optimizer; {HOW}")
    return function, rules[0] if rules else None


def _attribute(spec: Spec, module: ModuleType) -> type[Optimizer] | Builds:
    """What a name means in a module: a torch class, a function of params, or one that returns optax."""
    found = getattr(module, spec.attribute, None)
    if not callable(found):
        known = sorted(k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))
        there = alike(spec.attribute, known) or known[:12]
        raise ValueError(f"{spec.label}: {spec.where} has no {spec.attribute}; it has {', '.join(there)}")
    if inspect.isabstract(found):
        raise ValueError(f"{spec.label}: is abstract; name a class that can be made")
    if isinstance(found, type) and issubclass(found, Optimizer):
        return found
    first = next(iter(short_form.arguments(spec.label, found)), "")
    return (None, found) if isinstance(found, type) or first.startswith("param") else (found, None)


def _checked(label: str, entry: type[Optimizer]) -> type[Optimizer]:
    """The class, if its declarations are complete; what a build does is for benchmark/kit/admission.py."""
    if "__dataclass_params__" not in vars(entry):
        raise ValueError(f"{label}: decorate {entry.__name__} with @dataclass(frozen=True)")
    for fact in ("info", "space"):
        if not hasattr(entry, fact):
            raise ValueError(f"{label}: {entry.__name__} lacks `{fact}`; see optimizers/lion.py for one")
    fields = {field.name for field in dataclasses.fields(entry)}
    if "peak_lr" not in fields:
        raise ValueError(f"{label}: {entry.__name__} has no hyperparameter peak_lr, the rate that is scheduled")
    short_form.not_the_recipe(label, fields)
    for ladder, axes in entry.space.items():
        if not axes or set(axes) - fields:
            raise ValueError(f"{label}: space[{ladder!r}] has {sorted(axes)}; its keys must be fields")
    for method in ("state_floats", "extra_flops"):
        if getattr(entry, method) is getattr(Optimizer, method):
            raise ValueError(f"{label}: {entry.__name__} lacks `{method}`; see optimizers/lion.py for one")
    try:
        entry().validate()
    except TypeError as error:
        raise ValueError(f"{label}: every hyperparameter needs a default ({error})") from None
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
    return entry
