"""Two optimizers on a model too small to separate them: shows that everything works, in under 90 seconds."""

from benchmark.spec import Evaluation
from sweeps.search.sweep import Protocol, Sweep, stage

SWEEP = Sweep(
    name="smoke",
    title="13k parameters, a check that everything works",
    stages=(
        stage("13k-0.25x", "I", 6, tune="essential"),
        stage("13k-0.125x", "baseline", 6, start="winner", tune="essential", after=("13k-0.25x",)),
        stage("13k-0.5x", "baseline", 6, start="winner", tune="essential", after=("13k-0.25x",)),
    ),
    protocol=Protocol(looks=(2, 4)),
    optimizers=("adamw", "lion"),
    tuning_evaluation=Evaluation(sequences=128),
    report_evaluation=Evaluation("test", sequences=128, curve_points=8, curve_sequences=32),
)
