"""Run a sweep through Ray Tune: on the cores and GPUs of this machine, or on the cluster at RAY_ADDRESS.

The searcher is a thin adapter: a free slot gets the plan's next pack, or a short wait where none is ready.
Workers are long-lived (`reuse_actors`), hold a core each and write their own records. Only this file and
those beside it named ray_*.py import ray; its environment must be set before that.
"""

import contextlib
import logging
import os
import secrets
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")  # workers start at 15 and starve beside anything else
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine is slow to start one
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # our records are the state; Tune's is not used

import ray
from ray import tune
from ray._private import ray_constants, services
from ray._raylet import AuthenticationTokenLoader  # pyright: ignore[reportAttributeAccessIssue]  # compiled
from ray.exceptions import RayError
from ray.tune.search import Searcher

from benchmark import hidden, resources, stopping
from benchmark.recorded import record_from_json
from sweeps.run import (
    advice,
    gpu_slot,
    let_go,
    ray_barrier,
    ray_group,
    scratch,
    trial_gpus,
    worker,
    workers_python,
)
from sweeps.run.barrier import Barrier
from sweeps.run.driver import Driver
from sweeps.run.raylet import watched
from sweeps.run.worker import Job

SHORTEST_WAIT, LONGEST_WAIT = 0.1, 2.0  # seconds; a wait backs off while nothing becomes ready
OBJECT_BYTES = (80e6, 200e6)  # Ray's least, and what is plenty: only configurations and records pass through


@dataclass(frozen=True)
class Slots:
    """What all workers share.

    count: how many there are. spare: how many trials may wait beside theirs. cores: those to pin workers to,
    or none. gpu_share: of one GPU, 0.0 for none. barrier: name of the actor that knows who is there.
    nodes: on how many a trial is trained, with `gpus` on each where these are several.
    far: others started Ray, so no signal of this command's reaches its workers.
    """

    count: int
    spare: int
    cores: tuple[int, ...]
    gpu_share: float
    barrier: str
    nodes: int = 1
    gpus: int = 1
    far: bool = False


class Worker(tune.Trainable):
    """One slot: a process that trains whatever pack its next configuration names."""

    def setup(self, config: dict[str, Any]) -> None:
        slots: Slots = config["slots"]
        if slots.cores:
            worker.hold_a_core(slots.cores)
        self.group = ray_group.Group(slots.nodes, slots.gpus) if slots.nodes > 1 else None
        self.on_gpu = slots.gpu_share > 0 and not self.group  # its members hold the GPUs
        if self.on_gpu:
            gpu_slot.take_memory(slots.gpu_share)
        stopping.listen(lambda: sys.exit(0))  # any other status Ray tells the user of
        self.name, self.barrier = uuid.uuid4().hex, slots.barrier
        if slots.far:
            ray_barrier.obey(self.barrier, self.name)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.job: Job | None = new_config["job"]
        self.trial, self.wait = new_config["trial"], new_config["wait"]
        return True

    def step(self) -> dict[str, Any]:
        # Tune ends the experiment, with all of a result for its message, where one lacks the metric
        return {"done": True, "records": [], **self._worked()}

    def _worked(self) -> dict[str, Any]:
        """The job's `records`, or an `error` of this node or the sweep, or how the worker `died`."""
        ray_barrier.wait_for_all(self.barrier, self.name, self.trial)
        if self.job is None:
            time.sleep(self.wait)
            return {}
        if self.group:
            return self.group.work(self.job)
        try:
            if self.on_gpu:
                gpu_slot.require(self.job.trials[0].backend)
            records = worker.work(self.job)  # the driver saves those of a node that does not see its disk
        except (ValueError, OSError) as error:  # of this node or of the sweep, not of the trial
            return {"error": str(error)}
        return {"records": [record.to_json() for record in records]}

    def cleanup(self) -> None:
        if self.group:
            self.group.end()

    def save_checkpoint(self, checkpoint_dir: str) -> dict:
        return {}

    def load_checkpoint(self, checkpoint: dict | None) -> None:
        pass


