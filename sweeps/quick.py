"""The default sweep: every optimizer at 27k and 1x, ten minutes on two cores.

Each of two searches opens at half the data, where a trial costs half: 32 trials over what an optimizer's entry
calls essential. Its winner is carried to 1x, where six more trials around it choose the setting that is reported:
on four seeds, and on eight where the verdict is still open. For the optimizers of the registry the opening's
trials are committed (results/reference) and counted; an optimizer of your own runs them. The baseline is reported
at half and twice the data too, because its curve is what turns nats into tokens.
"""

from sweeps.sweep import Protocol, Sweep, stage

SWEEP = Sweep(
    name="quick",
    title="27k parameters, essential hyperparameters",
    stages=(
        stage("27k-0.5x", "opening", 64, tune="essential"),
        stage("27k-1x", "I", 12, start="winner", tune="essential", after=("27k-0.5x",)),
        stage("27k-2x", "baseline", 12, start="winner", tune="essential", after=("27k-1x",)),
    ),
    protocol=Protocol(looks=(4, 8)),
)
