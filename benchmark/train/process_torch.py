"""The process that trains in torch: its threads, its memory and its device."""

import ctypes
import resource
import sys

import torch

from benchmark import resources

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def use_own_cores() -> None:
    """No more threads than the cores that are ours: more would wait for each other."""
    torch.set_num_threads(min(torch.get_num_threads(), resources.cores()))


def keep_freed_memory() -> None:
    """Have glibc keep what tensors free: it would give the pages of every step's logits back to the system, and
    the next step would fault them in again, one by one."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option:
        set_option(M_MMAP_THRESHOLD, 32 * 2**20)  # the largest that it takes
        set_option(M_TRIM_THRESHOLD, 2**30)


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def peak_memory() -> int:
    """Peak bytes: of the device where there is one, else of this process since it started."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
