"""The three phases of the published study (arXiv 2509.02046) on the micro ladder: half a day on two cores.

Phase I tunes everything on six tasks, Phase II what is sensitive to scale on four more, Phase III predicts
220k by a power law and searches around the prediction. The baseline is tuned at half the smallest and at
twice the largest ratio of every scale too, so that its curve is never extrapolated. Two searches share every
budget; six report seeds, twelve where the verdict is still open.
"""

from sweeps.search.sweep import Protocol, Stage, Sweep, stage

_ONE = ("27k-1x", "27k-2x", "27k-4x", "27k-8x", "55k-1x", "100k-1x")
_TWO = ("55k-2x", "55k-4x", "100k-2x", "100k-4x")


def _baseline(name: str) -> Stage:
    return stage(name, "baseline", 12, start="consensus", tune="sensitive", after=_ONE)


SWEEP = Sweep(
    name="micro",
    title="27k to 220k parameters in three phases",
    stages=(
        *(stage(name, "I", 40) for name in _ONE),
        *(stage(name, "II", 12, start="consensus", tune="sensitive", after=_ONE) for name in _TWO),
        stage("220k-1x", "III", 6, start="law", tune="sensitive", after=(*_ONE, *_TWO)),
        *map(_baseline, ("27k-0.5x", "27k-16x", "55k-0.5x", "55k-8x", "100k-0.5x", "100k-8x")),
        *(
            stage(name, "baseline", 6, start="law", tune="sensitive", after=(*_ONE, *_TWO))
            for name in ("220k-0.5x", "220k-2x")
        ),
    ),
    protocol=Protocol(looks=(6, 12)),
)
