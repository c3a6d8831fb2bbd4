"""The contract between a contestant and the benchmark.

One optimizer is one frozen dataclass in one file: its fields are its hyperparameters, `info` its facts,
`space` what to tune, and `build_jax` / `build_torch` its update rule. Copy `lion.py` to write another.
This file imports no framework, so that facts and spaces can be read without one.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

Value = float | int | str
Role = Literal["hidden", "embedding", "head", "norm"]
ROLES: tuple[Role, ...] = ("hidden", "embedding", "head", "norm")
# Hyperparameters that belong to the benchmark and are open to every optimizer on equal terms. The two ratios
# scale a role's whole step, weight decay included; hidden matrices step at `peak_lr` itself.
RECIPE = (
    "embedding_lr_ratio", "head_lr_ratio", "warmup_fraction", "decay_kind", "decay_fraction",
    "final_lr_ratio", "clip_norm", "batch_size",
)  # fmt: skip
ROLE_RATIOS: Mapping[Role, str] = {
    "embedding": "embedding_lr_ratio", "norm": "embedding_lr_ratio", "head": "head_lr_ratio",
}  # fmt: skip
RATIOS = tuple(dict.fromkeys(ROLE_RATIOS.values()))
HIDDEN_PARTS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Param:
    """One parameter tensor, described alike for jax and torch."""

    name: str
    """Key of the tensor in the model's flat dict."""
    shape: tuple[int, ...]
    """Matrices are (out, in), as torch stores them; embedding and head are (vocabulary, width)."""
    role: Role
    """What the tensor does in the model; decides its rate, its decay and often its rule."""
    part: str = ""
    """Which hidden matrix it is (q, k, v, o, gate, up, down); empty for other roles."""
    heads: int = 1
    """Equal blocks along axis 0, one per attention head; they mean something for q and k."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def describe(shapes: Mapping[str, tuple[int, ...]], heads: int) -> dict[str, Param]:
    """Give every parameter its role; the one place where a name means something.

    The last dotted component decides: `embed`, `head`, `*norm`, or a hidden part. Raises ValueError for a
    name without a role, because a parameter in no group would silently stay untrained.
    """
    params = {}
    for name, shape in shapes.items():
        part = name.rsplit(".", 1)[-1]
        if part in HIDDEN_PARTS:
            params[name] = Param(name, tuple(shape), "hidden", part, heads)
        elif part == "embed":
            params[name] = Param(name, tuple(shape), "embedding")
        elif part == "head":
            params[name] = Param(name, tuple(shape), "head")
        elif part.endswith("norm"):
            params[name] = Param(name, tuple(shape), "norm")
        else:
            raise ValueError(
                f"parameter {name!r} has no role; names end in embed, head, norm or one of {HIDDEN_PARTS}"
            )
    return params


@dataclass(frozen=True)
class Axis:
    """One hyperparameter's grid, where its search starts, and how the grid goes on beyond an edge.

    `spacing`: "log" continues geometrically, "log1m" geometrically in 1 - value (betas), "fixed" not at all.
    `low` and `high` are the limits of meaning: no extension leaves them.
    """

    grid: tuple[Value, ...]
    start: Value
    spacing: Literal["log", "log1m", "fixed"] = "fixed"
    low: float = 0.0
    high: float = math.inf

    def __new__(cls, *given: Any, **named: Any) -> Self:
        if "scale" in named:  # its name before
            raise TypeError("Axis: `scale` is called `spacing`")
        return super().__new__(cls)

    def geometric(self, value: float) -> float:
        """The number whose spacing is geometric: 1 - value for "log1m", else the value itself."""
        return 1 - value if self.spacing == "log1m" else value

    def from_geometric(self, number: float) -> float:
        """The value of a number that `geometric` gave."""
        return 1 - number if self.spacing == "log1m" else number

    def beyond(self, grid: tuple[Value, ...], upward: bool) -> Value | None:
        """The next value beyond an end of `grid` (sorted), or None where the grid cannot go on."""
        numbers = [g for g in grid if isinstance(g, int | float)]
        if self.spacing == "fixed" or len(numbers) < len(grid):
            return None
        used = [number for x in numbers if (number := self.geometric(x)) > 0]
        if len(used) < 2:
            return None
        edge, inner = (used[-1], used[-2]) if upward else (used[0], used[1])
        if self.geometric(numbers[-1 if upward else 0]) <= 0:  # the end is 0 (or 1): nothing lies beyond
            return None
        value = float(f"{self.from_geometric(edge * edge / inner):.4g}")
        inside = self.low <= value < self.high if self.spacing == "log1m" else self.low <= value <= self.high
        return value if inside and value not in grid else None


@dataclass(frozen=True)
class Info:
    """The facts about a method that a reader of a leaderboard needs."""

    title: str
    """The name that pages show."""
    paper: str
    """Title of the paper or post that describes the method."""
    url: str
    """Where to read it."""
    family: Literal["scalar", "matrix"]
    """Whether the rule works coordinate by coordinate or on whole matrices."""
    summary: str
    """At most three sentences."""
    essential: tuple[str, ...] = ()
    """What even the smallest search tunes; without any its own and the recipe's two ratios. The optimizers of
    this package name five, so that none is tuned more closely than another: the rate, the decay (or what takes
    its place, as the file says), the average that becomes the step, and the two ratios."""
    version: int = 1
    """Part of every trial's identity: raise it when the rule or its hyperparameters change."""
    variants: tuple[str, ...] = ("reference",)
    """The values that the static field `variant` may have, if the optimizer has one."""


