"""What a schedule is worth, and what averages of the weights are: half an hour on two cores.

AdamW under six schedules and Muon under three, each tuned as in `quick` and reported at three budgets at the
settings found on the smallest; at a fourth only what bears on long runs, because half of the time goes there.
Under schedules that do not know the horizon the longer runs begin as the shorter ones do, so that they are what
one long run with branched decays would give. All report runs keep averages of their weights, which are measured
on the same tokens as the last iterate.
"""

from benchmark.spec import Evaluation
from sweeps.search.sweep import Protocol, Sweep, stage

_HOW = {"start": "winner", "tune": "essential", "after": ("27k-0.5x",)}

SWEEP = Sweep(
    name="schedules",
    title="27k parameters, schedules and averages of the weights",
    stages=(
        stage("27k-0.5x", "I", 80, tune="essential", committed=True),
        *(stage(name, "II", 0, **_HOW) for name in ("27k-1x", "27k-2x")),
        stage("27k-4x", "II", 0, only=("adamw", "adamw+wsd", "adamw+wsd_sqrt", "adamw+power"), **_HOW),
        *(stage(name, "baseline", 0, **_HOW) for name in ("27k-0.25x", "27k-8x")),
    ),
    protocol=Protocol(searches=4, baseline_times=3, looks=(8,)),
    optimizers=(
        "adamw", "adamw+cosine", "adamw+wsd", "adamw+wsd_sqrt", "adamw+power", "adamw+constant",
        "muon", "muon+cosine", "muon+wsd_sqrt",
    ),
    report_evaluation=Evaluation("test", curve_points=16, averages=True),
)  # fmt: skip
