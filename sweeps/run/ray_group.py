"""One trial on the GPUs of several nodes: a process on each, placed by Ray and joined by jax.

Tune reserves a bundle on each of so many nodes for a worker. That trains nothing itself here: it starts a
member in every bundle, has them join (benchmark/train/processes_jax.py) and hands them its jobs. It outlives
them, so that a member's death ends the others and becomes an answer. Ray Train's JaxTrainer is not used: it
starts new processes for every run, which would compile anew, and its coordinator listens on all networks.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import time
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from benchmark import stopping
from benchmark.recorded import record_from_json
from benchmark.train.upkeep import SAVING_SECONDS
from sweeps.run import gpu_slot, worker
from sweeps.run.worker import Job

LOOPBACK = "127.0.0.1"
JOIN_SECONDS = 120  # in which all members should have started jax
# after one has failed or died the others may write the state, or fail too, or wait for it for ever
GRACE_SECONDS = SAVING_SECONDS
LOOK_SECONDS = 0.5  # between two looks at what has come
WAITING = "waiting"
DIED = "one of its processes died: killed, out of memory, or a crash"

Answer = tuple[str, Any]
"""What a member says: ("", what it was asked for), ("error", a line) of its node or of the sweep, or ("failed",
its records) of the trial."""


class Member:
    """One process of a trial, on one node, in an actor."""

    def __init__(self) -> None:
        gpu_slot.take_memory(1.0)
        stopping.listen(lambda: sys.exit(0))

    def place(self) -> tuple[str, int]:
        """The address of its node, and its process id."""
        return get_node_ip_address(), os.getpid()

    def free_port(self, host: str) -> int:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as server:
            return server.getsockname()[1]

    def join(self, address: str, count: int, number: int) -> Answer:
        from benchmark.train import processes_jax  # here: jax is for members, not for the sweep's own process

        if address.startswith(LOOPBACK):
            os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        try:
            processes_jax.join(address, count, number, JOIN_SECONDS)
        except (RuntimeError, ValueError) as error:
            return (
                "error",
                f"the processes of a trial on {count} nodes did not meet at {address} ({_line(error)})",
            )
        return "", None

    def prepare(self, job: Job) -> Answer:
        """Do what may fail or take long on this node alone."""
        try:
            gpu_slot.require(job.trials[0].backend)
            worker.corpus(job)
        except (ValueError, OSError) as error:
            return "error", f"{_line(error)} (node {get_node_ip_address()})"
        return "", None

    def train(self, job: Job) -> Answer:
        try:
            records = worker.train(job)
        except (ValueError, OSError) as error:
            return "error", f"{_line(error)} (node {get_node_ip_address()})"
        except KeyboardInterrupt:  # another was told to stop, and all have
            sys.exit(0)
        failed = any(record.status == "failed" for record in records)
        return "failed" if failed else "", [record.to_json() for record in records]


class Group:
    """The members of one worker. They stay from trial to trial, unless something goes wrong."""

    def __init__(self, nodes: int, gpus: int) -> None:
        """gpus: on each node."""
        self.nodes, self.gpus = nodes, gpus
        self.members: list[Any] = []
        self.first = 0  # process id of the first, which is on this node

    def work(self, job: Job) -> dict[str, Any]:
        """What became of a job: its `records`, an `error` of the sweep's, or how its worker `died`."""
        job = dataclasses.replace(job, nodes=self.nodes)
        with stopping.held():
            try:
                found = self._trained(job)
            except RayError:
                found = {"died": DIED}
                self.end()
        if "records" in found:
            worker.keep(job, [record_from_json(text) for text in found["records"]])
        return found

    def _trained(self, job: Job) -> dict[str, Any]:
        asked: list[tuple[str, list[tuple]]] = [(step, [(job,)] * self.nodes) for step in ("prepare", "train")]
        if not self.members:
            address = self._start()
            asked.insert(0, ("join", [(address, self.nodes, number) for number in range(self.nodes)]))
        answers: list[Answer] = []
        for method, words in asked:
            answers = self._ask(method, words)
            if any(kind for kind, _ in answers):
                self.end()  # what jax holds of it elsewhere is not to be trusted
            if line := next((said for kind, said in answers if kind == "error"), ""):
                return {"error": line}
            if any(kind == "died" for kind, _ in answers):
                return {"died": DIED}
        return {"records": next(said for kind, said in answers if kind != WAITING)}

    def _start(self) -> str:
        """Start the members; the address at which the first is to listen. Raises RayError where one dies."""
        group: Any = get_current_placement_group()
        for bundle in range(self.nodes):
            where = PlacementGroupSchedulingStrategy(group, bundle)
            made = ray.remote(Member).options(num_cpus=1, num_gpus=self.gpus, scheduling_strategy=where)
            self.members.append(made.remote())
        places = ray.get([member.place.remote() for member in self.members])
        host, self.first = places[0]
        if len({host for host, _ in places}) == 1:  # processes of one machine need no network
            host = LOOPBACK
        port = ray.get(self.members[0].free_port.remote(host))
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _ask(self, method: str, words: list[tuple]) -> list[Answer]:
        """The members' answers in their order, "died" among them. Where one fails or dies, those who do not end
        soon are still WAITING."""
        calls = {
            getattr(member, method).remote(*each): number
            for number, (member, each) in enumerate(zip(self.members, words, strict=True))
        }
        answers: list[Answer] = [(WAITING, None)] * len(calls)
        pending, deadline, told = list(calls), float("inf"), False
        while pending and time.monotonic() < deadline:
            if stopping.requested() and not told:
                told = True
                with contextlib.suppress(OSError):
                    os.kill(self.first, signal.SIGTERM)  # they agree on where to stop
            ready, pending = ray.wait(pending, timeout=LOOK_SECONDS)
            for call in ready:
                try:
                    answers[calls[call]] = ray.get(call)
                except RayError:
                    answers[calls[call]] = "died", None
                if answers[calls[call]][0]:
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        return answers

    def end(self) -> None:
        """End the members, whatever they do."""
        for member in self.members:
            ray.kill(member)
        self.members = []


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