class PlanSearcher(Searcher):
    """Asks the driver for work and gives it the records. Errors of the driver itself end the sweep."""

    def __init__(self, driver: Driver, slots: Slots) -> None:
        super().__init__(metric="records", mode="max")
        self.driver, self.slots = driver, slots
        self.open: set[str] = set()  # trials of Tune's that have not ended, waits included
        self.jobs: dict[str, Job] = {}
        self.idle_since: float | None = None
        self.error: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        stopping.share()  # Tune has taken Ctrl-C; its workers are to hear of it first
        if self.driver.done or self.error:
            return Searcher.FINISHED
        if len(self.open) >= self.slots.count + self.slots.spare:
            return None  # one waits already for whichever worker is free first
        self.open.add(trial_id)
        config = {"slots": self.slots, "trial": trial_id, "job": None, "wait": 0.0}
        job = self.driver.next_job()
        if job is not None:
            self.jobs[trial_id] = job
            self.idle_since = None
            return {**config, "job": job}
        now = time.monotonic()
        self.idle_since = self.idle_since or now
        wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, (now - self.idle_since) / 4))
        return {**config, "wait": wait}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        self.open.discard(trial_id)
        if error:
            ray_barrier.lost(self.slots.barrier, trial_id)
        job = self.jobs.pop(trial_id, None)
        if job is None or self.error:
            return
        try:
            if result and "error" in result:
                raise ValueError(result["error"])
            if error or not result or "died" in result:
                died = (result or {}).get("died", "its worker died: killed, out of memory, or a crash")
                self.driver.worker_died(job, died)
            else:
                self.driver.receive([record_from_json(text) for text in result["records"]])
        except (OSError, ValueError) as problem:
            self.error = problem  # raised again by run(), after Tune has let its workers go

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the plan and the records on disk are the whole state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing; see save."""


def run(driver: Driver, slots_per_gpu: int = 1, workers: int | None = None) -> None:
    """Run until the plan is done, on at most so many workers (None: as many as there is room for). Returns
    early if interrupted; raises what the driver raised. No process of Ray's is left here when it returns."""
    # Tune warns of metrics files that we switched off; a trial's own failure is shown by the driver
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    before = set(stopping.descendants(os.getpid()))
    address = advice.cluster()
    with scratch.folder() as home, contextlib.nullcontext() if address else _alone():
        try:
            with watched(), stopping.first(lambda: _let_go(driver, bool(address))):
                with hidden.shown():  # Ray counts GPUs, and its workers inherit what is set here
                    _connect(address) if address else _start(workers, home)
                searcher = _fit(driver, _slot(slots_per_gpu, driver.devices), workers, str(home / "tune"))
            if searcher.error:
                raise searcher.error
        finally:
            started = [pid for pid in stopping.descendants(os.getpid()) if pid not in before]
            ray.shutdown()
            stopping.end_all(started, patience=2.0)


def _let_go(driver: Driver, far: bool) -> None:
    """What is done first when the sweep is told to stop."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it takes the end of its workers for a failure
    if far:
        ray_barrier.end_workers(_barrier(driver))
    else:
        let_go.workers(driver.folder)


def _connect(address: str) -> None:
    """Join a running cluster, or raise ValueError within half a minute."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # else it tells of each attempt
    line = f"no Ray cluster answers at RAY_ADDRESS={address} (what listens there lets nobody in)"
    remedy = "correct the address, or unset RAY_ADDRESS to run on this machine"

    def late() -> None:
        stopping.end(1, f"sweeps: {line}; {remedy}")

    try:
        there = services.canonicalize_bootstrap_address(address) if "://" not in address else address
        if there:
            advice.check_cluster(there, address)
        with stopping.unless_done(advice.JOIN_SECONDS, late):
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except Exception as error:  # what Ray raises is a plain Exception
        raise ValueError(f"Ray did not start {advice.said(error)}") from None
    stopping.again()


