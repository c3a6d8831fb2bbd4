"""An optimizer of the user's own: a Python file becomes a contestant.

The file holds one of
- a frozen dataclass that subclasses `optimizers.Optimizer`, as the built-in entries do;
- `space`, a dict of grids, with a function `jax_optimizer(learning_rate, ...)` that returns an optax
  transformation, or with a subclass of `torch.optim.Optimizer` (`__init__(params, lr, ...)`), or with both.
The short form may also declare `essential`, the hyperparameters that even the smallest sweep tunes (without it,
every sweep tunes all of them, the recipe's included), and `starts`, a dict of values where a search begins
(without it, in the middle of each grid). A tuple of numbers from 0 upwards goes on in ratios beyond its ends.
In the short form the docstring's first line is the title, `family` is "scalar" unless the file says "matrix",
and state and FLOPs are measured (rule.py). The file must stand alone: its source is its identity.
"""

import dataclasses
import hashlib
import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import optimizers
from optimizers.base import RECIPE, Axis, Info, Optimizer, Value, static
from optimizers.user.rule import UserRule

Backend = Literal["jax", "torch"]
BACKENDS: tuple[Backend, ...] = ("jax", "torch")
HOW = (
    "define a frozen dataclass that subclasses optimizers.Optimizer, a function"
    " jax_optimizer(learning_rate, ...) or a subclass of torch.optim.Optimizer"
)


def load(path: Path) -> type[Optimizer]:
    """The contestant in a file. Raises ValueError, one line, that says what is wrong with it."""
    module = _import(path)
    own = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]
    entries = [c for c in own if issubclass(c, Optimizer)]
    torch = sys.modules.get("torch")  # imported by the file, or it has no torch optimizer
    classes = [c for c in own if torch and issubclass(c, torch.optim.Optimizer)]
    function = getattr(module, "jax_optimizer", None)
    if len(entries) > 1 or (not entries and len(classes) > 1):
        names = ", ".join(c.__name__ for c in entries or classes)
        raise ValueError(f"{path}: holds several optimizers ({names}); keep one to a file")
    if entries:
        return _checked(path, entries[0])
    if function is None and not classes:
        raise ValueError(f"{path}: holds no optimizer; {HOW}")
    return _checked(path, _short_form(path, module, function, classes[0] if classes else None))


def rule(path: Path) -> str:
    """The rule's identity: an edited file is another rule."""
    return f"{path.stem}#{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def backends(entry: type[Optimizer]) -> tuple[Backend, ...]:
    """The frameworks a contestant is written in."""
    if issubclass(entry, UserRule):
        written = {"jax": entry.function is not None, "torch": entry.torch_class is not None}
    else:
        written = {b: getattr(entry, f"build_{b}") is not getattr(Optimizer, f"build_{b}") for b in BACKENDS}
    return tuple(backend for backend in BACKENDS if written[backend])


def require(entry: type[Optimizer], backend: Backend) -> None:
    """Raise ValueError unless a contestant is written in this framework."""
    if backend not in (written := backends(entry)):
        raise ValueError(
            f"{entry.info.title} has no {backend} build; run it with --backend {' or '.join(written)}"
        )


def place(error: BaseException, path: Path) -> str:
    """`path:line` of the innermost call in the file, or the path alone where the error is not in its code."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _import(path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise ValueError(f"{path}: the file's name becomes the optimizer's; give it one like my_rule.py")
    if path.stem in optimizers.names():
        raise ValueError(f"{path}: {path.stem!r} is the name of a built-in optimizer; rename the file")
    return run(path, "user_optimizer")


def run(path: Path, kind: str) -> ModuleType:
    """A user's Python file as a module, named after its kind. Raises ValueError, one line, where that fails."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"{kind}_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"{path}: syntax error in line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:  # anything may go wrong in another's file; all is one line
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(
            f"{place(error, path)}: cannot be imported: {type(error).__name__}: {reason}"
        ) from error
    return module


