"""A user's own file: both examples run, and every wrong one gets one clear line."""

from collections.abc import Callable
from pathlib import Path

import pytest

import optimizers
from benchmark import scales
from benchmark.kit import __main__ as command
from benchmark.kit import admission, conformance
from benchmark.kit.admission import attempt
from benchmark.train import parameters
from optimizers.base import Optimizer
from optimizers.user import files

EXAMPLES = Path(__file__).parents[2] / "examples"
WriteFile = Callable[[str], Path]

OPTAX = '''
"""Plain descent. A test."""
import optax
space = {{"peak_lr": (0.1, 0.2, 0.4), "beta": (0.8, 0.9)}}

def jax_optimizer(learning_rate, beta{arguments}):
    return {rule}
'''
SGD = "optax.sgd(learning_rate, momentum=beta)"

TORCH = """
import torch
space = {{"peak_lr": (0.01, 0.02)}}

class Descent(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__({groups}, {{"lr": lr}})
        {init}

    @torch.no_grad()
    def step(self):
        {before}
        for group in self.param_groups:
            for p in group["params"]:
                {update}
"""
PARTS = {"groups": "params", "init": "pass", "before": "pass", "update": 'p.sub_(group["lr"] * p.grad)'}

DATACLASS = """
from dataclasses import dataclass
from optimizers import Axis, Info, Optimizer

@dataclass(frozen={frozen})
class Mine(Optimizer):
    peak_lr: float = {default}
    {info}
    {space}
    def state_floats(self, params): return 0
    def extra_flops(self, params, steps, batch_tokens): return 0.0
"""
FACTS = {
    "frozen": True,
    "default": "0.1",
    "info": 'info = Info("Mine", "", "", "scalar", "A test.")',
    "space": 'space = {"micro": {"peak_lr": Axis((0.1, 0.2), 0.1)}}',
}


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def to_file(text: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def optax_file(write: WriteFile, rule: str = SGD, arguments: str = "") -> Path:
    return write(OPTAX.format(rule=rule, arguments=arguments))


def torch_file(write: WriteFile, **parts: str) -> Path:
    return write(TORCH.format(**PARTS | parts))


@pytest.mark.parametrize(("name", "backend"), [("mine_optax", "jax"), ("mine_torch", "torch")])
def test_examples_pass_every_check(name: str, backend: str) -> None:
    entry = files.load(EXAMPLES / f"{name}.py")
    assert files.backends(entry) == (backend,)
    failures = {label: attempt(check) for label, check in conformance.checks(entry)}
    assert not any(failures.values()), failures
    params = parameters.roles(scales.get("27k"))
    assert entry().state_floats(params) == sum(param.size for param in params.values())
    assert entry().extra_flops(params, 100, 1024) >= 0
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 25


def test_title_space_and_start_come_from_the_file(write: WriteFile) -> None:
    entry = files.load(optax_file(write))
    assert (entry.info.title, entry.info.family) == ("Plain descent. A test", "scalar")
    assert entry().floats() == {"peak_lr": 0.2, "beta": 0.8}
    assert entry.space["micro"]["peak_lr"].beyond((0.1, 0.2, 0.4), upward=True) == 0.8
    assert entry.space["micro"]["beta"].spacing == "log1m"
    assert entry.info.essential == ()


def test_essential_starts_and_axes_may_be_declared(write: WriteFile) -> None:
    more = 'from optimizers import Axis\nessential = ["peak_lr", "head_lr_ratio"]\nstarts = {"beta": 0.9}\n'
    text = OPTAX.format(rule=SGD, arguments="").replace("(0.1, 0.2, 0.4)", 'Axis((0.1, 0.3), 0.3, "log")')
    entry = files.load(write(text.replace("\nspace", f"\n{more}space")))
    assert entry.info.essential == ("peak_lr", "head_lr_ratio")
    assert entry().floats() == {"peak_lr": 0.3, "beta": 0.9}
    assert entry.space["micro"]["peak_lr"].spacing == "log"


def test_the_former_name_of_spacing_is_told_its_new_one(write: WriteFile) -> None:
    given = OPTAX.format(rule=SGD, arguments="").replace("(0.1, 0.2, 0.4)", 'Axis((0.1,), 0.1, scale="log")')
    with pytest.raises(ValueError, match=r"mine\.py.*`scale` is called `spacing`"):
        files.load(write("from optimizers import Axis\n" + given))


def test_whole_numbers_are_static(write: WriteFile) -> None:
    text = OPTAX.format(rule=SGD, arguments=", repeats").replace('"beta":', '"repeats": (1, 2, 3), "beta":')
    entry = files.load(write(text))
    assert entry().statics() == {"repeats": 2}
    assert "repeats" not in entry().floats()


def test_an_edited_file_is_another_rule(write: WriteFile) -> None:
    before = files.rule(optax_file(write))
    assert before.startswith("mine#")
    assert before == files.rule(optax_file(write))
    assert before != files.rule(optax_file(write, rule="optax.sgd(learning_rate)"))


def test_weight_decay_spares_norms_and_embedding_when_masked(write: WriteFile) -> None:
    text = OPTAX.replace('"beta"', '"weight_decay": (0.0, 0.1), "beta"')
    rule = "optax.chain(optax.add_decayed_weights(weight_decay{mask}), optax.sgd(learning_rate))"
    masked = files.load(write(text.format(rule=rule.format(mask=", mask"), arguments=", weight_decay, mask")))
    conformance.weight_decay_acts_where_it_should(masked(), "jax")
    bare = files.load(write(text.format(rule=rule.format(mask=""), arguments=", weight_decay")))
    with pytest.raises(ValueError, match="weight decay shrinks embed"):
        conformance.weight_decay_acts_where_it_should(bare(), "jax")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "holds no optimizer; define"),
        ("def jax_optimizer(:", "syntax error in line 1"),
        ("import no_such_package", "mine.py:1: no_such_package is not installed here"),
        ("import sys\nsys.exit(0)", "mine.py:2: ends the process when it is imported (status 0)"),
        ("def jax_optimizer(learning_rate): ...", "lacks `space`"),
        ('space = {"beta": (0.9,)}\ndef jax_optimizer(learning_rate, beta): ...', "lacks `space`"),
        ('space = {"peak_lr": 0.1}\ndef jax_optimizer(learning_rate): ...', "must be a tuple of values"),
        (
            'space = {"peak_lr": (0.1, float("nan"))}\ndef jax_optimizer(learning_rate): ...',
            "not a finite number",
        ),
        (
            'space = {"peak_lr": (0.1,)}\ndef jax_optimizer(rate): ...',
            "the argument lr or learning_rate",
        ),
        (
            'space = {"peak_lr": (0.1,)}\ndef jax_optimizer(learning_rate, beta): ...',
            "needs 'beta'; add it to `space`",
        ),
        (
            'space = {"peak_lr": (0.1,), "clip_norm": (0.5, 1.0)}\ndef jax_optimizer(learning_rate): ...',
            "clip_norm belongs to the recipe, which is open to all optimizers alike; take it out",
        ),
        (
            'space = {"peak_lr": (0.1,)}\nessential = ("beta",)\ndef jax_optimizer(learning_rate): ...',
            "essential = ('beta',) must be a tuple of names among peak_lr, embedding_lr_ratio, head_lr_ratio",
        ),
        (
            'space = {"peak_lr": (0.1,)}\nessential = "peak_lr"\ndef jax_optimizer(learning_rate): ...',
            "must be a tuple of names",
        ),
        (
            'space = {"peak_lr": (0.1,)}\nstarts = {"peak_lr": 0.3}\ndef jax_optimizer(learning_rate): ...',
            "starts['peak_lr'] = 0.3 is not in its grid (0.1,)",
        ),
        (
            'space = {"peak_lr": (0.1,)}\nstarts = {"clip_norm": 1.0}\ndef jax_optimizer(learning_rate): ...',
            "must be a dict whose keys are in `space`",
        ),
        (
            "from optimizers import Axis\n"
            'space = {"peak_lr": Axis((0.1,), 0.2)}\ndef jax_optimizer(learning_rate): ...',
            "space['peak_lr'] starts at 0.2, which is not in its grid",
        ),
        (
            DATACLASS.format(**FACTS).replace(
                "peak_lr: float = 0.1", "peak_lr: float = 0.1; clip_norm: float = 1"
            ),
            "clip_norm belongs to the recipe",
        ),
        (DATACLASS.format(**FACTS | {"space": "pass"}), "lacks `space`"),
        (DATACLASS.format(**FACTS | {"info": "pass"}), "lacks `info`"),
        (DATACLASS.format(**FACTS | {"default": 'float("nan")'}), "peak_lr=nan must be a finite number"),
        (
            DATACLASS.format(**FACTS).replace("peak_lr: float = 0.1", "lr: float = 0.1"),
            "no hyperparameter peak_lr",
        ),
        (DATACLASS.format(**FACTS).replace("@dataclass(frozen=True)", ""), "decorate Mine with @dataclass"),
        (DATACLASS.format(**FACTS).replace("state_floats", "floats_of_state"), "lacks `state_floats`"),
        (DATACLASS.format(**FACTS) + "class Other(Mine): pass", "several optimizers (Mine, Other)"),
    ],
)
def test_wrong_declarations_get_one_line(write: WriteFile, text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        files.load(write(text))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_names_of_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        files.load(tmp_path / "absent.py")
    assert files.name(tmp_path / "adamw.py") == "my_adamw"  # a built-in has its name


def test_the_other_framework_is_asked_for_by_name(write: WriteFile) -> None:
    with pytest.raises(ValueError, match="no torch build; run it with --backend jax"):
        admission.admit(files.load(optax_file(write)), "torch")
    with pytest.raises(ValueError, match="no jax build; run it with --backend torch"):
        admission.admit(files.load(torch_file(write)), "jax")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"groups": "list(params[0]['params'])[:-1]"}, "'head' is in 0 of its groups"),
        ({"update": 'p.sub_(group["lr"] * p.grad * (p.dim() == 2))'}, "attn_norm never moves"),
        ({"update": 'p.sub_(group["lr"] * p.grad / 0)'}, "not finite"),
        (
            {
                "init": "self.steps = 0",
                "before": "self.steps += 1",
                "update": 'p.sub_(group["lr"] * p.grad / self.steps)',
            },
            "after a checkpoint: some state is not saved",
        ),
        ({"before": "raise KeyError('a')"}, "mine.py:12: KeyError: 'a'"),
        ({"before": "raise SystemExit(0)"}, "mine.py:12: SystemExit: 0"),
        ({"before": "self.inner.state"}, "mine.py:12: AttributeError"),
        ({"init": "self.state_dict = lambda: self.inner.state_dict()"}, "mine.py:8: AttributeError"),
        ({"init": "self.state['rule']['name'] = object()"}, "UnpicklingError"),
    ],
)
def test_what_a_torch_build_does_wrong_is_found_before_a_sweep(
    write: WriteFile, parts: dict[str, str], message: str
) -> None:
    admission.admit(files.load(torch_file(write)), "torch")
    with pytest.raises(ValueError) as raised:
        admission.admit(files.load(torch_file(write, **parts)), "torch")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


