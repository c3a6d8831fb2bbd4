"""Workers wait here until all have started. ray_tune.py runs a Barrier as an actor that all of them ask.

It is not in that file, because its process would then import Ray Tune too: two seconds of a core.
"""


class Barrier:
    """Workers by name, each with the trial that it last took; count: how many there should be."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.here: dict[str, str] = {}

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