def _checked(path: Path, entry: type[Optimizer]) -> type[Optimizer]:
    """The class, if its declarations are complete; what a build does is for benchmark/kit/admission.py."""
    if "__dataclass_params__" not in vars(entry):
        raise ValueError(f"{path}: decorate {entry.__name__} with @dataclass(frozen=True)")
    for name in ("info", "space"):
        if not hasattr(entry, name):
            raise ValueError(f"{path}: {entry.__name__} lacks `{name}`; see optimizers/lion.py for one")
    fields = {field.name for field in dataclasses.fields(entry)}
    if "peak_lr" not in fields:
        raise ValueError(f"{path}: {entry.__name__} has no hyperparameter peak_lr, the rate that is scheduled")
    _not_the_recipe(path, fields)
    for ladder, axes in entry.space.items():
        if not axes or set(axes) - fields:
            raise ValueError(f"{path}: space[{ladder!r}] has {sorted(axes)}; its keys must be fields")
    for method in ("state_floats", "extra_flops"):
        if getattr(entry, method) is getattr(Optimizer, method):
            raise ValueError(f"{path}: {entry.__name__} lacks `{method}`; see optimizers/lion.py for one")
    try:
        entry().validate()
    except TypeError as error:
        raise ValueError(f"{path}: every hyperparameter needs a default ({error})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return entry


def _not_the_recipe(path: Path, names: Container[str]) -> None:
    for name in RECIPE:
        if name in names:
            raise ValueError(
                f"{path}: {name} belongs to the recipe, which is open to all optimizers alike; take it out"
            )


def _short_form(
    path: Path, module: ModuleType, function: Callable[..., Any] | None, torch_class: type | None
) -> type[Optimizer]:
    grids = getattr(module, "space", None)
    if not isinstance(grids, Mapping) or "peak_lr" not in grids:
        raise ValueError(f'{path}: lacks `space`; add one such as space = {{"peak_lr": (0.001, 0.002, 0.004)}}')
    _not_the_recipe(path, grids)
    axes = {name: _axis(path, name, grid) for name, grid in grids.items()} | _started(path, module, grids)
    for build, first in ((function, "learning_rate"), (torch_class, "lr")):
        if build is not None:
            _check_signature(path, build, first, set(axes) - {"peak_lr"})
    fields = [
        (name, type(a.start), static(a.start) if _is_static(a) else dataclasses.field(default=a.start))
        for name, a in axes.items()
    ]
    body = {
        "info": _info(path, module),
        "space": {"micro": axes, "paper": axes},
        "file": path.name,
        "function": staticmethod(function) if function else None,
        "torch_class": torch_class,
        "__module__": module.__name__,
    }
    return dataclasses.make_dataclass(path.stem, fields, bases=(UserRule,), namespace=body, frozen=True)


def _info(path: Path, module: ModuleType) -> Info:
    """Title and summary: the first line and the next paragraph of the docstring."""
    title, _, rest = inspect.cleandoc(module.__doc__ or path.stem).partition("\n")
    summary = " ".join(rest.strip().split("\n\n")[0].split()) or title
    family = getattr(module, "family", "scalar")
    if family not in ("scalar", "matrix"):
        raise ValueError(f'{path}: family is "scalar" or "matrix", not {family!r}')
    essential = getattr(module, "essential", ())
    known = (*module.space, *RECIPE)
    if isinstance(essential, str) or not all(name in known for name in essential):
        raise ValueError(f"{path}: essential = {essential!r} must be a tuple of names among {', '.join(known)}")
    return Info(title.rstrip("."), "", "", family, summary, tuple(essential))


def _started(path: Path, module: ModuleType, grids: Mapping[str, Any]) -> dict[str, Axis]:
    """The axes whose start the file declares in `starts`."""
    starts, found = getattr(module, "starts", {}), {}
    if not isinstance(starts, Mapping) or not set(starts) <= set(grids):
        raise ValueError(f"{path}: starts = {starts!r} must be a dict whose keys are in `space`")
    for name, value in starts.items():
        axis = _axis(path, name, grids[name])
        if value not in axis.grid:
            raise ValueError(f"{path}: starts[{name!r}] = {value!r} is not in its grid {axis.grid}")
        found[name] = dataclasses.replace(axis, start=value)
    return found


def _axis(path: Path, name: str, grid: Any) -> Axis:
    """The grid as an axis that starts in its middle. Grids of floats are traced, all others are static."""
    if isinstance(grid, Axis):
        if grid.start not in grid.grid:
            raise ValueError(f"{path}: space[{name!r}] starts at {grid.start!r}, which is not in its grid")
        return grid
    if not isinstance(grid, tuple | list) or not grid:
        raise ValueError(f"{path}: space[{name!r}] must be a tuple of values, not {grid!r}")
    values: list[Value] = list(grid)
    strange = [v for v in values if not isinstance(v, int | float | str)]
    if strange:
        raise ValueError(
            f"{path}: space[{name!r}] holds {strange[0]!r}; values are numbers or words, so give each part a"
            " grid of its own"
        )
    start = values[(len(values) - 1) // 2]
    if not any(isinstance(v, float) for v in values):
        return Axis(tuple(values), start)
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if len(numbers) < len(values):
        raise ValueError(f"{path}: space[{name!r}] = {grid!r} holds a value that is not a finite number")
    if all(0 < v < 1 for v in numbers) and name.startswith(("beta", "momentum")):
        return Axis(tuple(numbers), start, "log1m", high=0.9999)
    return Axis(tuple(numbers), start, "log" if min(numbers) >= 0 else "fixed", low=min(0.0, *numbers))


def _is_static(axis: Axis) -> bool:
    return not any(isinstance(value, float) for value in axis.grid)


def _check_signature(path: Path, build: Callable[..., Any], first: str, names: set[str]) -> None:
    """Every hyperparameter is an argument, every other argument has a finite default."""
    arguments = inspect.signature(build).parameters
    label = build.__name__
    needed = {first} | names | ({"params"} if first == "lr" else set())
    if missing := sorted(needed - set(arguments)):
        raise ValueError(f"{path}: {label} must take the arguments {', '.join(missing)}")
    for name, argument in arguments.items():
        if name in needed or name == "mask" or argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if argument.default is argument.empty:
            raise ValueError(f"{path}: {label} needs {name!r}; add it to `space` or give it a default")
        if isinstance(argument.default, float) and not math.isfinite(argument.default):
            raise ValueError(f"{path}: {label} has {name}={argument.default}; defaults must be finite")
