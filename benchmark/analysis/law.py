"""One power law in model size and data, fitted through tasks: of a loss, or of a best hyperparameter.

    hyperparameter:  h(N, r) = A * N**B * r**C + E        (the form of arXiv 2509.02046, Phase III)
    loss:            L(N, D) = A * N**B + F * D**C + E    (the form of arXiv 2203.15556)

N: non-embedding parameters, D: tokens, r = D / (20 N). Hyperparameters come from geometric grids, so they are
fitted in logarithms; a loss is fitted in nats. Intervals are from a residual bootstrap.

Several searches of one task are replicates of it: their mean is its value, and how far they lie apart says how
noisy one of them is, not how well the law fits.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.arrays import Floats
from benchmark.tasks import TOKENS_PER_PARAMETER

Form = Literal["hyperparameter", "loss"]
LEVEL = 0.95
FEWEST = 4  # tasks below which a law is flagged
FEWEST_FLOOR = 6  # tasks below which E is not told from the power and stays 0
GRID_STEP = 2.0  # a hyperparameter that is predicted worse than that is not predicted
_FLOORS = np.linspace(0.0, 0.98, 50)  # candidates for a hyperparameter's E, in units of its smallest value
_STEEPEST, _FLATTEST = -1.5, -0.02  # exponents of a loss; closer to 0 a power is no longer told from the floor


@dataclass(frozen=True)
class Law:
    """A fitted law. Row 0 of the arrays is the fit, the others are bootstrap draws.

    tasks, searches: what it is fitted through, and how many values they are the means of. exponents: (B, C).
    coefficients: (A, E) of a hyperparameter, (A, F, E) of a loss, for N in units of `size` and r or D in units
    of `data`. identified: whether (B, C, E) are told by these tasks; what is not is 0 in the arrays, or shares
    what another one has. residual_sd: of a task about the law, in logarithms or nats, corrected for the
    parameters fitted. search_sd: of a search about its task, likewise; NaN where none has two. held_out: how
    far the law of the other tasks is off at the task of largest compute, never negative (a factor less 1, or
    nats); NaN where too few tasks remain. flags: what a reader must know, empty where all is well. complement:
    the law is of 1 - value.
    """

    form: Form
    tasks: int
    searches: int
    exponents: Floats
    coefficients: Floats
    identified: tuple[bool, bool, bool]
    residual_sd: float
    search_sd: float
    size: float
    data: float
    held_out: float
    flags: tuple[str, ...]
    noise: Floats = field(repr=False)
    complement: bool = False

    def predict(self, params: float, tokens: float) -> tuple[float, float, float]:
        """(value, lo, hi) at a model size and token budget: the fit, and the 95 % interval for one search
        of a new task there (the law's uncertainty and one more residual). NaN ends where there are no draws."""
        ratio = tokens / (TOKENS_PER_PARAMETER * params)
        data = ratio if self.form == "hyperparameter" else tokens
        values = _value(self.form, params / self.size, data / self.data, self.exponents, self.coefficients)
        if len(values) == 1:
            return self._told(values[0]), float("nan"), float("nan")
        drawn = values[1:] * np.exp(self.noise) if self.form == "hyperparameter" else values[1:] + self.noise
        lo, hi = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        ends = sorted((self._told(lo), self._told(hi)))
        return self._told(values[0]), ends[0], ends[1]

    def _told(self, value: float) -> float:
        return float(1 - value if self.complement else value)


def fit(form: Form, points: Floats, draws: int = 300, seed: int = 0) -> Law:
    """Fit one law to rows of (N, r, value), several of one (N, r) being searches of one task. Raises ValueError
    for none, or for values that are not positive."""
    if not len(points) or not (points > 0).all():
        raise ValueError("a law needs points (N, r, value) that are all positive")
    of_tasks, counts, apart = _tasks(form, points)
    size, ratio, value = of_tasks.T
    data = ratio if form == "hyperparameter" else TOKENS_PER_PARAMETER * size * ratio
    units = float(np.exp(np.log(size).mean())), float(np.exp(np.log(data).mean()))
    n, d = size / units[0], data / units[1]
    search = _search_hyperparameter if form == "hyperparameter" else _search_loss
    varies = (bool(np.ptp(size) > 0), bool(np.ptp(data) > 0))
    floor = len(of_tasks) >= FEWEST_FLOOR
    exponents, coefficients = search(n, d, value[None], varies, floor)
    fitted = _value(form, n, d, exponents, coefficients)
    freedom = len(of_tasks) - (1 + sum(varies) if form == "hyperparameter" else 2 * sum(varies) or 1) - floor
    noise, residuals = np.empty(0), np.empty(0)
    if freedom > 0:
        residuals = np.log(value / fitted) if form == "hyperparameter" else value - fitted
        residuals = residuals * np.sqrt(len(of_tasks) / freedom)
    if draws and (freedom > 0 or len(apart)):
        rng = np.random.default_rng(seed)
        shape = (draws, len(of_tasks))
        if freedom > 0:  # which hold the searches' part of the noise
            drawn, noise = rng.choice(residuals, shape), rng.choice(residuals, draws)
        else:
            drawn, noise = rng.choice(apart, shape) / np.sqrt(counts), np.zeros(draws)
        if len(apart):  # a task's mean is less noisy than one search of it
            noise = noise + np.sqrt(1 - (1 / counts).mean() if freedom > 0 else 1) * rng.choice(apart, draws)
        replicas = fitted * np.exp(drawn) if form == "hyperparameter" else fitted + drawn
        more = search(n, d, replicas, varies, floor)
        exponents, coefficients = np.vstack([exponents, more[0]]), np.vstack([coefficients, more[1]])
    held = _held_out(form, of_tasks) if draws else float("nan")
    together = all(varies) and np.linalg.matrix_rank(np.column_stack([n**0, np.log(n), np.log(d)])) < 3
    told = (varies[0] and not together, varies[1] and not together)
    return Law(
        form,
        len(of_tasks),
        len(points),
        exponents,
        coefficients,
        (*told, floor or not any(varies)),
        _root_mean_square(residuals),
        _root_mean_square(apart),
        *units,
        held,
        _flags(form, len(of_tasks), varies, bool(together), freedom, floor, len(apart) > 0, held),
        noise,
    )


def _tasks(form: Form, points: Floats) -> tuple[Floats, Floats, Floats]:
    """Rows (N, r, mean) of the tasks, sorted, of how many searches each is the mean, and how far the searches
    lie from it where there are several, corrected for that mean; all in logarithms for a hyperparameter."""
    of_tasks, at = np.unique(points[:, :2], axis=0, return_inverse=True)
    at = at.ravel()
    heights = np.log(points[:, 2]) if form == "hyperparameter" else points[:, 2]
    counts = np.bincount(at).astype(float)
    means = np.bincount(at, heights) / counts
    several = counts[at] > 1
    apart = (heights - means[at])[several] * np.sqrt(counts / np.maximum(counts - 1, 1))[at][several]
    return np.column_stack([of_tasks, np.exp(means) if form == "hyperparameter" else means]), counts, apart


def _root_mean_square(found: Floats) -> float:
    return float(np.sqrt(np.mean(found**2))) if len(found) else float("nan")


def _flags(
    form: Form,
    tasks: int,
    varies: tuple[bool, bool],
    together: bool,
    freedom: int,
    floor: bool,
    replicated: bool,
    held_out: float,
) -> tuple[str, ...]:
    still = [name for name, changes in zip(("size", "data"), varies, strict=True) if not changes]
    source = "interval from the searches alone" if replicated else "no interval"
    return (
        *([f"fitted on {tasks} task{'s' if tasks > 1 else ''}"] if tasks < FEWEST else []),
        *(f"no dependence on {name}: one value" for name in still),
        *(["size and data grow together: B and C are not told apart"] if together else []),
        *([] if floor else ["E = 0: too few tasks to tell it"]),
        *([f"{source}: as many parameters as tasks"] if freedom <= 0 else []),
        *(
            ["predicts nothing: off by more than a grid step at the task left out"]
            if form == "hyperparameter" and held_out > GRID_STEP - 1
            else []
        ),
    )


def _held_out(form: Form, of_tasks: Floats) -> float:
    """How far off the law of the others is at the task of largest compute, all of its searches left out."""
    last = int(np.argmax(of_tasks[:, 0] ** 2 * of_tasks[:, 1]))  # compute ~ N * D ~ N**2 * r
    kept = np.delete(of_tasks, last, axis=0)
    if len(kept) < FEWEST:
        return float("nan")
    size, ratio, value = of_tasks[last]
    got, _, _ = fit(form, kept, draws=0).predict(size, TOKENS_PER_PARAMETER * size * ratio)
    return float(np.exp(abs(np.log(got / value))) - 1 if form == "hyperparameter" else abs(got - value))


def _value(form: Form, n: Any, d: Any, exponents: Floats, coefficients: Floats) -> Floats:
    """The law at N and data in its units: one point for many draws, or many points for one."""
    powers = n ** exponents[:, 0], d ** exponents[:, 1]
    if form == "hyperparameter":
        return coefficients[:, 0] * powers[0] * powers[1] + coefficients[:, 1]
    return coefficients[:, 0] * powers[0] + coefficients[:, 1] * powers[1] + coefficients[:, 2]


def _search_hyperparameter(
    n: Floats, d: Floats, values: Floats, varies: tuple[bool, bool], floor: bool
) -> tuple[Floats, Floats]:
    """(B, C) and (A, E) for each row of `values` (draws, points): for a given E the law is linear in
    logarithms; E is scanned below the smallest value, so that the law stays positive everywhere."""
    used = [np.log(x) for x, changes in zip((n, d), varies, strict=True) if changes]
    design = np.column_stack([np.ones_like(n), *used])
    floors = values.min(axis=1) * (_FLOORS if floor else _FLOORS[:1])[:, None]  # (floors, draws)
    logs = np.log(values - floors[:, :, None])
    solved = logs @ np.linalg.pinv(design).T  # (floors, draws, columns)
    errors = np.log((np.exp(solved @ design.T) + floors[:, :, None]) / values)
    best = (errors**2).sum(axis=2).argmin(axis=0), np.arange(len(values))
    exponents = np.zeros((len(values), 2))
    exponents[:, np.array(varies)] = solved[best][:, 1:]
    return exponents, np.column_stack([np.exp(solved[best][:, 0]), floors[best]])


def _search_loss(
    n: Floats, d: Floats, values: Floats, varies: tuple[bool, bool], floor: bool
) -> tuple[Floats, Floats]:
    """(B, C) and (A, F, E) for each row of `values` (draws, points): for given exponents the law is linear;
    exponents are searched on a grid, then on ever smaller ones around each row's best."""
    both = np.array(varies)
    best, step = np.full((len(values), 2), (_STEEPEST + _FLATTEST) / 2), (_FLATTEST - _STEEPEST) / 2
    for points, shrink in ((13, 2 / 12), *[(5, 0.6)] * 12):
        offsets = [np.linspace(-step, step, points) if changes else np.zeros(1) for changes in varies]
        moves = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        tries = np.clip(best + moves, _STEEPEST, _FLATTEST)  # (tries, draws, 2)
        errors = _linear(n, d, values, tries, both, floor)[1]
        best, step = tries[errors.argmin(axis=0), np.arange(len(values))], step * shrink
    return best * both, _linear(n, d, values, best[None], both, floor)[0][0]


def _linear(
    n: Floats, d: Floats, values: Floats, exponents: Floats, varies: NDArray[np.bool_], floor: bool
) -> tuple[Floats, Floats]:
    """Coefficients (..., 3) and squared errors for exponents (tries, draws, 2). A floor below 0 is 0."""
    power = np.exp(exponents[..., None] * np.log(np.stack([n, d])))  # (tries, draws, 2, points)
    basis = np.concatenate([power, np.ones_like(power[..., :1, :])], axis=-2)
    kept = np.array([*varies, floor or not varies.any()])
    found, error = _solve(basis, values, kept)
    below = found[..., 2] < 0
    if below.any() and varies.any():
        rows_below = np.broadcast_to(values, (*below.shape, values.shape[1]))[below]
        found[below], error[below] = _solve(basis[below], rows_below, np.array([*varies, False]))
    return found, error


def _solve(basis: Floats, values: Floats, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Least squares over basis (..., 3, points) with the coefficients that are kept; the others are 0."""
    design = basis[..., kept, :]
    gram = design @ np.swapaxes(design, -1, -2)
    gram += 1e-12 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] * np.eye(int(kept.sum()))
    right = (design * values[..., None, :]).sum(axis=-1)
    solved = np.linalg.solve(gram, right[..., None])[..., 0]
    found = np.zeros((*solved.shape[:-1], len(kept)))
    found[..., kept] = solved
    return found, (((solved[..., None] * design).sum(axis=-2) - values) ** 2).sum(axis=-1)
