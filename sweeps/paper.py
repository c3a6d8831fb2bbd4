"""The scales and ratios of the published study (arXiv 2509.02046), for planning, pricing, and whoever has the
GPUs.

At 1.2b only 1x is searched around the prediction, as in the published study; the larger ratios take it as it
is.
"""

from sweeps.search.sweep import Protocol, Stage, Sweep, stage

_ONE = ("130m-1x", "130m-2x", "130m-4x", "130m-8x", "300m-1x", "520m-1x")
_TWO = ("300m-2x", "300m-4x", "300m-8x", "520m-2x", "520m-4x", "520m-8x")


def _baseline(name: str) -> Stage:
    return stage(name, "baseline", 12, start="consensus", tune="sensitive", after=_ONE)


SWEEP = Sweep(
    name="paper",
    title="130M to 1.2B parameters in three phases",
    stages=(
        *(stage(name, "I", 40) for name in _ONE),
        *(stage(name, "II", 12, start="consensus", tune="sensitive", after=_ONE) for name in _TWO),
        stage("1.2b-1x", "III", 6, start="law", tune="sensitive", after=(*_ONE, *_TWO)),
        *(
            stage(name, "III", 0, start="law", tune="sensitive", after=(*_ONE, *_TWO))
            for name in ("1.2b-2x", "1.2b-4x", "1.2b-8x")
        ),
        *map(_baseline, ("130m-0.5x", "130m-16x", "300m-0.5x", "300m-16x", "520m-0.5x", "520m-16x")),
        *(
            stage(name, "baseline", 0, start="law", tune="sensitive", after=(*_ONE, *_TWO))
            for name in ("1.2b-0.5x", "1.2b-16x")
        ),
    ),
    protocol=Protocol(looks=(4, 8)),
    corpus="hub:fineweb-edu",
    precision="bfloat16",
)
