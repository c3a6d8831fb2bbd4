"""Several processes that train one trial together, each on devices of its own, such as one on each node.

They run the same programs in the same order, so whatever decides which program comes next is agreed on here:
clocks, signals and disks differ between them. The first process alone writes. In a process by itself nothing
is exchanged.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # what `jax.distributed` keeps of a process's client, which has no other name
from jax.experimental import multihost_utils

from benchmark.train import checkpoint
from benchmark.train.checkpoint import Progress

MEET_SECONDS = 3600  # in which the slowest should have compiled
END_SECONDS = 2  # for which one that ends waits for the others, which may be gone

Saved = tuple[Progress, list[np.ndarray]]
"""How far a run has come and the arrays of its state."""

_meetings = itertools.count()


def join(address: str, count: int, number: int, seconds: int = 300) -> None:
    """Join `count` processes as number `number`; number 0 listens at `address`, HOST:PORT, and there alone.

    To be called before jax has started. Raises RuntimeError where the others have not come after so
    many seconds.
    """
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM; stopping.py heeds that
    # on GPUs XLA has the processes share the choosing of kernels: one that finds its program on its disk, where
    # another does not, would leave it waiting
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    jax.distributed.initialize(
        address,
        count,
        number,
        cluster_detection_method="deactivate",  # who belongs together is known, whatever started the nodes
        coordinator_bind_address=address,  # jax's own choice is every network that the machine is in
        initialization_timeout=seconds,
        shutdown_timeout_seconds=END_SECONDS,
    )


def meet() -> None:
    """Wait for the other processes, which all must call this: where one compiles or reads for longer than the
    others, their exchange would give it up, on CPUs after half a minute."""
    if (client := distributed.global_state.client) is not None:
        client.wait_at_barrier(f"meeting {next(_meetings)}", MEET_SECONDS * 1000)


def first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def largest(numbers: Sequence[int]) -> list[int]:
    """The largest that any process gives, place by place. All of them must call this."""
    if jax.process_count() == 1:
        return list(numbers)
    return multihost_utils.process_allgather(np.array(numbers, np.int32)).max(axis=0).tolist()


def of_first(found: Saved | None, like: Any) -> Saved | None:
    """What the first process found on its disk. All of them must call this.

    like: the run's state, whose leaves have the shapes and types of the arrays.
    """
    if jax.process_count() == 1:
        return found
    meet()
    text = checkpoint.meta(found[0]) if found and first() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    if not size:
        return None
    padded = np.frombuffer(text.ljust(size, b" ")[:size], np.uint8)
    progress = checkpoint.progress(json.loads(multihost_utils.broadcast_one_to_all(padded).tobytes()))
    own = found[1] if found and first() else [np.zeros(x.shape, x.dtype) for x in jax.tree.leaves(like)]
    return progress, [np.asarray(multihost_utils.broadcast_one_to_all(array)) for array in own]
