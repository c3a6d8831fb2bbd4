"""How closely each optimizer's jax build, torch build and oracle agree: `python -m tools.parity`.

Writes one row per optimizer as JSON, for the site to show. The deviation from an oracle is what the
optimizer's own tests measure against their tolerance, so this runs them: it needs a checkout and the dev extra.
"""

import dataclasses
import importlib
import importlib.metadata
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import optimizers
from benchmark import scales
from benchmark.arguments import Parser, path
from benchmark.data import corpora
from benchmark.data.corpora import Corpus
from benchmark.files import write_atomically
from benchmark.kit import cases, conformance
from benchmark.spec import Evaluation, Outcome
from benchmark.train import runner

SCHEMA = 1
CURVE_STEPS = 50
CURVE_TOLERANCE = 1e-3  # nats per token; float32 rounding grows along a run, faster the sharper the rule
PACKAGES = ("jax", "optax", "torch", "numpy", "pytorch_optimizer", "lion-pytorch", "adam-mini")
TESTS = Path(__file__).parent.parent / "tests" / "optimizers"


@dataclass(frozen=True)
class CurveGap:
    """How far validation losses after each of CURVE_STEPS steps lie apart at most, in nats per token.

    twins: a jax and a torch run, both given the noise of the jax run.
    rounding: torch runs whose initial weights differ in the last place, from each other; measured only where
        the twins are further apart than CURVE_TOLERANCE, to see whether rounding explains it.
    nearest: the jax run from the nearest of those.
    """

    twins: float
    rounding: float | None = None
    nearest: float | None = None

    @property
    def note(self) -> str:
        """Why the twins are further apart than the tolerance; empty where they are not."""
        if self.rounding is None or self.nearest is None:
            return ""
        if self.nearest <= self.rounding:
            return (
                f"rounding: a last bit of the initial weights alone moves torch's curve by {self.rounding:.1e}"
            )
        return "more than rounding explains"


def curve_gap(name: str, scale: str, corpus: Corpus, sequences: int) -> CurveGap:
    """Train an optimizer at its defaults in both frameworks and compare the losses on `sequences` sequences."""
    optimizer = optimizers.get(name)()
    trial = dataclasses.replace(
        cases.one_batch_trial(optimizer, "jax", seed=0, steps=CURVE_STEPS),
        scale=scale,
        evaluation=Evaluation("validation", sequences, curve_points=CURVE_STEPS, curve_sequences=sequences),
    )
    noise = _driver("jax").trainer_noise(trial.seed)

    def in_torch(nudge: int) -> np.ndarray:
        return _losses(_driver("torch").train(trial, optimizer, corpus, noise, nudge))

    in_jax = _losses(runner.trainer_of("jax").train([trial], [optimizer], corpus)[0])
    plain = in_torch(0)
    twins = float(np.abs(in_jax - plain).max())
    if twins <= CURVE_TOLERANCE:
        return CurveGap(twins)
    nudged = [plain, *(in_torch(nudge) for nudge in (-2, -1, 1, 2))]
    rounding = max(float(np.abs(a - b).max()) for a, b in itertools.combinations(nudged, 2))
    return CurveGap(twins, rounding, min(float(np.abs(in_jax - curve).max()) for curve in nudged))


def _losses(outcome: Outcome) -> np.ndarray:
    """[CURVE_STEPS]"""
    if len(outcome.curve) != CURVE_STEPS:
        raise ValueError(f"diverged within {CURVE_STEPS} steps: {outcome.reason}")
    return np.array([point.val_loss for point in outcome.curve])


def oracle_rows() -> dict[str, dict[str, Any]]:
    """optimizer -> oracle, deviation and tolerance, from every test marked `oracle`, the worst one counts.

    Raises ValueError if such a test fails.
    """
    import pytest

    seen = _Oracles()
    status = pytest.main(["-q", "-n", "0", "-m", "oracle", str(TESTS)], plugins=[seen])
    if status != 0:
        raise ValueError("tests against oracles fail; run `make test`")
    return seen.rows


class _Oracles:
    """A pytest plugin that collects what `assert_close` recorded in tests marked `oracle`."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = Path(report.nodeid.split("::")[0]).stem.removeprefix("test_")
        for key, value in report.user_properties if report.when == "call" else ():
            if key != "oracle":
                continue
            oracle, deviation, tolerance = value
            if name not in self.rows or deviation > self.rows[name]["oracle_deviation"]:
                self.rows[name] = {
                    "oracle": oracle,
                    "oracle_deviation": deviation,
                    "oracle_tolerance": tolerance,
                }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = Parser(prog="python -m tools.parity", description=__doc__)
    parser.add_argument("--out", type=path, default="results/reference/parity.json")
    parser.add_argument("--corpus", default="gcide")
    options = parser.parse_args(arguments)
    try:
        corpus, scale, oracles = corpora.prepare(options.corpus), scales.get("27k"), oracle_rows()
    except ValueError as error:
        parser.error(str(error))
    everyone = optimizers.groups()["all"]
    if missing := [name for name in everyone if name not in oracles]:
        parser.exit(1, f"no test in {TESTS} marked `oracle` for: {', '.join(missing)}\n")
    rows = []
    for name in everyone:
        gaps = conformance.twin_deviation(cases.in_square_blocks(optimizers.get(name)()))
        curves = curve_gap(name, scale.name, corpus, sequences=16)
        row = {
            "optimizer": name,
            "max_abs_deviation_per_step": float(gaps.max()),
            "steps": len(gaps),
            "dtype": "float64",
            **oracles[name],
            "lm_curve_deviation": curves.twins,
            "lm_rounding_deviation": curves.rounding,
            "lm_steps": CURVE_STEPS,
            "lm_task": f"{scale.name} on {corpus.name}, float32",
            "note": curves.note,
        }
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        rows.append(row)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    write_atomically(
        options.out, json.dumps({"schema": SCHEMA, "versions": versions, "rows": rows}, indent=1) + "\n"
    )


def _driver(backend: str) -> Any:
    return importlib.import_module(f"benchmark.kit.drive_{backend}")


if __name__ == "__main__":
    main()
