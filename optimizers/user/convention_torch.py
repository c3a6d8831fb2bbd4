"""How torch optimizers want their parameters and their steps, and what they keep."""

import contextlib
import dataclasses
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from optimizers.base import Run, describe

# AdamW's for what a class for matrices leaves over: the defaults of optimizers/muon.py
BESIDE = {"betas": (0.8, 0.98), "eps": 1e-10}
Make = Callable[[Mapping[str, Any], Run, "Manners"], Any]


@dataclass(frozen=True)
class Manners:
    """What a class shows of itself in its first steps.

    matrices_only: it refuses vectors, so that it gets the hidden matrices and AdamW has the rest.
    graph: it differentiates the gradients that it is given. closure: it needs one, whatever its signature says.
    averages: in its evaluation mode the parameters are others than those it trains at.
    """

    matrices_only: bool = False
    graph: bool = False
    closure: bool = False
    averages: bool = False


def manners(make: Make, choices: Sequence[Manners]) -> Manners:
    """The first of some manners with which a rule takes three steps on four tiny tensors, uncompiled, and
    whether it averages; the first of all where it does with none, for whoever runs it to say what is wrong.

    make: (tensors, run, manners) -> rule.
    """
    for manner in choices:
        try:
            with eager(), torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
                return dataclasses.replace(manner, averages=_averages(make, manner))
        except (Exception, SystemExit):  # of somebody else's code anything may come; the next manner may do
            continue
    return choices[0]


def _averages(make: Make, manner: Manners) -> bool:
    params = describe({"embed": (4, 2), "layers.0.q": (2, 2), "norm": (2,), "head": (4, 2)}, 1)
    values = {name: torch.nn.Parameter(torch.ones(param.shape)) for name, param in params.items()}
    rule = make(values, Run(params, 10, lambda step: 1.0, lambda name, step, shape: torch.ones(shape)), manner)
    set_mode(rule, "train")

    @torch.enable_grad()
    def gradient() -> torch.Tensor:
        loss = sum((value.square().sum() for value in values.values()), torch.zeros(()))
        grads = torch.autograd.grad(loss, list(values.values()), create_graph=manner.graph)
        for value, grad in zip(values.values(), grads, strict=True):
            value.grad = grad
        return loss.detach()

    for _ in range(3):  # the average of one step is the step
        loss = gradient()
        step(rule, gradient, loss)
    if not has_modes(rule):
        return False
    trained = [value.detach().clone() for value in values.values()]
    set_mode(rule, "eval")
    return any(not torch.equal(one, other) for one, other in zip(trained, values.values(), strict=True))


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """What is compiled runs uncompiled here: a few steps are over before a compiler has begun."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def built(make: Callable[..., Any], named: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> Any:
    """An optimizer over groups of (name, tensor) pairs; of tensors where it takes no names; of one plain list
    where it takes no groups, all of which then decays alike. Raises the first error where none works."""
    bare = [{**group, "params": [p for _, p in group["params"]]} for group in named]
    flat = [p for group in bare for p in group["params"]]
    first: Exception | None = None
    for params in ([dict(group) for group in named], bare, flat):
        try:
            return make(params, **arguments)
        except Exception as error:  # whatever its checks of `params` raise
            first = first or error
    assert first is not None
    raise first


class Beside:
    """Two optimizers as one: a class for matrices, and AdamW at the same rate for all other parameters."""

    def __init__(self, rule: Any, rest: torch.optim.Optimizer) -> None:
        self.rule, self.rest = rule, rest

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [*self.rule.param_groups, *self.rest.param_groups]

    def step(self, *arguments: Any, **named: Any) -> Any:
        result = self.rule.step(*arguments, **named)
        self.rest.step()
        return result

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in (self.rule, self.rest):
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"rule": self.rule.state_dict(), "rest": self.rest.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rule.load_state_dict(state["rule"])
        self.rest.load_state_dict(state["rest"])


class Scaled:
    """An optimizer without a rate in its groups, whose steps are multiplied by a rate that begins at 1."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        for group in rule.param_groups:
            group.setdefault("lr", 1.0)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.rule.param_groups

    def step(self, *arguments: Any, **named: Any) -> Any:
        before = [[p.detach().clone() for p in group["params"]] for group in self.param_groups]
        result = self.rule.step(*arguments, **named)
        with torch.no_grad():
            for group, starts in zip(self.param_groups, before, strict=True):
                for p, start in zip(group["params"], starts, strict=True):
                    p.lerp_(start, 1.0 - group["lr"])
        return result

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.rule.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return self.rule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rule.load_state_dict(state)


def with_rate(rule: Any) -> Any:
    """The rule, whose groups all carry the `lr` that is scheduled."""
    return rule if all("lr" in group for group in rule.param_groups) else Scaled(rule)


def adamw_beside(rule: Any, rest: Sequence[Mapping[str, Any]], rate: float) -> Beside:
    """rest: groups of (name, tensor) pairs with their decay, if any."""
    groups = [{"weight_decay": 0.0, **group, "params": [p for _, p in group["params"]]} for group in rest]
    return Beside(rule, torch.optim.AdamW(groups, lr=rate, **BESIDE))


def step(rule: Any, gradient: Callable[[], torch.Tensor], loss: torch.Tensor) -> None:
    """One step of a rule, which is given what its `step` takes.

    gradient: sets every parameter's gradient anew and returns the loss. loss: at the gradient that is there.
    """
    if getattr(rule, "takes_closure", False):
        rule.step(gradient)
    elif getattr(rule, "takes_loss", False):
        rule.step(loss=loss)
    else:
        rule.step()


def takes(rule: Any, argument: str) -> inspect.Parameter | None:
    """The argument of this name of an optimizer's `step`."""
    try:
        stepped = rule.rule if isinstance(rule, Beside | Scaled) else rule
        return inspect.signature(stepped.step).parameters.get(argument)
    except (TypeError, ValueError, AttributeError):
        return None


def set_mode(rule: Any, mode: str) -> None:
    """Switch a rule that trains and evaluates at different values: mode "train" or "eval"."""
    if has_modes(rule):
        getattr(rule, mode)()


def has_modes(rule: Any) -> bool:
    """Whether a rule has both modes, as Schedule-Free has."""
    return all(callable(getattr(rule, name, None)) for name in ("train", "eval"))


def state_tensors(rule: Any) -> list[torch.Tensor]:
    """Every tensor in an optimizer's state, however it is nested."""

    def walk(value: Any) -> list[torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return [value]
        inner = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        )
        return [tensor for item in inner for tensor in walk(item)]

    state = rule.state_dict()  # a wrapper's may have any keys
    return walk({name: part for name, part in state.items() if name != "param_groups"})


def classes_of_package(rule: Any, names: Sequence[str]) -> list[Any]:
    """Those of some dotted names that are classes of the package which an optimizer is from, or plain
    collections: what a checkpoint of its state may hold beside tensors, numbers and text."""
    inner = rule.rule if isinstance(rule, Beside | Scaled) else rule
    own = {cls.__module__.partition(".")[0] for cls in type(inner).__mro__} - {"torch", "builtins", "typing"}
    found = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        thing = getattr(sys.modules.get(module), attribute, None)
        if isinstance(thing, type) and module.partition(".")[0] in {*own, "collections"}:
            found.append(thing)
    return found
