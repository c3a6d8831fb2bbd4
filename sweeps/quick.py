"""The default sweep: every optimizer at 27k, minutes on two cores.

Six trials at 1x over what an optimizer's entry calls essential, three more at 2x from the winner, then three
report seeds. The baseline also at half and at four times the data, so that its curve is not extrapolated.
"""

from sweeps.sweep import Protocol, Sweep, stage

SWEEP = Sweep(
    name="quick",
    title="27k parameters, essential hyperparameters",
    stages=(
        stage("27k-1x", "I", 6, tune="essential"),
        stage("27k-2x", "II", 3, start="winner", tune="essential", after=("27k-1x",)),
        stage("27k-0.5x", "baseline", 3, start="winner", tune="essential", after=("27k-1x",)),
        stage("27k-4x", "baseline", 3, start="winner", tune="essential", after=("27k-2x",)),
    ),
    protocol=Protocol(tuning_seeds=(0,)),
)