@dataclass
class Run:
    """What the benchmark tells a build about the run; the same nouns for jax and torch."""

    params: Mapping[str, Param]
    """name -> Param, in the model's order: in jax also the keys of gradients, updates and parameters."""

    steps: Any
    """Optimizer steps in the whole run. In jax a traced integer, so nothing may branch on it."""

    multiplier: Callable[[Any], Any]
    """The schedule: step index from 0 -> factor in [0, 1]; a build multiplies its rates by it."""

    normal: Callable[[str, Any, tuple[int, ...]], Any]
    """(name, step, shape) -> standard normal array, a function of the trial's seed and nothing else, so that a
    resumed run draws the same noise. The only source of randomness an optimizer may use."""

    clip_norm: Any = 0.0
    """The trial's global clipping norm (0 = off, traced). The trainer has already clipped the roles in
    `Optimizer.clip_roles`; only a rule that clips something else reads this."""

    ratios: Mapping[str, Any] = field(default_factory=dict)
    """Name -> the recipe's factor on a parameter's step, of those that have one (see `own_ratios`)."""

    loss_fn: Callable[[Mapping[str, Any]], Any] | None = None
    """The loss of the current batch, a flat dict of parameters -> scalar. In torch the trainer sets this
    attribute before every step. In jax it arrives as the keyword `loss_fn` of `update`."""

    spread: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    """jax, where a trial has several devices, else None: gives a function over stacks of matrices back as one
    that computes the same, each device whole matrices of its own. See optimizers/shared/whole.py."""

    normals: Callable[[tuple[str, ...], Any, tuple[int, ...]], Any] | None = None
    """jax, of a deep model, else None: (names, step, shape) -> `normal` of each, stacked (shared/stacks.py)."""


def static(default: Value) -> Any:
    """A field that changes shapes or program structure: a new value compiles a new program."""
    return field(default=default, metadata={"static": True})


