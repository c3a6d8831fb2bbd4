"""What a setting that was found at a small width is worth at larger ones: half an hour on two cores.

Every optimizer is tuned at width 32, and at 48 and 64 both tuned again and carried there by rules: unchanged,
by muP role by role with three ways to scale the decay, and to 64 by a law through the two smaller ones. What
the carried setting loses against the tuned one is its regret (benchmark/analysis/carrying.py). Tuning at the
larger widths begins where the smallest ended, so that all have one batch size. A quarter of a Chinchilla ratio,
because tuning at width 64 is most of the time.
"""

from benchmark.spec import Evaluation
from sweeps.search.sweep import Protocol, Sweep, stage

_FROM = {"start": "winner", "tune": "essential", "after": ("27k-0.25x",)}

SWEEP = Sweep(
    name="transfer",
    title="widths 32 to 64, settings carried and tuned",
    stages=(
        stage("27k-0.25x", "I", 40, tune="essential"),
        stage("55k-0.25x", "II", 20, **_FROM),
        stage("100k-0.25x", "II", 20, **_FROM),
    ),
    protocol=Protocol(searches=2, looks=(6,)),
    optimizers=("adamw", "muon", "lion"),
    policies=("constant", "law", "mup", "mup-sqrt", "mup-independent"),
    report_evaluation=Evaluation("test", curve_points=16),
)
