"""What people's optimizers ask for, each in a file of its own: it trains, and costs what it costs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import scales
from benchmark.kit import admission, cases
from benchmark.spec import Outcome
from benchmark.train import parameters, runner
from optimizers.base import Optimizer
from optimizers.user import files

OPTAX = "import jax, optax\n"
TORCH = "import torch\n"
RATES = 'space = {"peak_lr": (0.002, 0.004, 0.008)}\n'
EXTRA = "    return optax.GradientTransformationExtraArgs(rule.init, update)\n"
Load = Callable[..., type[Optimizer]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def from_text(text: str, name: str = "mine.py", where: str = "") -> type[Optimizer]:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return files.load(f"{path}{where}")

    return from_text


def trained(entry: type[Optimizer], steps: int = 8) -> Outcome:
    backend = files.backends(entry)[0]
    trial = cases.one_batch_trial(entry(), backend, 0, steps)
    return runner.trainer_of(backend).train([trial], [entry()], cases.one_batch())[0]


def runs(entry: type[Optimizer]) -> bool:
    """Whether some steps and an evaluation go through; how well they do is another question."""
    return (trained(entry).train_loss or 0) > 0


def extra_gradients(entry: type[Optimizer]) -> float:
    return entry().extra_gradients(parameters.roles(scales.get("13k")))


def optax_rule(signature: str, body: str) -> str:
    head = "def jax_optimizer(learning_rate):\n    rule = optax.adam(learning_rate)\n"
    return f"{OPTAX}{RATES}{head}    def update(grads, state, params=None, {signature}):\n{body}{EXTRA}"


def test_an_optax_rule_is_given_what_it_takes_and_nothing_else(load: Load) -> None:
    plain = "        return rule.update(grads, state, params)\n"
    closed = load(optax_rule("*, scale=1.0", plain), "closed.py")
    reference = trained(
        load(f"{OPTAX}{RATES}def jax_optimizer(learning_rate):\n    return optax.adam(learning_rate)\n")
    )
    assert trained(closed).val_loss == reference.val_loss
    scaled = "        return rule.update(jax.tree.map(lambda g: 0 * value * g, grads), state, params)\n"
    still = trained(load(optax_rule("*, value, **extra", scaled), "value.py"))
    assert still.train_loss != reference.train_loss
    assert extra_gradients(closed) == 0


def test_a_second_gradient_is_counted(load: Load) -> None:
    ahead = (
        "        ahead = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)\n"
        "        return rule.update(jax.grad(loss_fn)(ahead), state, params)\n"
    )
    twice = load(optax_rule("*, loss_fn, **extra", ahead), "twice.py")
    by_grad_fn = load(optax_rule("*, grad_fn, **extra", ahead.replace("jax.grad(loss_fn)", "grad_fn")), "fn.py")
    assert extra_gradients(twice) == extra_gradients(by_grad_fn) == 1
    assert runner.facts(twice, cases.one_batch_trial(twice(), "jax", 0, 8))["gradients_per_step"] == 2
    cost = trained(twice).cost
    assert 1 < cost.optimizer_flops / cost.model_flops < 1.1
    closure = load(
        f"{TORCH}{RATES}"
        "class Twice(torch.optim.SGD):\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, lr=lr)\n"
        "    def step(self, closure):\n        closure()\n        return super().step()\n",
        "closure.py",
    )
    assert extra_gradients(closure) == 1
    assert trained(closure).cost.optimizer_flops >= trained(closure).cost.model_flops


def test_a_value_that_is_asked_for_is_static(load: Load) -> None:
    text = (
        f"{OPTAX}"
        'space = {"peak_lr": (0.008, 0.016, 0.032), "weight_decay": (0.0, 0.1, 0.2), "beta": (0.8, 0.9)}\n'
        "def jax_optimizer(learning_rate, weight_decay, beta):\n"
        "    parts = [optax.trace(beta)]\n"
        "    if weight_decay:\n        parts.append(optax.add_decayed_weights(weight_decay))\n"
        "    return optax.chain(*parts, optax.scale_by_learning_rate(learning_rate))\n"
    )
    entry = load(text)
    assert entry().statics() == {"weight_decay": 0.1} and set(entry().floats()) == {"peak_lr", "beta"}
    assert runs(entry)


def test_pairs_are_one_axis_and_reach_the_rule(load: Load) -> None:
    entry = load(
        f"{TORCH}"
        'space = {"peak_lr": (0.01, 0.02), "betas": ((0.9, 0.95), (0.8, 0.95), (0.9, 0.99))}\n'
        'starts = {"betas": (0.9, 0.99)}\n'
        "class Pairs(torch.optim.AdamW):\n"
        "    def __init__(self, params, lr, betas):\n        super().__init__(params, lr=lr, betas=betas)\n"
    )
    assert entry.space["micro"]["betas"].grid == ("(0.9, 0.95)", "(0.8, 0.95)", "(0.9, 0.99)")
    assert entry().statics() == {"betas": "(0.9, 0.99)"}
    assert entry()._arguments()["betas"] == (0.9, 0.99)  # type: ignore[attr-defined]
    assert runs(entry)


def test_state_is_counted_however_it_is_nested(load: Load) -> None:
    entry = load(
        f"{TORCH}{RATES}"
        "class Nested(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, {'lr': lr})\n"
        "    @torch.no_grad()\n    def step(self, closure=None):\n"
        "        for group in self.param_groups:\n            for p in group['params']:\n"
        "                inner = self.state[p].setdefault('block', {'m': torch.zeros_like(p)})\n"
        "                p.sub_(group['lr'] * inner['m'].lerp_(p.grad, 0.1).sign())\n"
    )
    params = parameters.roles(scales.get("13k"))
    assert entry().state_floats(params) == sum(p.size for p in params.values())


def test_a_step_that_cannot_be_counted_still_trains(load: Load) -> None:
    entry = load(
        f"{TORCH}{RATES}"
        "@torch.compile(fullgraph=True, backend='eager')\n"
        "def move(p, g, rate):\n    p.sub_(rate * g.sign())\n"
        "class Whole(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, {'lr': lr})\n"
        "    @torch.no_grad()\n    def step(self, closure=None):\n"
        "        for group in self.param_groups:\n            for p in group['params']:\n"
        "                move(p, p.grad, torch.tensor(group['lr']))\n"
    )
    assert entry().extra_flops(parameters.roles(scales.get("13k")), 10, 128) == 0
    assert runs(entry)


def test_a_rule_that_knows_no_groups_gets_tensors(load: Load) -> None:
    entry = load(
        f"{TORCH}{RATES}"
        "class Older(torch.optim.SGD):\n"
        "    def __init__(self, params, lr, cap=float('inf')):\n"
        "        params = list(params)\n"
        "        if any(not isinstance(p, torch.Tensor) for p in params):\n            raise TypeError('p')\n"
        "        super().__init__(params, lr=lr)\n"
    )
    assert runs(entry)


def test_groups_may_be_made_from_roles(load: Load) -> None:
    entry = load(
        f"{TORCH}{RATES}"
        "def groups(params, roles):\n"
        "    return [{'params': [p for n, p in params.items() if (roles[n].role == 'hidden') == hidden],\n"
        "             'momentum': 0.9 * hidden} for hidden in (True, False)]\n"
        "class Two(torch.optim.SGD):\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, lr=lr)\n"
    )
    assert runs(entry)


def test_a_rule_with_modes_is_evaluated_at_what_it_averages(load: Load) -> None:
    text = (
        f"{TORCH}{RATES}"
        "class Modes(torch.optim.AdamW):\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, lr=lr)\n"
        "    @torch.no_grad()\n    def move(self, factor):\n"
        "        [p.mul_(factor) for g in self.param_groups for p in g['params']]\n"
        "    def eval(self):\n        self.move(EVAL)\n"
        "    def train(self):\n        self.move(1 / EVAL) if hasattr(self, 'moved') else None\n"
        "    def step(self):\n        self.moved = 1\n        return super().step()\n"
    )
    same, half = (load(text.replace("EVAL", factor), f"m{i}.py") for i, factor in enumerate(("1.0", "0.5")))
    assert trained(same).train_loss == pytest.approx(trained(half).train_loss, rel=1e-5)
    assert trained(same).val_loss != pytest.approx(trained(half).val_loss, rel=1e-3)


def test_a_rule_without_schedule_keeps_its_full_rate(load: Load) -> None:
    text = f"{OPTAX}{RATES}def jax_optimizer(learning_rate):\n    return optax.sgd(learning_rate)\n"
    assert load(text, "a.py").recipe_fixed == {}
    fixed = load(f"{text}schedule = False\n", "b.py").recipe_fixed
    assert (fixed["warmup_fraction"], fixed["final_lr_ratio"]) == (0.0, 1.0)


def test_schedule_free_is_evaluated_at_its_average() -> None:
    entry = files.load("optax.contrib:schedule_free_adamw")
    import jax.numpy as jnp
    import optax
    from optax.contrib import schedule_free, schedule_free_eval_params

    rule, params = schedule_free(optax.sgd(0.1), 0.1), {"w": jnp.ones(2)}
    updates, state = rule.update({"w": jnp.ones(2)}, rule.init(params), params)
    params = optax.apply_updates(params, updates)
    updates, state = rule.update({"w": jnp.ones(2)}, state, params)
    params = optax.apply_updates(params, updates)
    assert (entry().eval_params((state,), params)["w"] == schedule_free_eval_params(state, params)["w"]).all()
    assert (entry().eval_params(state, params)["w"] != params["w"]).all()


@pytest.mark.parametrize(
    ("where", "name", "backend"),
    [
        ("torch.optim:RMSprop", "torch_rmsprop", "torch"),
        ("optax.contrib:ademamix", "optax_ademamix", "jax"),
        ("optax:adamw", "optax_adamw", "jax"),
        ("optax:sm3", "optax_sm3", "jax"),  # takes a number for its rate and no schedule
        (
            "optax:lbfgs",
            "optax_lbfgs",
            "jax",
        ),  # its line search refuses two of the keywords
        ("torch.optim:LBFGS", "torch_lbfgs", "torch"),  # its step needs a closure
    ],
)
def test_what_is_installed_needs_no_file(where: str, name: str, backend: str) -> None:
    entry = files.load(where)
    assert (files.name(where), files.backends(entry)) == (name, (backend,))
    assert files.rule(where).startswith(f"{name}#")
    admission.admit(entry, backend)
    assert runs(entry)


def test_axes_of_an_installed_rule_may_be_given() -> None:
    entry = files.load("torch.optim:RMSprop?momentum=0.5,0.7&centered=True,False&lr=0.001,0.002")
    space = entry.space["micro"]
    assert space["momentum"].grid == (0.5, 0.7) and space["peak_lr"].grid == (0.001, 0.002)
    assert entry()._arguments()["centered"] is True  # type: ignore[attr-defined]


def test_one_of_several_in_a_file_an_imported_one_and_a_name_that_is_taken(load: Load, tmp_path: Path) -> None:
    two = f"{TORCH}{RATES}class A(torch.optim.SGD):\n    pass\nclass B(torch.optim.SGD):\n    pass\n"
    with pytest.raises(ValueError, match="several optimizers"):
        load(two)
    assert load(two, where=":B").torch_class.__name__ == "B"  # type: ignore[attr-defined]
    assert load(f"from torch.optim import RMSprop\n{RATES}").torch_class.__name__ == "RMSprop"  # type: ignore
    assert files.name(tmp_path / "adamw.py") == "my_adamw"
    assert files.name(tmp_path / "v0.02.py") == "v0_02"


def test_a_file_that_ends_the_process_is_refused(load: Load) -> None:
    with pytest.raises(ValueError, match="ends the process"):
        load("import sys\nsys.exit(0)\n")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("nowhere_at_all:Thing", "not installed"),
        ("torch.optim:Nothing", "has no Nothing"),
        ("torch.optim", "name a Python file"),
    ],
)
def test_wrong_names_get_one_line(where: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        files.load(where)
    assert "\n" not in str(error.value)


def test_identity_covers_what_a_file_imports_and_not_its_comments(tmp_path: Path) -> None:
    helper, file = tmp_path / "helper_of_mine.py", tmp_path / "uses_helper.py"
    helper.write_text("import optax\ndef rule(rate): return optax.adam(rate)\n")
    build = "def jax_optimizer(learning_rate):\n    return helper_of_mine.rule(learning_rate)\n"
    text = f"import helper_of_mine\n{RATES}{build}"
    file.write_text(text)
    files.load(file)
    first = files.rule(file)
    file.write_text(text.replace("\n", "\r\n") + "# a comment\n")
    assert files.rule(file) == first
    helper.write_text("import optax\ndef rule(rate): return optax.sgd(rate)\n")
    assert files.rule(file) != first
