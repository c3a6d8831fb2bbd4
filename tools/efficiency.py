"""How busy workers are: `python -m tools.efficiency TOKENS COUNT` runs a sweep of COUNT equal trials.

One tuning trial, then report runs of AdamW at 27k with a seed each: nothing waits for anything else, so what is
lost is lost between trials. Prints one line of JSON, [share, seconds]: the share of the workers' time, from
the first report run's start to the last one's end, in which they trained or evaluated, and what a run took.
"""

import datetime
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmark import resources, scales, store
from benchmark.arguments import Parser, whole
from benchmark.data.corpora import prepare
from benchmark.spec import Evaluation, Record
from benchmark.tasks import TOKENS_PER_PARAMETER, Task
from sweeps.run import ray_tune
from sweeps.run.driver import Driver
from sweeps.search.contestants import contestants
from sweeps.search.sweep import Protocol, Stage, Sweep


def equal_trials(tokens: int, count: int) -> Sweep:
    """A sweep of `count` report runs of so many tokens each."""
    scale = scales.get("27k")
    ratio = tokens / (TOKENS_PER_PARAMETER * scale.num_params)
    corpus = prepare("gcide", scale.vocab)
    return Sweep(
        name="efficiency",
        title="Equal trials",
        stages=(Stage(Task(scale, round(ratio, 4)), "I", 1, tune="essential"),),
        protocol=Protocol(searches=1, looks=(count,)),
        contestants=contestants(["adamw"], [], "jax"),
        corpus=corpus.name,
        corpus_hash=corpus.corpus_hash,
        tokenizer_hash=corpus.tokenizer_hash,
        report_evaluation=Evaluation("test"),
    )


def share(records: Sequence[Record], workers: int) -> tuple[float, float]:
    """The share of the workers' time in which they trained or evaluated, and the median trial's seconds."""
    busy = [record.cost.train_seconds + record.cost.eval_seconds for record in records]
    ends = [datetime.datetime.fromisoformat(record.finished_at).timestamp() for record in records]
    starts = [end - record.cost.wall_seconds for end, record in zip(ends, records, strict=True)]
    return sum(busy) / (workers * (max(ends) - min(starts))), statistics.median(busy)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweep in a temporary folder and print its efficiency."""
    parser = Parser(prog="python -m tools.efficiency", usage="%(prog)s TOKENS COUNT", description=__doc__)
    parser.add_argument("tokens", type=whole, help="of a trial")
    parser.add_argument("count", type=whole, help="of trials")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(equal_trials(asked.tokens, asked.count), Path(folder))
        try:
            ray_tune.run(driver)
        finally:
            driver.close()
        reports = [r for _, r in store.records(Path(folder)) if r.trial.use == "report"]
    print(json.dumps(share(reports, len(resources.affinity()))))


if __name__ == "__main__":
    main()
