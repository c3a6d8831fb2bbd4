"""Kinds of files and rules that people have: each is admitted and right, or refused in a line that says why."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark import scales
from benchmark.kit import __main__ as command
from benchmark.kit import admission, cases, guard
from benchmark.train import parameters, runner
from optimizers.base import RATIOS, Optimizer
from optimizers.user import files, short_form
from optimizers.user.axes import essential, generic

RATES = 'space = {"peak_lr": (0.002, 0.004, 0.008)}\n'
RULE = """import torch
space = {{"peak_lr": (0.01, 0.02)}}
{top}
class Descent(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {{"lr": lr}})
        {init}
    @torch.no_grad()
    def step(self{closure}):
        {before}
        for group in self.param_groups:
            for p in group["params"]:
                {update}
"""
PARTS = {"top": "", "init": "pass", "closure": "", "before": "pass", "update": "p.sub_(group['lr'] * p.grad)"}
PARAMS = parameters.roles(scales.get("13k"))
ANEW = """if not self.state:
            self.state["rule"]["on"] = torch.ones(2)
            [p.fill_(0.1) for group in self.param_groups for p in group["params"]]"""
COUNTED = """self.n += 1
        [p.grad.div_(self.n) for group in self.param_groups for p in group["params"]]"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str = "", name: str = "mine.py", **parts: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text or RULE.format(**PARTS | parts), encoding="utf-8")
        return path

    return to_file


def train_loss(entry: type[Optimizer]) -> float:
    trial = cases.one_batch_trial(entry(), "torch", 0, 6)
    outcome = runner.trainer_of("torch").train([trial], [entry()], cases.one_batch())[0]
    return outcome.train_loss or 0.0


