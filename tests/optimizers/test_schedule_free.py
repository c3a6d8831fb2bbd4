"""Schedule-Free: pytorch_optimizer's is the oracle of what is trained; what is evaluated is checked by hand."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from pytorch_optimizer import ScheduleFreeAdamW

from benchmark.kit import admission, cases
from benchmark.train import runner
from optimizers.base import Optimizer
from optimizers.schedule_free import ScheduleFree

Fixture = Any
PARTS = ("embed", "attn_norm", "q", "down", "head")
RATIOS = {"embedding_lr_ratio": 4.0, "head_lr_ratio": 0.25}


@pytest.mark.oracle("pytorch_optimizer")
def test_agrees_with_pytorch_optimizer(path: Fixture, against: Fixture, assert_close: Fixture) -> None:
    """The falling rate of the toy tells the weights of the average from equal ones."""
    opt, toy = ScheduleFree(), cases.problem(cases.toy_params(*PARTS))
    arguments = {"lr": opt.peak_lr, "betas": (opt.beta1, opt.beta2), "eps": opt.eps}
    expected = against(ScheduleFreeAdamW, toy, opt.weight_decay, **arguments)
    assert_close(path(opt, toy), expected, 1e-8)  # 1e-15 is added under its root


def by_hand(opt: ScheduleFree, toy: cases.Problem) -> tuple[cases.Arrays, cases.Arrays]:
    """y and x after each step, from the three sequences as the paper has them."""
    ys, xs = {}, {}
    for name, param in toy.params.items():
        x = z = y = toy.start[name]
        v, weights, ys[name], xs[name] = 0.0, 0.0, [], []
        decay = opt.weight_decay if param.role in ("hidden", "head") else 0.0
        for step, grad in enumerate(toy.grads[name]):
            rate = opt.peak_lr * toy.multiplier(step)
            v = opt.beta2 * v + (1 - opt.beta2) * grad**2
            direction = grad / (np.sqrt(v / (1 - opt.beta2 ** (step + 1))) + opt.eps) + decay * y
            z = z - rate * toy.ratios.get(name, 1.0) * direction
            weights += opt.peak_lr**2  # the largest rate so far, squared: the toy's is its first
            x = x + opt.peak_lr**2 / weights * (z - x)
            y = (1 - opt.beta1) * z + opt.beta1 * x
            ys[name].append(y)
            xs[name].append(x)
    return tuple({name: np.stack(points) for name, points in found.items()} for found in (ys, xs))


def test_ratios_scale_the_step_of_all_three_points(path: Fixture, assert_close: Fixture) -> None:
    toy = cases.problem(cases.toy_params("embed", "q", "head"), ratios={"embed": 4.0, "head": 0.25})
    assert_close(path(ScheduleFree(), toy), by_hand(ScheduleFree(), toy)[0], 1e-12)


def test_without_its_average_it_is_refused() -> None:
    """It would be scored at y, where it trains, and nothing would say so."""

    class Silent(ScheduleFree):
        eval_params = Optimizer.eval_params

    admission.is_evaluated_at_its_average(ScheduleFree(), "jax")
    with pytest.raises(ValueError, match="define eval_params"):
        admission.is_evaluated_at_its_average(Silent(), "jax")


def test_both_trainers_evaluate_the_average_and_scale_roles_alike() -> None:
    """Evaluated where it trains its loss is another one, and so it is with roles scaled after the step."""

    def losses(optimizer: Optimizer, backend: Any) -> list[float]:
        trial = cases.one_batch_trial(optimizer, backend, 0, 6)
        trial = dataclasses.replace(trial, hyperparameters={**trial.hyperparameters, **RATIOS})
        outcome = runner.trainer_of(backend).train([trial], [optimizer], cases.one_batch())[0]
        return [outcome.train_loss or 0.0, outcome.val_loss or 0.0]

    class Trained(ScheduleFree):
        def eval_params(self, state: Any, params: Any) -> Any:
            return params

    class Scaled(ScheduleFree):
        own_ratios = False

        def build_torch(self, params: Any, run: Any) -> Any:
            return super().build_torch(params, dataclasses.replace(run, ratios={}))

    in_jax, in_torch = losses(ScheduleFree(), "jax"), losses(ScheduleFree(), "torch")
    np.testing.assert_allclose(in_jax, in_torch, atol=1e-4)
    at_y, after = losses(Trained(), "torch"), losses(Scaled(), "torch")
    assert at_y[0] == in_torch[0] and abs(at_y[1] - in_torch[1]) > 0.01
    assert abs(after[0] - in_torch[0]) > 0.01
