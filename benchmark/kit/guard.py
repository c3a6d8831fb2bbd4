"""Somebody else's code may hang, fork, print, fill the memory or change what everybody shares: here it does so
under watch, and each of these becomes one line."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import stopping

MEMORY_SHARE = 0.9  # of the machine's free memory: more would have the system end some other process
_forks = {"watched": 0, "seen": 0}


@contextlib.contextmanager
def watched(quiet: bool = True) -> Iterator[io.StringIO]:
    """Run other people's code as a sweep does: in a folder of its own, with as much memory as there is.

    quiet: keep what it prints, which is yielded, from the terminal. Raises ValueError at the end if the code
    forked the process or changed a setting that everybody shares; a fork itself ends at once.
    """
    before, here, forks, printed = _shared_settings(), Path.cwd(), _forks["seen"], io.StringIO()
    _forks["watched"] += 1
    try:
        with tempfile.TemporaryDirectory() as folder, _limited_memory(), contextlib.ExitStack() as stack:
            os.chdir(folder)
            if quiet:
                stack.enter_context(contextlib.redirect_stdout(printed))
            yield printed
            moved = Path.cwd() != Path(folder).resolve()
            os.chdir(here)
    finally:
        os.chdir(here)
        _forks["watched"] -= 1
    if _forks["seen"] > forks:
        raise ValueError("forks the process in its steps; every copy would go on training")
    after = _shared_settings()
    changed = [f"{name} ({before[name]} to {after[name]})" for name in before if before[name] != after[name]]
    if moved:
        changed.append("the working directory")
    if changed:
        _restore(before)
        raise ValueError(f"changes {', '.join(changed)} for everything in the process")


@contextlib.contextmanager
def time_limit(seconds: float, say: Callable[[], str]) -> Iterator[None]:
    """End this process, with one line, if what is inside is not done in time. For commands: nothing is cleaned
    up, because what hangs cannot be asked to end."""

    def end() -> None:
        os.write(2, f"{say()}\n".encode())
        os._exit(1)

    with stopping.unless_done(seconds, end):
        yield


def _shared_settings() -> dict[str, Any]:
    """What changes the numbers of everything else, of the frameworks that are loaded."""
    found: dict[str, Any] = {"numpy's error handling": np.geterr()}
    if torch := sys.modules.get("torch"):
        found["torch's default type"] = torch.get_default_dtype()
        found["torch's gradient mode"] = torch.is_grad_enabled()
    if jax := sys.modules.get("jax"):
        found["jax_enable_x64"] = jax.config.jax_enable_x64
        found["jax_disable_jit"] = jax.config.jax_disable_jit
    return found


def _restore(switches: dict[str, Any]) -> None:
    np.seterr(**switches["numpy's error handling"])
    if "torch's default type" in switches:
        sys.modules["torch"].set_default_dtype(switches["torch's default type"])
        sys.modules["torch"].set_grad_enabled(switches["torch's gradient mode"])
    if "jax_enable_x64" in switches:
        sys.modules["jax"].config.update("jax_enable_x64", switches["jax_enable_x64"])
        sys.modules["jax"].config.update("jax_disable_jit", switches["jax_disable_jit"])


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Linux: an allocation beyond the memory that is free fails, and is said, instead of ending a process."""
    if sys.platform != "linux":
        yield
        return
    import resource

    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with Path("/proc/meminfo").open(encoding="ascii") as lines:
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    free = max(free, kilobytes.get("MemAvailable", 0) * 1024)
    with Path("/proc/self/status").open(encoding="ascii") as lines:
        used = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData")), 0)
    old = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + int(MEMORY_SHARE * free)
    ceiling = old[1] if old[1] != resource.RLIM_INFINITY else limit
    resource.setrlimit(resource.RLIMIT_DATA, (min(limit, ceiling), old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, old)


def _forked_child() -> None:
    if _forks["watched"]:
        os._exit(0)


def _forked_parent() -> None:
    _forks["seen"] += bool(_forks["watched"])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked_child, after_in_parent=_forked_parent)