def test_random_numbers_of_the_framework_are_the_seeds(write: Write) -> None:
    entry = files.load(write(update="p.sub_(group['lr'] * p.grad * torch.rand(()))"))
    admission.admit(entry, "torch")
    assert train_loss(entry) == train_loss(entry)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"top": "import os", "update": "p.sub_(group['lr'] * p.grad * os.urandom(1)[0] / 256)"}, "two runs"),
        ({"init": "self.rate = lr", "update": "p.sub_(self.rate * p.grad)"}, "ignores its learning rate"),
        ({"before": ANEW}, "is set anew"),
        ({"before": "assert len(self.state) == 7"}, "AssertionError: `assert len(self.state) == 7`"),
        ({"before": "torch.zeros(10**13)"}, "runs out of memory"),
        ({"before": "torch.set_default_dtype(torch.float64)"}, "torch's default type (torch.float32 to"),
        ({"before": "open('numbers.txt')"}, "name the file from Path(__file__).parent"),
        ({"top": "import os", "before": "os.fork()"}, "forks the process"),
        ({"top": "import os", "before": "os.chdir('/')"}, "the working directory"),
        ({"init": "self.n = 0", "before": COUNTED}, "some state is not saved (outside state_dict: n)"),
        ({"update": "p.data = p.data.half()"}, "changes 'embed' to torch.float16"),
    ],
)
@pytest.mark.filterwarnings("ignore:os.fork")  # which jax says where one of these rules forks
def test_what_a_rule_must_not_do_is_one_line(write: Write, parts: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        admission.admit(files.load(write(**parts)), "torch")
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert torch.get_default_dtype() == torch.float32


def test_numpys_random_numbers_in_a_traced_rule_are_found(write: Write) -> None:
    body = "optax.chain(optax.scale(float(np.random.rand())), optax.sgd(learning_rate))"
    text = f"import numpy as np, optax\n{RATES}def jax_optimizer(learning_rate):\n    return {body}\n"
    with pytest.raises(ValueError, match="another program whenever it is traced"):
        admission.is_one_program(files.load(write(text))(), "jax")
    admission.is_one_program(files.load(write(text.replace("np.random.rand()", "0.5")))(), "jax")


GRAPH = """with torch.enable_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    torch.autograd.grad(p.grad.sum(), p, retain_graph=True)"""


@pytest.mark.parametrize(
    ("parts", "gradients", "says"),
    [
        ({"closure": ", closure=None"}, 0, ""),
        ({"closure": ", closure=None", "before": "self.state['n']['x'] = closure()"}, 1, ""),
        ({"closure": ", closure=None, loss=None", "before": "loss.item()"}, 0, ""),
        ({"before": GRAPH}, 2, "differentiates"),
        ({"update": "p.sub_(group['lr'] * (p.grad @ p.grad.T @ p.grad))"}, 0, "refuses vectors"),
    ],
)
def test_what_a_step_needs_is_found(write: Write, parts: dict[str, str], gradients: int, says: str) -> None:
    entry = files.load(write(**parts))
    assert entry().extra_gradients(PARAMS) == gradients
    assert any(says in term for term in entry().terms()) or not says  # type: ignore[attr-defined]
    assert train_loss(entry) > 0


def test_matrices_go_to_the_class_and_the_rest_to_adamw() -> None:
    entry = files.load("torch.optim:Muon")
    hidden = sum(p.size for p in PARAMS.values() if p.role == "hidden")
    others = sum(p.size for p in PARAMS.values()) - hidden
    assert entry().state_floats(PARAMS) == hidden + 2 * others
    admission.trains_and_resumes(entry(), "torch")


MODES = """
    @torch.no_grad()
    def move(self, distance):
        [p.add_(distance) for group in self.param_groups for p in group["params"]]
    def eval(self):
        self.move(DISTANCE)
    def train(self):
        self.move(-DISTANCE) if self.state else None
"""


def test_a_rule_that_averages_runs_without_the_recipes_schedule(write: Write) -> None:
    text = RULE.format(**PARTS | {"before": "self.state['n']['n'] = 1"}) + MODES
    averaging = text.replace("DISTANCE", "1.0")
    ratios = dict.fromkeys(RATIOS, 1.0)  # of which its average would know nothing
    assert files.load(write(averaging)).recipe_fixed == short_form.UNSCHEDULED | ratios
    assert files.load(write(text.replace("DISTANCE", "0.0"), "same.py")).recipe_fixed == {}
    assert files.load(write(averaging + "\nschedule = True\n", "kept.py")).recipe_fixed == ratios
    assert files.load("torch.optim:SGD?schedule=off").recipe_fixed == short_form.UNSCHEDULED


OPTAX = f"import functools, optax\n{RATES}"


@pytest.mark.parametrize(
    ("text", "where", "made"),
    [
        (f"{OPTAX}jax_optimizer = functools.partial(optax.adam, b1=0.8)", "", "function"),
        (f"{OPTAX}jax_optimizer = lambda learning_rate: optax.sgd(learning_rate)", "", "function"),
        (
            f"{OPTAX}class Maker:\n    def __call__(self, learning_rate): return optax.sgd(learning_rate)\n"
            "jax_optimizer = Maker()",
            "",
            "function",
        ),
        (
            f"import functools, torch\n{RATES}fast = functools.partial(torch.optim.AdamW)",
            ":fast",
            "torch",
        ),
        (
            f"import abc, torch\n{RATES}class Base(torch.optim.SGD, abc.ABC):\n    @abc.abstractmethod\n"
            "    def rule(self): ...\nclass Mine(Base):\n    def rule(self): ...\n",
            "",
            "torch",
        ),
        (
            f"import torch\n{RATES}def marked(c): return c\n@marked\nclass Mine(torch.optim.SGD): ...\n"
            "if __name__ == '__main__':\n    raise SystemExit(3)\n",
            "",
            "torch",
        ),
    ],
)
def test_what_may_stand_for_an_optimizer(write: Write, text: str, where: str, made: str) -> None:
    entry = files.load(f"{write(text)}{where}")
    backend = "jax" if made == "function" else "torch"
    assert files.backends(entry) == (backend,) and entry().peak_lr == 0.004  # type: ignore[attr-defined]
    if made == "torch":
        assert train_loss(entry) > 0


def test_a_package_of_ones_own_and_names_that_are_not_ascii(write: Write, tmp_path: Path) -> None:
    write("import torch\nclass Rule(torch.optim.SGD): ...\n", "ours/rule.py")
    whole = write(f"from .rule import Rule\n{RATES}", "ours/__init__.py")
    part = write(f"from .rule import Rule\n{RATES}", "ours/main.py")
    for where in (tmp_path / "ours", whole, part):
        assert files.load(where).torch_class.__name__ == "Rule"  # type: ignore[attr-defined]
    assert files.name(tmp_path / "ours") == "ours"
    before = files.rule(part)
    write("import torch\nclass Rule(torch.optim.AdamW): ...\n", "ours/rule.py")
    assert files.rule(part) != before
    assert files.name(write(name="schön.py")) == "schön" and files.load(tmp_path / "schön.py")


def test_a_helper_that_another_hides_is_told_and_the_remedy_works(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder comes first in Python's path, and ours is there before any file of a user's."""
    write("raise RuntimeError('the wrong one')\n", "here/helper_of_lab.py")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    for helper in ("helper_of_lab", "tools"):
        write("from optax import sgd as rule\n", f"lab/{helper}.py")
        text = f"from NAME import rule\n{RATES}\ndef jax_optimizer(learning_rate): return rule(learning_rate)\n"
        mine = write(text.replace("NAME", helper), "lab/mine.py")
        with pytest.raises(ValueError, match=f"takes {helper} from .*, not from .*: give the latter") as raised:
            files.load(mine)
        assert "\n" not in str(raised.value)
        (tmp_path / "lab" / f"{helper}.py").rename(tmp_path / "lab" / f"{helper}_renamed.py")
        assert files.load(write(text.replace("NAME", f"{helper}_renamed"), "lab/mine.py"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.py", "\n", "holds no optimizer"),
        ("imports.py", "import torch\n", "holds no optimizer"),
        ("several.py", f"from torch.optim import SGD, AdamW\n{RATES}", "several optimizers"),
        ("folder/notes.txt", "x", "is a folder; name a Python file in it: it has none"),
        ("mine.pyc", "x", "name a Python file"),
    ],
)
def test_what_is_no_optimizer_is_one_line(write: Write, name: str, text: str, message: str) -> None:
    path = write(text, name)
    with pytest.raises(ValueError) as raised:
        files.load(path.parent if path.suffix == ".txt" else path)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_wrong_name_is_answered_with_names_like_it() -> None:
    with pytest.raises(ValueError, match=r"has no RMSProp; it has RMSprop"):
        files.load("torch.optim:RMSProp")


def test_a_number_that_caps_a_step_is_a_rate() -> None:
    entry = files.load("optax:polyak_sgd")
    assert entry().peak_lr == 1.0 and entry.space["micro"]["peak_lr"].grid[0] == 0.25  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("optax:adam?b1=2,3", "--axis b1: 2 is outside its limits; give values of at least 0 and below 1"),
        ("torch.optim:RMSprop?alpha=0.9,1.0", "--axis alpha: 1.0 is outside"),
        ("torch.optim:AdamW?weight_decay=0.1,-0.1", "--axis weight_decay: -0.1 is outside"),
        ("torch.optim:AdamW?eps=-1e-8", "give values of at least 0"),
        ("torch.optim:RMSprop?momentum=0.0,0.99995", ""),  # beyond where a search stops, but below 1
        ("optax:adam?b1=0.5", ""),
    ],
)
def test_a_grid_keeps_to_the_limits_of_its_axis(where: str, message: str) -> None:
    if not message:
        files.load(where)
        return
    with pytest.raises(ValueError) as raised:
        files.load(where)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_an_import_that_hangs_is_given_up(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOAD_SECONDS", 0.5)
    with pytest.raises(ValueError, match=r"mine\.py: its import has not ended after 0\.5 seconds"):
        admission.admit_named(str(write("while True: pass\n")), "torch")


def test_the_kit_says_terms_and_hides_what_is_printed(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_named", lambda where: None)  # first loaded apart: see test_user_file.py
    path = write(before="print('step')", update="p.sub_(group['lr'] * p.grad) if p.dim() == 2 else 1 / 0")
    assert command.main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note  It refuses vectors")
    assert any(line.startswith("note  it prints") for line in lines) and "step" not in lines


def test_memory_is_limited_only_while_watched() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with guard.watched():
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_averages_of_a_signature_start_where_the_registry_s_do_and_shares_of_the_new_are_no_averages() -> None:
    """Lion's and AdamW's second coefficients are made for long runs; Adan's are shares of what is new."""

    def build(lr=1e-3, betas=(0.9, 0.999), b3=0.9999, momentum=0.0, rho=0.05):  # type: ignore[no-untyped-def]
        raise AssertionError("only its signature is read")

    axes = generic(build).axes
    assert {name: axes[name].start for name in ("beta1", "beta2", "b3", "momentum")} == {
        "beta1": 0.9,
        "beta2": 0.98,
        "b3": 0.98,
        "momentum": 0.0,
    }
    assert axes["rho"].grid == (0.01, 0.02, 0.05, 0.1)
    assert axes["rho"].start == 0.05 and axes["rho"].spacing == "log"
    assert essential(axes) == ("peak_lr", "beta1", "embedding_lr_ratio", "head_lr_ratio")
