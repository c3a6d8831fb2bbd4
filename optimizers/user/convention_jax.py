"""What optax rules are handed beside gradients, state and parameters, each only what it takes."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optimizers.base import Optimizer, Run, describe

OFFERED = ("value", "grad", "value_fn", "grad_fn", "loss_fn")  # what optax itself names first


def with_known_keywords(rule: Any) -> optax.GradientTransformationExtraArgs:
    """A rule that is handed what it takes of: `value` (the batch's loss), `grad`, `value_fn` and `loss_fn`
    (parameters -> loss), `grad_fn` (parameters -> gradient)."""
    extra = isinstance(rule, optax.GradientTransformationExtraArgs)
    refused: set[str] = set()

    def update(updates: Any, state: Any, params: Any = None, **given: Any) -> tuple[Any, Any]:
        if not extra:
            return rule.update(updates, state, params)
        offer = _offer(updates, given)
        takes = inspect.signature(rule.update).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            return rule.update(updates, state, params, **{k: v for k, v in offer.items() if k in takes})
        while True:  # a chain takes anything and hands it to parts that may not
            kept = {k: v for k, v in offer.items() if k not in refused}
            try:
                return rule.update(updates, state, params, **kept)
            except TypeError as error:
                named = re.search(r"unexpected keyword argument '(\w+)'", str(error))
                least_usual = next((name for name in reversed(OFFERED) if name in kept), "")
                name = named[1] if named else least_usual
                if "nexpected keyword" not in str(error) or name not in kept:
                    raise
                refused.add(name)

    return optax.GradientTransformationExtraArgs(rule.init, update)


def scheduled(rule: Any, multiplier: Callable[[Any], Any]) -> optax.GradientTransformationExtraArgs:
    """A rule whose steps are multiplied by the schedule, as they would be by its rate."""
    return optax.with_extra_args_support(optax.chain(rule, optax.scale_by_schedule(multiplier)))


def _offer(updates: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    loss_fn = given.get("loss_fn")
    offer = {"value": given.get("value"), "grad": updates, "value_fn": loss_fn, "loss_fn": loss_fn}
    if loss_fn is not None:
        offer["grad_fn"] = lambda params, *_: jax.grad(loss_fn)(params)
    return {name: thing for name, thing in offer.items() if thing is not None}


def schedule_free_params(state: Any, params: Any) -> Any:
    """The averaged parameters of optax's Schedule-Free wrapper, which are its result; else the parameters."""
    from optax.contrib import schedule_free_eval_params

    found = _schedule_free(state)
    return schedule_free_eval_params(found[0], params) if found else params


def _schedule_free(state: Any) -> list[Any]:
    """The states of Schedule-Free wrappers within a state."""
    from optax.contrib import ScheduleFreeState

    parts = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, ScheduleFreeState))
    return [part for part in parts if isinstance(part, ScheduleFreeState)]


def is_schedule_free(rule: Optimizer) -> bool:
    """Whether a rule's state is that of Schedule-Free. Errors are left to whoever runs the rule."""
    try:
        params, values = _tiny()
        run = Run(params, 10, lambda step: 1.0, lambda name, step, shape: jnp.ones(shape))
        return bool(_schedule_free(jax.eval_shape(lambda: rule.build_jax(run).init(values))))
    except Exception:  # whoever runs the rule will say what it is
        return False


def _tiny() -> tuple[Any, dict[str, jax.Array]]:
    """Four parameters, one of each role, and values for them."""
    params = describe({"embed": (4, 2), "layers.0.q": (2, 2), "norm": (2,), "head": (4, 2)}, 1)
    return params, {name: jnp.ones(param.shape) for name, param in params.items()}


def untraceable(rule: Optimizer) -> list[str]:
    """The float hyperparameters whose values a function asks for while it builds its rule (`if weight_decay:`),
    so that they cannot be traced. Errors of any other kind are left to whoever runs the rule."""
    if not _asks_for_values(rule, list(rule.floats())):
        return []
    alone = [name for name in rule.floats() if name != "peak_lr" and _asks_for_values(rule, [name])]
    return alone if not _asks_for_values(rule, [n for n in rule.floats() if n not in alone]) else []


def _asks_for_values(rule: Optimizer, traced: list[str]) -> bool:
    params, values = _tiny()

    def once(floats: dict[str, Any]) -> Any:
        run = Run(params, 10, lambda step: 1.0, lambda name, step, shape: jnp.ones(shape))
        built = rule.replace(**floats).build_jax(run)
        return built.update(values, built.init(values), values, loss_fn=_sum, value=jnp.ones(()))

    try:
        jax.eval_shape(once, {name: jnp.float32(rule.floats()[name]) for name in traced})
    except jax.errors.ConcretizationTypeError:
        return True
    except Exception:  # whoever runs the rule will say what it is
        return False
    return False


def _sum(values: Mapping[str, Any]) -> Any:
    return sum(jnp.sum(value) for value in values.values())
