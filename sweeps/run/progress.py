"""The progress bar of a sweep: share of its tokens done, time left, what finished last; above it words.py."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from benchmark.spec import Record
from sweeps.run.driver import Driver
from sweeps.run.words import Words
from sweeps.search.plan import Plan
from sweeps.search.sweep import Sweep


class Bar:
    """Counts tokens, not trials: a trial at 4x takes four times as long as one at 1x.

    At the end it says what share of their time the driver's workers trained or evaluated, from the start of
    the first trial on.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.busy_seconds, self.began = 0.0, 0.0
        self.words, self.opened = Words(driver.sweep), time.monotonic()
        tokens = driver.current.remaining_tokens
        print(opening(driver.sweep, driver.current), file=sys.stderr)
        interactive = sys.stderr.isatty()
        self.bar = tqdm(
            total=tokens,
            unit="tok",
            unit_scale=True,
            smoothing=0.05,
            mininterval=0.5 if interactive else 30.0,  # a log file wants a line now and then, not ten a second
            dynamic_ncols=True,
            disable=driver.done,
            bar_format="{percentage:3.0f}% |{bar}| {elapsed} elapsed, {remaining} left{postfix}",
        )

    def __enter__(self) -> Self:
        self.driver.on_record = self.update
        return self

    def update(self, record: Record, plan: Plan) -> None:
        """Take in one record; the plan may have grown or shrunk since the last."""
        trial, cost = record.trial, record.cost
        self.began = self.began or time.monotonic() - cost.wall_seconds
        self.busy_seconds += cost.train_seconds + cost.eval_seconds
        self.bar.total = self.bar.n + trial.tokens + plan.remaining_tokens
        loss = f"{record.val_loss:.3f}" if record.val_loss is not None else record.status
        done = f"{plan.remaining} trials to go; {trial.optimizer} {trial.task} {record.purpose}: {loss}"
        self.bar.set_postfix_str(done, refresh=False)
        self.bar.update(trial.tokens)
        for line in self.words.about(record, plan, time.monotonic() - self.opened):
            self.bar.write(line, sys.stderr)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.on_record = None
        self.bar.close()
        if self.busy_seconds:
            wall = time.monotonic() - self.began
            share = self.busy_seconds / (self.driver.workers * wall)
            workers = "1 worker" if self.driver.workers == 1 else f"{self.driver.workers} workers"
            print(f"{workers} trained or evaluated for {share:.0%} of {wall:.0f} seconds.", file=sys.stderr)


def opening(sweep: Sweep, plan: Plan) -> str:
    """What there is to do, in the numbers of the dry run's table: trials, tokens and cells."""
    if plan.done:
        return f"Sweep {sweep.name}: all trials are finished already."
    cells = plan.cells.values()
    complete = sum(bool(cell["complete"]) for cell in cells)
    tokens = f"{plan.remaining_tokens / 1e6:.3g}M tokens"
    return (
        f"Sweep {sweep.name}: at least {plan.remaining} trials and {tokens} to go;"
        f" {complete} of {len(cells)} cells (one optimizer on one task, of one search each) are complete."
    )
