"""A contestant: an optimizer as it takes part in a sweep, with the space that it is tuned in. Pure data."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark import scales
from benchmark.scales import Ladder, Scale
from benchmark.spec import Value
from optimizers.base import RATIOS, Axis, Info, Optimizer, Role
from optimizers.shared.between import between
from optimizers.shared.carried import MARK, POLICIES

_RATIO = Axis((0.25, 0.5, 1.0, 2.0, 4.0, 8.0), 1.0, "log")
_SHAPE = {
    "embedding_lr_ratio": _RATIO,
    "head_lr_ratio": _RATIO,
    "decay_kind": Axis(("cosine", "linear"), "linear"),
    "decay_fraction": Axis((0.2, 0.4, 0.6, 0.8, 1.0), 1.0),
    "final_lr_ratio": Axis((0.0, 0.1), 0.0),
    "clip_norm": Axis((0.0, 1.0, 2.0), 1.0),
}
# One grid per ladder, the same for every optimizer; that of the GPU's lies between. The published study's
# warmups are 10 to 80 % of its 1x runs.
RECIPE_SPACE: Mapping[str, Mapping[str, Axis]] = {
    "micro": {"warmup_fraction": Axis((0.0, 0.05, 0.1, 0.2, 0.4), 0.1, "log", 0.0, 0.8), **_SHAPE},
    "paper": {"warmup_fraction": Axis((0.0, 0.1, 0.2, 0.4), 0.2, "log", 0.0, 0.8), **_SHAPE},
}


@dataclass(frozen=True)
class Contestant:
    """What planning and reporting need to know about an optimizer: data only, no framework."""

    name: str
    """Registry name, stem of a user's file, or one of a copy ("adamw~2")."""

    rule: str
    """Identity of the update rule: "adamw@1", or "mine#" and a hash."""

    info: Info
    """What its class says of the method."""

    space: Mapping[str, Mapping[str, Axis]]
    """Ladder -> hyperparameter -> Axis; the GPU's ladder lies between the other two (`between`)."""

    defaults: Mapping[str, Value]
    """Every field of the optimizer."""

    recipe_start: Mapping[str, Value]
    """Starts of RECIPE hyperparameters that differ from the usual ones."""

    source: str = ""
    """The user's file that it was read from; "" for a registered optimizer."""

    recipe_fixed: Mapping[str, Value] = field(default_factory=dict)
    """RECIPE hyperparameters that it may not vary."""

    ablation_of: str = ""
    """Whom it restricts by them, or ""."""

    horizon_free: bool = False
    """Whether its longer runs begin as its shorter ones do (optimizers/shared/schedules.py)."""

    width_free: tuple[Role, ...] = ()
    """Roles whose rates need no change in a wider model (`Optimizer.width_free`)."""

    policy: str = ""
    """The rule by which it is carried to wider models instead of being tuned there
    (optimizers/shared/carried.py); "" for one that is tuned."""

    @property
    def tuned_as(self) -> str:
        """The name under which its setting is tuned."""
        return self.name.removesuffix(f"{MARK}{self.policy}") if self.policy else self.name

    @property
    def essential(self) -> tuple[str, ...]:
        """What even the smallest search tunes: what its info names, or else its own hyperparameters and the
        recipe's two ratios, as the registry's optimizers name them: to tune more with as many trials is to tune
        each less."""
        if self.info.essential:
            return tuple(name for name in self.info.essential if name not in self.recipe_fixed)
        first, *others = self.space.values()
        everywhere = [name for name in first if all(name in axes for axes in others)]
        everything = [name for name in (*everywhere, *RATIOS) if name not in self.recipe_fixed]
        return tuple(sorted(everything, key=lambda name: name != "peak_lr"))  # a search begins with the rate

    def axes(self, scale: Scale) -> dict[str, Axis]:
        """The whole space at a scale: its own hyperparameters first, then the recipe. Raises ValueError
        where the optimizer gives none for the scale's ladder."""
        own = on_ladder(self.space, scale.ladder, self.defaults)
        if own is None:
            raise ValueError(
                f"{self.name} has no search space for the {scale.ladder} ladder; add one to its `space`,"
                f" or leave it out of this sweep"
            )
        shared = on_ladder(RECIPE_SPACE, scale.ladder, {})
        recipe = {**(shared or {}), "batch_size": Axis(scale.batch_sizes, scale.batch_size)}
        starts = {name: value for name, value in self.recipe_start.items() if name in recipe}
        recipe |= {name: dataclasses.replace(recipe[name], start=value) for name, value in starts.items()}
        recipe = {name: axis for name, axis in recipe.items() if name not in self.recipe_fixed}
        axes = {**own, **recipe}
        unknown = [name for name in self.essential if name not in axes]
        if unknown:
            raise ValueError(
                f"{self.name} calls {unknown[0]} essential but gives it no axis in its {scale.ladder} space"
            )
        return axes

    def start(self, scale: Scale) -> dict[str, Value]:
        """The stated starting point at a scale: every hyperparameter of a trial."""
        return {
            **self.defaults,
            **self.recipe_fixed,
            **{name: axis.start for name, axis in self.axes(scale).items()},
        }


def carried_by(contestant: Contestant, policy: str) -> Contestant:
    """The contestant as a rule carries it to wider models."""
    info = dataclasses.replace(contestant.info, title=f"{contestant.info.title}, {POLICIES[policy]}")
    return dataclasses.replace(contestant, name=f"{contestant.name}{MARK}{policy}", info=info, policy=policy)


def on_ladder(
    space: Mapping[str, Mapping[str, Axis]], ladder: Ladder, defaults: Mapping[str, Value]
) -> Mapping[str, Axis] | None:
    """The axes of a ladder: as `space` has them, else between micro's and paper's; None where it lacks those.

    defaults: of the hyperparameters, for those that only one of the two searches."""
    if ladder in space:
        return space[ladder]
    if not {"micro", "paper"} <= set(space):
        return None
    return between(space["micro"], space["paper"], scales.position(ladder), defaults)


def contestant_of(cls: type[Optimizer], name: str, rule: str, source: str = "") -> Contestant:
    """A contestant from its class. `rule` is its identity (see `Trial.rule`)."""
    default = cls()
    return Contestant(
        name=name,
        rule=rule,
        info=cls.info,
        space=cls.space,
        defaults={f.name: getattr(default, f.name) for f in dataclasses.fields(default)},
        recipe_start=cls.recipe_start,
        source=source,
        recipe_fixed=cls.recipe_fixed,
        ablation_of=cls.ablation_of,
        width_free=default.width_free,
    )
