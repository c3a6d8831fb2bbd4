"""2M to 20M parameters on one GPU of 24 GB or more: a night on an H100.

Tuned where a trial costs least, at 2m and half a Chinchilla ratio, as `quick` does: four searches of twenty
trials over the five essential hyperparameters, twelve of the baseline, because what choosing adds is the
largest part of the noise and every verdict rests on the baseline. A few trials more on the next task would only
add to it (measured on copies of AdamW, docs/verdicts.md), so each winner is carried on as it is: at 0.5x to all
three scales, at 1x to two of them. Four report seeds, one a search: a run of 20m takes as long as twenty of 2m,
and more seeds lower the smaller part of the noise. `--at 20m-1x` adds 20m at 1x, most of another night.

Four alike trials train as one program (`pack`): so many are ready when the four searches of an optimizer
propose, and small kernels cost their launch once for all of them. A loss is a mean over 256 sequences, which
are as many tokens as on the micro ladder.
"""

from benchmark.spec import Evaluation
from sweeps.search.sweep import Phase, Protocol, Stage, Sweep, stage

_TUNED = "2m-0.5x"


def _carried(name: str, phase: Phase) -> Stage:
    return stage(name, phase, 0, start="winner", tune="essential", after=(_TUNED,))


SWEEP = Sweep(
    name="gpu",
    title="2M to 20M parameters on one GPU",
    stages=(
        stage(_TUNED, "I", 80, tune="essential"),
        *(_carried(name, "II") for name in ("2m-1x", "6m-0.5x", "6m-1x", "20m-0.5x")),
        *(
            _carried(name, "baseline")
            for name in ("2m-0.25x", "2m-2x", "6m-0.25x", "6m-2x", "20m-0.25x", "20m-1x")
        ),
    ),
    protocol=Protocol(searches=4, baseline_times=3, looks=(4,)),
    corpus="hub:HuggingFaceFW/fineweb-edu:sample-10BT",
    precision="bfloat16",
    pack=4,
    tuning_evaluation=Evaluation(sequences=256),
    report_evaluation=Evaluation("test", sequences=256, curve_points=16, curve_sequences=32),
)
