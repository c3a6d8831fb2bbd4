"""Run a sweep in this process, one job after the other: for a machine without Ray, and for debugging."""

from sweeps.run.driver import Driver
from sweeps.run.worker import work


def run(driver: Driver) -> None:
    """Run until the plan is done. Interrupt it at any time; what is finished is on disk."""
    while not driver.done:
        job = driver.next_job()
        if job is None:  # nothing in flight and nothing ready would be a plan that cannot end
            raise RuntimeError("the plan is not done but asks for nothing")
        driver.receive(work(job))
