"""Workers wait here until all have started, and hear here that they are to end. ray_tune.py runs a Barrier as
an actor that all of them ask (ray_barrier.py).

It is not in that file, because its process would then import Ray Tune too: two seconds of a core.
"""

import time

HEAR_SECONDS = 0.5  # how often a worker asks whether to end
SILENT_SECONDS = 4.0  # one that has not asked for so long has ended


class Barrier:
    """Workers by name, each with the trial that it last took; count: how many there should be."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.here: dict[str, str] = {}
        self.heard: dict[str, float] = {}  # when each worker last asked
        self.over = False

    def arrive(self, worker: str, trial: str) -> bool:
        """Note that a worker has taken a trial. Returns whether all workers are there."""
        self.here[worker] = trial
        self.count = max(self.count, len(self.here))
        return len(self.here) == self.count

    def lost(self, trial: str) -> None:
        """The worker that had this trial is gone; another is being started."""
        self.here = {worker: last for worker, last in self.here.items() if last != trial}

    def settle(self) -> None:
        """Whoever is missing does not come."""
        self.count = len(self.here)

    def hear(self, worker: str) -> bool:
        """Note that a worker is still there. Returns whether it is to end."""
        self.heard[worker] = time.monotonic()
        return self.over

    def stop(self) -> None:
        """Every worker is to end."""
        self.over = True

    def there(self) -> int:
        """How many workers have not ended, of those that ask whether to end."""
        return sum(time.monotonic() - last < SILENT_SECONDS for last in self.heard.values())
