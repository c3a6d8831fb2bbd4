"""What workers and driver say to each other by an actor that all of them know by name: a Barrier.

That all workers are there; and on a cluster, whose workers no signal of this command's reaches, that they are
to end. Tune would let them be killed after five seconds, whatever they do.
"""

import contextlib
import os
import signal
import sys
import threading
import time

import ray
from ray.exceptions import RayError

from benchmark import stopping
from benchmark.train.upkeep import SAVING_SECONDS
from sweeps.run.barrier import HEAR_SECONDS

LONGEST_START = 60.0  # seconds in which all workers should be there
LOST = (RayError, ValueError)  # the barrier is gone: go on without


def wait_for_all(barrier: str, name: str, trial: str) -> None:
    """Wait until every worker has started, one that replaces a killed one too. One that finished a trial
    before would be given the trial for which another is being started, and that other would be stopped: with
    short trials it never came up."""
    deadline = time.monotonic() + LONGEST_START
    with contextlib.suppress(*LOST):
        actor = ray.get_actor(barrier)
        while not ray.get(actor.arrive.remote(name, trial)):
            if time.monotonic() > deadline:
                ray.get(actor.settle.remote())  # such as a node that is gone
            time.sleep(0.1)


def lost(barrier: str, trial: str) -> None:
    with contextlib.suppress(*LOST):
        ray.get_actor(barrier).lost.remote(trial)


def obey(barrier: str, name: str) -> None:
    """In a worker of a cluster: be heard of from now on, and take the driver's word for a SIGTERM."""

    def hear() -> None:
        told = False
        with contextlib.suppress(*LOST):
            actor = ray.get_actor(barrier)
            while True:
                if ray.get(actor.hear.remote(name)) and not told:
                    told = True
                    os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(HEAR_SECONDS)

    threading.Thread(target=hear, daemon=True).start()


def end_workers(barrier: str) -> None:
    """In the driver of a cluster's sweep: tell the workers to end, and wait for those with a long trial."""
    over = threading.Event()

    def tell() -> None:  # in a thread: the main one may have been interrupted inside Ray
        with contextlib.suppress(*LOST):
            actor = ray.get_actor(barrier)
            ray.get(actor.stop.remote())
            while ray.get(actor.there.remote()):
                time.sleep(HEAR_SECONDS)
        over.set()

    stopping.allow(SAVING_SECONDS + stopping.ORDER_SECONDS)
    print(
        f"\nlong trials keep their state, for at most {SAVING_SECONDS:g} seconds; once more ends at once.",
        file=sys.stderr,
    )
    threading.Thread(target=tell, daemon=True).start()
    over.wait(SAVING_SECONDS)
