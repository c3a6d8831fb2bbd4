"""Run a sweep in this process, one job after the other: for a machine without Ray, and for debugging."""

from benchmark import resources
from sweeps.run import gpu_slot
from sweeps.run.driver import Driver
from sweeps.run.worker import work


def run(driver: Driver) -> None:
    """Run until the plan is done. Interrupt it at any time; what is finished is on disk."""
    if gpus := resources.gpus():
        gpu_slot.take_memory(1.0)
    while not driver.done:
        job = driver.next_job()
        if job is None:  # nothing in flight and nothing ready would be a plan that cannot end
            raise RuntimeError("the plan is not done but asks for nothing")
        if gpus:
            gpu_slot.require(job.trials[0].backend)
        driver.receive(work(job))
