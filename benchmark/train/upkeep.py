"""What a run needs between two calls of its loop: the next one's length, its state kept, what it has come to
said, and an end in good time where one is asked for.

The same for both frameworks. A run that is over in half a minute leaves nothing and hears of nothing.
"""

import contextlib
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from benchmark import running, scales, stopping
from benchmark.peaks import peak
from benchmark.running import Line
from benchmark.spec import Trial
from benchmark.train import parameters, trackers
from benchmark.train.checkpoint import Progress, Writer, save

CALL_SECONDS = 5.0  # of one call of the loop: what a run that is told to end does before it saves
FIRST_FLOPS = 1e11  # of a step; larger ones are timed by a call of one step
FIRST_STEPS = 16  # of the first call of smaller ones
CHECKPOINT_SECONDS = 60.0  # between two checkpoints at least; runs shorter than this never write one
LONGEST_SECONDS = 900.0  # between two checkpoints at most
SHARE = (
    0.01  # of its time that a run may be kept by saving, unless it then saved less than every LONGEST_SECONDS
)
LONG_SECONDS = 30.0  # a run that takes longer is one to look at
LINE_SECONDS = 1.0  # between two lines of what it has come to, at least
SAVING_SECONDS = 30.0  # for the last call and the saving of one that is told to end


@dataclass(frozen=True)
class Watch:
    """Where what runs come to is said. folder: the sweep's, or None where the driver's disk is another's.
    device: what the trainer computes on. track: the name of a tracker, or "". tracked: for what that keeps."""

    folder: Path | None
    device: str = ""
    track: str = ""
    tracked: Path = Path()


class Upkeep:
    """Around the training of a pack. `after_call` heeds a signal in its loop, with the state kept."""

    def __init__(
        self,
        trials: Sequence[Trial],
        path: Path | None,
        watch: Watch | None,
        state: Callable[[], list[np.ndarray]],
        agreed: Callable[[Sequence[int]], list[int]] = list,
    ) -> None:
        """path: where a long run's state is kept, None for nowhere. state: copies of its arrays. agreed: this
        process's numbers -> the largest of all processes that train the run, for they must go on alike."""
        self.trials, self.watch, self.state, self.agreed = trials, watch, state, agreed
        first = trials[0]
        step = parameters.flops_per_token(scales.get(first.scale)) * first.batch_size * first.seq_len
        self.flops = step * len(trials)  # of a step of the pack
        self.pace = 0.0  # seconds of a step in the last call
        self.long = False
        self.ids = [trial.trial_id for trial in trials]
        self.path, self.writer = path, Writer(path, self.ids) if path else None
        self.began = self.saved = self.said = time.perf_counter()
        self.kept = 0.0  # seconds that the last saving kept the run
        self.telling: _Telling | None = None
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.stack.enter_context(stopping.held())
        return self

    def begin(self, progress: Progress) -> None:
        """Note where the run stands before its first call."""
        self.step = self.said_step = self.kept_step = progress.step
        self.seconds = self.said_seconds = progress.train_seconds

    def until(self, progress: Progress, most: int) -> int:
        """The step to which the next call goes, at most `most`."""
        first = 1 if self.flops > FIRST_FLOPS else FIRST_STEPS
        own = max(1, int(CALL_SECONDS / self.pace)) if self.pace else first
        (steps,) = self.agreed([min(own, most - progress.step)])
        return progress.step + steps

    def after_call(self, progress: Progress) -> None:
        """Save and say what is due. Raises KeyboardInterrupt where the run is to end now."""
        now = time.perf_counter()
        if progress.step > self.step:
            self.pace = (progress.train_seconds - self.seconds) / (progress.step - self.step)
            self.step, self.seconds = progress.step, progress.train_seconds
        left = self.pace * (self.trials[0].steps - progress.step)
        self.long = self.long or now - self.began + left > LONG_SECONDS
        if self.long and self.watch and now - self.said >= LINE_SECONDS:
            self._tell(progress, self.watch)
            self.said = now
        due = self.writer is not None and now - self.saved > self._interval()
        loss = self.writer is not None and self.long and self.kept_step < progress.step
        due, asked, loss = self.agreed([due, stopping.requested(), loss])
        if asked:
            if loss:
                self._save_last(progress)
            raise KeyboardInterrupt
        if due:
            self._save(progress)

    def finish(self, progress: Progress) -> None:
        """The loop is over: keep a long run's end, so that the evaluation alone is to be done again."""
        took = time.perf_counter() - self.began
        due = self.writer is not None and self.kept_step < progress.step and took > CHECKPOINT_SECONDS
        if any(self.agreed([due])):
            self._save(progress)
        self.stack.close()

    def _interval(self) -> float:
        cost = self.kept + (self.writer.seconds if self.writer else 0.0)
        return min(max(CHECKPOINT_SECONDS, cost / SHARE), LONGEST_SECONDS)

    def _save(self, progress: Progress) -> None:
        began = time.perf_counter()
        arrays = self.state()  # a process that does not write takes part in putting them together
        if self.writer:
            self.writer.start(progress, arrays)
        self.saved = time.perf_counter()
        self.kept, self.kept_step = self.saved - began, progress.step

    def _save_last(self, progress: Progress) -> None:
        """Keep the state of a run that ends here."""
        stopping.allow(SAVING_SECONDS)
        if self.writer:
            self.writer.wait()
        arrays = self.state()
        if self.path:
            with contextlib.suppress(OSError):  # on a full disk the previous one stays
                save(self.path, progress, arrays, self.ids)

    def _tell(self, progress: Progress, watch: Watch) -> None:
        steps, seconds = progress.step - self.said_step, progress.train_seconds - self.said_seconds
        if not steps or seconds <= 0:
            return
        self.telling = self.telling or _Telling(self.trials, watch, self.said_step)
        losses = np.mean(progress.train_losses[-steps:], axis=0)
        self.telling.tell(progress.step, losses, steps / seconds, self.flops * steps / seconds)
        self.said_step, self.said_seconds = progress.step, progress.train_seconds

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer:
            self.writer.wait()
        if self.telling:
            self.telling.end(remove=kind is None or issubclass(kind, Exception))
        self.stack.__exit__(kind, error, trace)


