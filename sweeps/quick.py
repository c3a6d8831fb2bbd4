"""The default sweep: every optimizer at 27k, ten minutes on two cores.

Tuned at half a Chinchilla ratio, where a trial costs half: four searches of twenty trials each, over the five
hyperparameters that an optimizer's entry calls essential. Measured on copies of AdamW (docs/verdicts.md), what
choosing adds is the largest part of the noise: more searches lower it, more report seeds do not, and a few
trials more on the next task only add to it. So each winner is carried to 1x as it is, every one is reported on
two seeds, and no more are added where a verdict is open. The baseline has twelve searches, since every verdict
rests on it: of equal optimizers .70 then read inseparable, not .34, and .85 of true speedups of 1.2x are found,
not .62. For the optimizers of the registry the tuning is
committed (results/reference) and counted; an optimizer of your own runs it. The baseline is also reported at a
quarter and at twice the data, because its curve is what turns nats into tokens.
"""

from sweeps.search.sweep import Protocol, Sweep, stage

SWEEP = Sweep(
    name="quick",
    title="27k parameters, essential hyperparameters",
    stages=(
        stage("27k-0.5x", "I", 80, tune="essential", committed=True),
        stage("27k-1x", "II", 0, start="winner", tune="essential", after=("27k-0.5x",)),
        stage("27k-0.25x", "baseline", 0, start="winner", tune="essential", after=("27k-0.5x",)),
        stage("27k-2x", "baseline", 0, start="winner", tune="essential", after=("27k-0.5x",)),
    ),
    protocol=Protocol(searches=4, baseline_times=3, looks=(8,)),
)