UPDATE = """
import jax
import optax
space = {{"peak_lr": (0.01, 0.02, 0.04), "beta": (0.8, 0.9)}}

def jax_optimizer(learning_rate, beta):
    rule = optax.sgd(learning_rate, momentum=beta)
    def update(grads, state, params=None, **extra):
        {line}
        return rule.update(grads, state, params)
    return optax.GradientTransformationExtraArgs(rule.init, update)
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("grads = optax.tree.norn(grads)", "mine.py:9: AttributeError: module 'optax.tree'"),
        ("grads = grads if grads['head'].sum() > 0 else params", "mine.py:9: TracerBoolConversionError"),
        ("grads = params if float(grads['head'].sum()) > 0.5 else grads", "floats are traced"),
        ("grads = jax.tree.map(lambda g: g / 0, grads)", "not finite"),
    ],
)
def test_what_a_jax_update_does_wrong_is_found_before_a_sweep(
    write: WriteFile, line: str, message: str
) -> None:
    with pytest.raises(ValueError) as raised:
        admission.admit(files.load(write(UPDATE.format(line=line))), "jax")
    assert message.lower() in str(raised.value).lower()
    assert "\n" not in str(raised.value)


def test_a_start_that_diverges_is_admitted_for_a_search_may_do_better(write: WriteFile) -> None:
    path = write(OPTAX.format(rule="optax.sgd(lambda s: 1e3 * learning_rate(s), momentum=beta)", arguments=""))
    admission.admit(files.load(path), "jax")


def test_a_file_that_ends_the_process_ends_only_its_own(write: WriteFile) -> None:
    path = torch_file(write, before="import os; os._exit(3)")
    with pytest.raises(ValueError, match=r"mine\.py: ends the process in its first steps"):
        admission.admit_named(str(path), "torch")


def test_a_file_that_hangs_is_given_up(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOAD_SECONDS", 0.5)
    path = torch_file(write)
    path.write_text(f"import time; time.sleep(1000)\n{path.read_text()}")
    with pytest.raises(ValueError, match=r"mine\.py: its import has not ended after 0\.5 seconds"):
        admission.admit_named(str(path), "torch")


def test_a_file_of_the_registry_is_the_registered_optimizer() -> None:
    there = Path(optimizers.__file__).parent
    for subject in ("lion", str(there / "lion.py"), str(there / "lion_torch.py")):
        assert command.named(subject) is optimizers.get("lion")


def fails(check: Callable[..., None], entry: type[Optimizer], *arguments: str) -> str:
    with pytest.raises(ValueError) as raised:
        check(entry(), *arguments)
    return str(raised.value)


def test_every_other_check_can_fail(write: WriteFile) -> None:
    """Each check is shown the mistake that it is for."""
    restless = files.load(torch_file(write, update='p.sub_(group["lr"] * p.grad + 1e-9)'))
    assert "at a learning rate of 0" in fails(conformance.zero_rate_changes_nothing, restless, "torch")
    seedless = files.load(
        torch_file(write, update='p.sub_(group["lr"] * p.grad * __import__("os").urandom(1)[0])')
    )
    assert "run.normal alone" in fails(conformance.runs_are_their_seed, seedless, "torch")
    slow = files.load(torch_file(write, update='p.sub_(1e-3 * group["lr"] * p.grad)'))
    assert "does not overfit" in fails(conformance.overfits_one_batch, slow, "torch")
    fixed = files.load(
        write(OPTAX.format(rule="optax.sgd(learning_rate)", arguments="").replace("0.2", "0.02"))
    )
    assert "beta has no effect" in fails(conformance.hyperparameters_are_traced, fixed)
    idle = files.load(optax_file(write, rule="optax.sgd(learning_rate)"))
    assert "beta has no effect" in fails(conformance.hyperparameters_are_traced, idle)
    branching = files.load(
        optax_file(write, rule="optax.sgd(learning_rate, momentum=beta if beta > 0 else None)")
    )
    assert set(branching().statics()) == {"beta"}  # its value is asked for: not traced, and not in that check
    vague = type("Vague", (files.load(optax_file(write)),), {"state_floats": lambda self, params: 7})
    assert "state_floats says 7" in fails(conformance.state_size_is_declared, vague, "jax")


def test_twins_that_differ_are_found(write: WriteFile) -> None:
    def both(factor: float) -> type[Optimizer]:
        rule = f"optax.sgd(lambda step: {factor} * learning_rate(step))"
        twin = f"import optax\ndef jax_optimizer(learning_rate): return {rule}\n"
        return files.load(write(TORCH.format(**PARTS) + twin))

    conformance.twins_agree(both(1.0)())
    assert "jax and torch differ" in fails(conformance.twins_agree, both(1.001))


def test_command_prints_one_line_per_check(
    write: WriteFile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main([str(torch_file(write))]) == 0  # plain descent does not overfit at this rate: a note
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    torch: every parameter moves" and "ok    torch: trains and resumes" in lines
    assert [line for line in lines if not line.startswith("ok")][:-1] == [
        next(x for x in lines if "overfit" in x)
    ]
    assert next(x for x in lines if "overfit" in x).startswith("note")
    assert lines[-1] == "mine: every check passed, 1 note (no jax build to check)"
    assert command.main(["no_such.py"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    monkeypatch.setattr(command, "load_named", lambda where: None)  # in a process of its own, as it was above
    assert command.main([str(torch_file(write, update='p.sub_(group["lr"] * p.grad + 1e-9)'))]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("mine: 1 check failed")