class _Telling:
    """The lines of a pack's trials: to their files and to a tracker."""

    def __init__(self, trials: Sequence[Trial], watch: Watch, step: int) -> None:
        """step: where this process began; what was said beyond is said again."""
        self.trials, self.watch = trials, watch
        self.folder = watch.folder / running.FOLDER if watch.folder else None
        self.peak = peak(watch.device, trials[0].precision)
        self.where = {"host": socket.gethostname(), "pid": os.getpid()}
        self.note = ""
        self.runs: list[trackers.Tracker] = []
        if self.folder:
            with contextlib.suppress(OSError):
                for trial in trials:
                    running.cut(self.folder, trial.trial_id, step)
        if watch.track:
            with self._noted():
                self.runs = [trackers.begin(watch.track, watch.tracked, trial) for trial in trials]

    def tell(self, step: int, losses: np.ndarray, per_second: float, flops_per_second: float) -> None:
        """losses: [pack]. per_second: steps of the pack, each of them one of every trial."""
        for k, (trial, loss) in enumerate(zip(self.trials, losses.tolist(), strict=True)):
            per_step = trial.batch_size * trial.seq_len
            line = Line(
                time=time.time(),
                trial_id=trial.trial_id,
                optimizer=trial.optimizer,
                task=trial.task,
                step=step,
                steps=trial.steps,
                tokens=step * per_step,
                loss=loss if math.isfinite(loss) else math.nan,
                tokens_per_second=per_second * per_step,
                share_of_peak=flops_per_second / self.peak if self.peak else None,
                note=self.note,
                **self.where,
            )
            if self.runs:
                with self._noted():
                    self.runs[k].tell(line)
            if self.folder:
                with contextlib.suppress(OSError):  # on a full disk nothing is said
                    running.append(self.folder, line)

    def end(self, remove: bool) -> None:
        """remove: the trials have ended, and are not to go on later."""
        with self._noted():
            for run in self.runs:
                run.end()
        if remove and self.folder:
            for trial in self.trials:
                running.end(self.folder, trial.trial_id)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """A tracker that fails is left out from there on, and why is said."""
        try:
            yield
        except Exception as error:
            said = str(error).strip().splitlines()
            self.note = f"{self.watch.track}: {type(error).__name__}: {said[0] if said else ''}"
            self.runs = []
