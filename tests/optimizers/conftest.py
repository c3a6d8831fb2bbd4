"""Fixtures that every optimizer's test uses: a toy model, a gradient sequence, both frameworks driven alike.

Gradients are given, not computed, so that two implementations cannot drift apart through the loss: what differs
is the update rule alone. Everything runs in float64. Each fixture is a function.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from optimizers.base import Optimizer, Param, Run, describe

Arrays = dict[str, np.ndarray]


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture
def toy_params() -> Callable[[], dict[str, Param]]:
    """One layer: square (q k v o), tall (gate up), wide (down), 1-D (norms), embedding and head."""
    width, mlp, vocab = 8, 20, 12
    shapes: dict[str, tuple[int, ...]] = {"embed": (vocab, width), "layers.0.attn_norm": (width,)}
    shapes |= {f"layers.0.{part}": (width, width) for part in "qkvo"}
    shapes |= {"layers.0.gate": (mlp, width), "layers.0.up": (mlp, width), "layers.0.down": (width, mlp)}
    shapes |= {"final_norm": (width,), "head": (vocab, width)}
    return lambda: describe(shapes, heads=2)


@pytest.fixture
def initial() -> Callable[[Mapping[str, Param]], Arrays]:
    """Starting values: standard normal, the same for both frameworks."""
    return lambda params: {name: _normal(f"start {name}", p.shape) for name, p in params.items()}


@pytest.fixture
def normal() -> Callable[[str, tuple[int, ...]], np.ndarray]:
    """(label, shape) -> the normal values both frameworks see; a run's noise has the label "noise NAME"."""
    return _normal


@pytest.fixture
def gradients() -> Callable[..., Arrays]:
    """(name -> shape or Param) -> name -> (steps, *shape): a mean that slowly rotates, plus noise."""

    def make(shapes: Mapping[str, Any], steps: int = 20, seed: int = 0, scale: float = 0.1) -> Arrays:
        angle = np.linspace(0.0, 2.0, steps)
        grads = {}
        for name, shape in shapes.items():
            shape = shape.shape if isinstance(shape, Param) else tuple(shape)
            first, second, noise = (
                _normal(f"{part} {seed} {name}", size)
                for part, size in (("a", shape), ("b", shape), ("noise", (steps, *shape)))
            )
            grads[name] = scale * (
                np.multiply.outer(np.cos(angle), first) + np.multiply.outer(np.sin(angle), second) + 0.5 * noise
            )
        return grads

    return make


