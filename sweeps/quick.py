"""The default sweep: every optimizer at 27k and 1x, ten minutes on two cores.

All trials go where they decide something: nine in each of two searches, over what an optimizer's entry calls
essential, then four report seeds, and eight where the verdict is still open. The baseline also at half and at
twice the data, because its curve is what turns nats into tokens.
"""

from sweeps.sweep import Protocol, Sweep, stage

SWEEP = Sweep(
    name="quick",
    title="27k parameters, essential hyperparameters",
    stages=(
        stage("27k-1x", "I", 18, tune="essential"),
        stage("27k-0.5x", "baseline", 8, start="winner", tune="essential", after=("27k-1x",)),
        stage("27k-2x", "baseline", 8, start="winner", tune="essential", after=("27k-1x",)),
    ),
    protocol=Protocol(looks=(4, 8)),
)