@dataclass(frozen=True)
class Optimizer:
    """Base of every contestant. A subclass is a frozen dataclass; every float field is traced in jax."""

    info: ClassVar[Info]
    """What a leaderboard says about the method."""

    space: ClassVar[Mapping[str, Mapping[str, Axis]]]
    """Ladder ("micro" or "paper") -> hyperparameter -> Axis, for the fields worth tuning."""

    recipe_start: ClassVar[Mapping[str, Value]] = {}
    """Hyperparameters of the RECIPE whose search starts elsewhere. Their grids are the same for all."""

    recipe_fixed: ClassVar[Mapping[str, Value]] = {}
    """Hyperparameters of the RECIPE that an ablation does not tune, with their values."""

    ablation_of: ClassVar[str] = ""
    """Name of the optimizer that an ablation restricts. A sweep runs an ablation only if it is named."""

    group: ClassVar[str] = "study"
    """Who may be named together: `--optimizers 2026`. Where nobody is named the group "study" enters."""

    own_ratios: ClassVar[bool] = False
    """Whether the rule itself scales steps by `run.ratios`, as one must that keeps a second point beside the
    parameters; else the trainer scales what the rule has made of a step."""

    finds_rate: ClassVar[bool] = False
    """Whether `peak_lr` is a factor near 1 on a rate that the rule finds itself."""

    shards_state: ClassVar[bool] = False
    """jax: whether a trainer with several devices may cut the state over them, each array along one of its
    axes, and of a deep model parameters and gradients; else every device keeps all. It changes no result."""

    def build_jax(self, run: Run) -> Any:
        """Return an optax.GradientTransformationExtraArgs over flat dicts; its updates are added to the
        parameters, rate and decay included, those of embedding, norms and head times the recipe's ratios.
        `update` receives the keyword `loss_fn` (see Run)."""
        raise NotImplementedError(f"{self.info.title} has no jax build")

    def build_torch(self, params: Mapping[str, Any], run: Run) -> Any:
        """Return a torch.optim.Optimizer over `params` (name -> torch Parameter). The trainer sets every
        group's lr to its initial lr times `run.multiplier(step)` before each step, and scales the step that
        embedding, norms and head have taken by the recipe's ratios."""
        raise NotImplementedError(f"{self.info.title} has no torch build")

    @property
    def clip_roles(self) -> tuple[Role, ...]:
        """Roles whose gradients the trainer clips by their joint norm; all of them unless a variant differs."""
        return ROLES

    @property
    def width_free(self) -> tuple[Role, ...]:
        """Of "hidden" and "head" those whose rate needs no change in a wider model (sweeps/search/width.py)."""
        return ()

    def eval_params(self, state: Any, params: Any) -> Any:
        """The parameters to evaluate, for methods that average; flat dict in, flat dict out. state: jax's, or
        the torch optimizer."""
        return params

    def state_floats(self, params: Mapping[str, Param]) -> int:
        """Optimizer-state floats for these parameters, step counters not counted."""
        raise NotImplementedError

    def extra_flops(self, params: Mapping[str, Param], steps: int, batch_tokens: int) -> float:
        """Mean FLOPs per step of the update itself, beyond the model's one forward and backward pass.

        `steps` is the whole run's, for a rule that works only now and then; `batch_tokens` are the tokens of
        one step, for a rule that differentiates the loss once more.
        """
        raise NotImplementedError

    def extra_gradients(self, params: Mapping[str, Param]) -> float:
        """How many gradients of the whole batch a step evaluates beyond the one it is given, in units of a
        forward and a backward pass (a loss alone is a third), and beyond what `extra_flops` counts."""
        return 0.0

    def floats(self) -> dict[str, float]:
        """The traced hyperparameters, as Python floats so that an int or numpy scalar never recompiles."""
        names = [f.name for f in dataclasses.fields(self) if not f.metadata.get("static")]
        return {name: float(getattr(self, name)) for name in names}

    def statics(self) -> dict[str, Value]:
        """The hyperparameters that shape the program."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("static")}

    def replace(self, **changes: Any) -> Self:
        """A copy with other hyperparameters; traced values are allowed, so nothing is checked here."""
        return dataclasses.replace(self, **changes)

    def validate(self) -> None:
        """Raise ValueError for a hyperparameter that is not finite or outside the limits of its Axis."""
        for name, value in self.floats().items():
            limits = next((s[name] for s in self.space.values() if name in s), Axis((), 0.0))
            if not math.isfinite(value) or not limits.low <= value <= limits.high:
                raise ValueError(
                    f"{type(self).__name__}: {name}={value} must be a finite number in"
                    f" [{limits.low}, {limits.high}]"
                )
        variant = self.statics().get("variant", "reference")
        if variant not in self.info.variants:
            raise ValueError(f"{type(self).__name__}: unknown variant {variant!r}; choose {self.info.variants}")