@pytest.fixture
def run_jax(float64: None, initial: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """(optimizer, params, grads) -> name -> (steps, *shape): the parameters after each step.

    Hyperparameters are traced, as in the trainer. Keywords: `start` (values), `multiplier`, `clip_norm`,
    `loss_fn` (a dict of parameters -> scalar).
    """

    def run(
        opt: Optimizer,
        params: Mapping[str, Param],
        grads: Arrays,
        start: Arrays | None = None,
        multiplier: Callable[[Any], Any] | None = None,
        clip_norm: float = 0.0,
        loss_fn: Callable[[Any], Any] | None = None,
    ) -> Arrays:
        steps = len(next(iter(grads.values())))
        tables = {name: _normal(f"noise {name}", (steps, *p.shape)) for name, p in params.items()}

        def normal(name: str, step: Any, shape: tuple[int, ...]) -> Any:
            return jnp.asarray(tables[name])[step].reshape(shape)

        @jax.jit
        def whole_run(floats: Any, values: Any, clip: Any, steps: Any) -> Any:
            schedule = multiplier or (lambda step: 1.0 - 0.5 * step / steps)
            tx = opt.replace(**floats).build_jax(Run(params, steps, schedule, normal, clip))

            def step(carry: Any, grad: Any) -> Any:
                values, state = carry
                updates, state = tx.update(grad, state, values, loss_fn=loss_fn)
                values = {name: values[name] + updates[name] for name in values}
                return (values, state), values

            inputs = {name: jnp.asarray(g) for name, g in grads.items()}
            return jax.lax.scan(step, (values, tx.init(values)), inputs)[1]

        values = {name: jnp.asarray(x) for name, x in (start or initial(params)).items()}
        return {name: np.asarray(x) for name, x in whole_run(opt.floats(), values, clip_norm, steps).items()}

    return run


@pytest.fixture
def run_torch(initial: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """The same as `run_jax`, in torch; schedule and noise are equal."""

    def run(
        opt: Optimizer,
        params: Mapping[str, Param],
        grads: Arrays,
        start: Arrays | None = None,
        multiplier: Callable[[Any], Any] | None = None,
        clip_norm: float = 0.0,
        loss_fn: Callable[[Any], Any] | None = None,
    ) -> Arrays:
        steps = len(next(iter(grads.values())))
        tables = {name: _normal(f"noise {name}", (steps, *p.shape)) for name, p in params.items()}
        schedule = multiplier or (lambda step: 1.0 - 0.5 * step / steps)

        def normal(name: str, step: Any, shape: tuple[int, ...]) -> torch.Tensor:
            return torch.from_numpy(tables[name][int(step)].copy()).reshape(shape)

        values = {n: torch.nn.Parameter(torch.tensor(x)) for n, x in (start or initial(params)).items()}
        context = Run(params, steps, schedule, normal, clip_norm)
        optimizer = opt.build_torch(values, context)
        peaks = [group["lr"] for group in optimizer.param_groups]
        path: dict[str, list[np.ndarray]] = {name: [] for name in values}
        for step in range(steps):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * schedule(step)
            for name, value in values.items():
                value.grad = torch.tensor(grads[name][step])
            context.loss_fn = loss_fn
            optimizer.step()
            for name, value in values.items():
                path[name].append(value.detach().numpy().copy())
        return {name: np.stack(points) for name, points in path.items()}

    return run


@pytest.fixture
def run_numpy(initial: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """(optimizer, params, grads, rule) -> the same as `run_jax`, for a rule written from its paper in numpy.

    `rule(grads, t, values)` returns u by name, t counted from 1; rate and decay are applied here:
    p <- p - lr_t (u + weight_decay p), with decay on matrices and the head alone.
    """

    def run(opt: Any, params: Mapping[str, Param], grads: Arrays, rule: Callable[..., Any]) -> Arrays:
        steps = len(next(iter(grads.values())))
        values = initial(params)
        path: dict[str, list[np.ndarray]] = {name: [] for name in values}
        for step in range(steps):
            rate = opt.peak_lr * (1.0 - 0.5 * step / steps)
            u = rule({name: g[step] for name, g in grads.items()}, step + 1, values)
            for name, value in values.items():
                decay = opt.weight_decay if params[name].role in ("hidden", "head") else 0.0
                values[name] = value - rate * (u[name] + decay * value)
                path[name].append(values[name])
        return {name: np.stack(points) for name, points in path.items()}

    return run


@pytest.fixture
def assert_close(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[[Arrays, Arrays, float], None]:
    """Fail where two sets of trajectories differ by more than `tolerance` anywhere; says where first.

    A test marked `oracle` records what it measured, for tools/parity.py.
    """
    oracle = request.node.get_closest_marker("oracle")

    def check(actual: Arrays, expected: Arrays, tolerance: float) -> None:
        assert actual.keys() == expected.keys()
        if oracle:
            gap = max(float(np.abs(values - expected[name]).max()) for name, values in actual.items())
            record_property("oracle", (oracle.args[0], gap, tolerance))
        for name, values in actual.items():
            gap = np.abs(values - expected[name]).reshape(len(values), -1).max(axis=1)
            assert gap.max() <= tolerance, f"{name}: off by {gap.max():.2e} at step {int(gap.argmax())}"

    return check


def _normal(label: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float64 values that depend on the label alone."""
    return np.random.default_rng(zlib.crc32(label.encode())).standard_normal(shape)