def _start(workers: int | None, home: Path) -> None:
    """Start Ray here, with a core a worker. Raises ValueError if that fails.

    home: a folder with a short path, for Ray's own files. Ray has its workers import from the folder that it is
    started in before all others; where this process does not, neither must they.
    """
    most = resources.workers()
    count = min(most, workers or most)
    advice.check_room(count)
    elsewhere = home / "empty"
    elsewhere.mkdir(exist_ok=True)
    memory = resources.memory_bytes()
    try:
        # "local": without it Ray would join whatever cluster was last started on this machine
        with contextlib.chdir(elsewhere) if _only_installed() else contextlib.nullcontext():
            ray.init(
                address="local",
                num_cpus=count,
                include_dashboard=False,
                runtime_env=workers_python.environment(),
                object_store_memory=int(max(OBJECT_BYTES[0], min(OBJECT_BYTES[1], memory / 10))),
                log_to_driver=False,
                configure_logging=False,
                _memory=memory,
                _temp_dir=str(home),
            )
    except Exception as error:  # what Ray raises when it cannot start is a plain Exception
        raise ValueError(f"Ray did not start {advice.said(error, home)}") from None
    stopping.again()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """While inside, Ray started here listens on loopback alone and asks whoever connects for a new secret.

    Both hold for all its processes: they are told this machine's address, and listen where that is; and they
    inherit the secret. Ray would else write one to the user's home, which may not exist.
    """
    kept = {name: os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE")}
    cluster = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # what Ray does where it makes no clusters; read with each address
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = cluster
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        AuthenticationTokenLoader.instance().reset_cache()


def _only_installed() -> bool:
    """Whether this process imports nothing from the folder that it was called in, as the console script."""
    return not {"", str(Path.cwd())} & set(sys.path)


def _fit(driver: Driver, slot: dict[str, float], workers: int | None, storage: str) -> PlanSearcher:
    """Let Tune run the plan to its end. Raises ValueError if Ray stops before."""
    nodes = round(driver.devices / slot["gpu"]) if driver.devices > 1 else 1
    slots = _slots(driver, slot, workers, nodes)
    driver.workers = slots.count
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots.count)  # all workers start at once
    searcher = PlanSearcher(driver, slots)
    tuner = tune.Tuner(
        tune.with_resources(Worker, slot if nodes == 1 else _on_nodes(nodes, slot)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=driver.sweep.name,
            storage_path=storage,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        barrier: Any = ray.remote(num_cpus=0)(Barrier).options(name=slots.barrier).remote(slots.count)
        tuner.fit()
        ray.kill(barrier)
    except (RayError, tune.TuneError) as error:
        raise ValueError(f"Ray stopped ({advice.gist(error)}); what is finished is kept, run again") from None
    finally:
        stopping.again()
    return searcher


def _slots(driver: Driver, slot: dict[str, float], workers: int | None, nodes: int = 1) -> Slots:
    # a pinned worker is one core; with GPUs, or on nodes whose cores we do not know, nothing is pinned
    pin = "gpu" not in slot and not advice.cluster()
    cores = resources.idle_first(resources.affinity()) if pin else []
    there = _count(slot, nodes)
    if workers and workers > there:
        print(f"sweeps: there is room for {there} workers, not for {workers}", file=sys.stderr)
    count = min(there, workers or there, driver.current.remaining)
    if pin and (held := worker.held_cores(cores)) and count > len(cores) - held:
        print(
            f"sweeps: another sweep's workers hold {held} of {len(cores)} cores; both share them",
            file=sys.stderr,
        )
    # where there is room for more, a trial that waits would start one more
    gpus = slot.get("gpu", 0.0)
    spare, share = int(count == there), min(1.0, gpus)
    far = bool(advice.cluster())
    return Slots(
        count, spare, tuple(cores), share, _barrier(driver), nodes=nodes, gpus=max(1, int(gpus)), far=far
    )


def _barrier(driver: Driver) -> str:
    """What the actor is called that this sweep's workers meet at."""
    return f"optimizer-benchmark-{driver.start}"


def _slot(slots_per_gpu: int, gpus_per_trial: int = 1) -> dict[str, float]:
    """What a worker asks Ray for on each of its nodes. Raises ValueError where a trial cannot have its GPUs."""
    gpus = ray.cluster_resources().get("GPU", 0)
    if gpus_per_trial > 1:
        there = [int(node.get("GPU", 0)) for node in _nodes()]
        return {"cpu": 1, "gpu": gpus_per_trial // trial_gpus.nodes(gpus_per_trial, there)}
    return {"cpu": 1, "gpu": 1 / slots_per_gpu} if gpus else {"cpu": 1}


def _on_nodes(nodes: int, slot: dict[str, float]) -> tune.PlacementGroupFactory:
    """A slot on each of so many nodes, for the members; the worker itself takes nothing and is on the first."""
    bundle = {name.upper(): share for name, share in slot.items()}
    return tune.PlacementGroupFactory([{}, *[bundle] * nodes], strategy="STRICT_SPREAD")


def _count(slot: dict[str, float], nodes: int = 1) -> int:
    """How many of these slots the machine or the cluster has, each of them on so many nodes."""
    if nodes > 1:
        return max(1, trial_gpus.at_once(nodes, [_room(slot, node) for node in _nodes()]))
    return max(1, _room(slot, ray.cluster_resources()))


def _room(slot: dict[str, float], there: Mapping[str, float]) -> int:
    return min(int(there.get(name.upper(), 0) / share + 1e-6) for name, share in slot.items())


def _nodes() -> list[dict[str, float]]:
    """What each node has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
