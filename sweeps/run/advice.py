"""Why Ray did not start and what helps: checks before it is started, and a table from cause to advice.

Ray says what happened in one of several ways, often only in the logs of a process that ended; the table is
searched for in its error first, in its logs then.
"""

import contextlib
import os
import re
import resource
import socket
from pathlib import Path

from benchmark import resources

SERIAL = "or use --executor serial, which needs no Ray"
DESCRIPTORS = 256  # of the driver and of each of Ray's processes; measured: 110 and more
PROCESSES, PROCESSES_PER_WORKER = 200, 30  # threads count, too; estimated from 260 at one worker
ANSWER_SECONDS = 5.0
JOIN_SECONDS = 25.0  # in which a cluster lets us join; with ANSWER_SECONDS half a minute
LOG_BYTES = 100_000  # of the end of each log
_BUSY = "this machine is too busy, or something ended Ray's processes: try again with fewer --workers"

# what Ray's error or logs say -> what to do; the first that is found counts
CAUSES: tuple[tuple[str, str], ...] = (
    (r"AF_UNIX path|socket path|File name too long", "set RAY_TMPDIR to a folder with a short path"),
    (
        r"No space left|ENOSPC|Errno 28|Disk quota",
        "free space there, or set RAY_TMPDIR to a folder on another disk",
    ),
    (r"Too many open files|EMFILE|Errno 24", "allow more open files (ulimit -n 4096)"),
    (
        r"can't start new thread|pthread_create|Resource temporarily unavailable|Errno 11\b|thread: ",
        "allow more processes (ulimit -u, docker's limit of pids) or give fewer --workers",
    ),
    (
        r"Cannot allocate memory|Errno 12\b|bad_alloc|MemoryError|OutOfMemory|out of memory",
        "there is too little memory: give fewer --workers",
    ),
    (r"Address already in use|Errno 98", "another program took the port that was chosen: run again"),
    (
        r"Read-only file system|Permission denied|Errno 13\b|Errno 30\b",
        "set RAY_TMPDIR to a folder that is yours",
    ),
    (r"[Vv]ersion mismatch", "install the cluster's version of Ray and Python here, or ours there"),
    (
        r"[Aa]uthenticat|auth[_ ]token|UNAUTHENTICATED",
        "the cluster asks for its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a copy of its file",
    ),
    (
        r"Could not find any running Ray instance",
        "no cluster runs here: unset RAY_ADDRESS, or start one (docs/cluster.md)",
    ),
    (r"Invalid address|Malformed|address port|address family", "RAY_ADDRESS is auto or HOST:PORT"),
    (
        r"Failed to connect to Ray cluster",  # though something listens there: see check_cluster
        "if it asks for its token, as one of `ray start` does, set RAY_AUTH_MODE=token (docs/cluster.md)",
    ),
    (
        r"Failed to connect|Connection refused|ConnectionError|unreachable|no Ray cluster",
        "start the cluster, or unset RAY_ADDRESS to run on this machine",
    ),
    (r"timed out|Timed out|failed to start|health check|raylet|GCS", _BUSY),
)


def said(error: BaseException, logs: Path | None = None) -> str:
    """What went wrong and what helps, as one line: "(what); advice, or use --executor serial"."""
    text = f"{type(error).__name__}: {error}"
    found = next((advice for pattern, advice in CAUSES if re.search(pattern, text)), "")
    because = gist(error)
    if not found or found == _BUSY:
        for pattern, advice in CAUSES[:7]:
            if line := _logged(pattern, logs):
                because, found = line, advice
                break
    return f"({because}); {found or 'the reason is not known here: run again'}, {SERIAL}"


def gist(error: BaseException) -> str:
    """An error's message in one line; of a traceback in it the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if lines[0].startswith("Traceback"):
        return lines[-1]
    if lines[0].endswith(":") and len(lines) > 1:  # a list follows, as of the versions that differ
        return " ".join(lines[:4])
    return lines[0]


def _logged(pattern: str, logs: Path | None) -> str:
    """The last line in Ray's logs with a pattern."""
    for path in sorted(logs.glob("session_latest/logs/*.*")) if logs else ():
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
            hits = [line.strip() for line in lines if re.search(pattern, line)]
            if hits:
                return f"{path.name}: {hits[-1][-200:]}"
    return ""


def check_room(workers: int) -> None:
    """Raise ValueError where this process may not open or start as much as Ray will; Ray itself would hang or
    end with a stack trace."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    if limits and soft != resource.RLIM_INFINITY and soft < 16 * DESCRIPTORS:
        with contextlib.suppress(OSError, ValueError):  # up to the hard limit this is ours to say
            wanted = 16 * DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, 16 * DESCRIPTORS)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        if soft < DESCRIPTORS:
            raise ValueError(
                f"this process may open {soft} files and Ray needs {DESCRIPTORS}; allow more (ulimit -n"
                f" {16 * DESCRIPTORS}), {SERIAL}"
            )
    left, needed = processes_left(), PROCESSES + PROCESSES_PER_WORKER * workers
    if left is not None and left < needed:
        raise ValueError(
            f"{left} more processes and threads may be started here, and Ray needs about {needed} for {workers}"
            " workers; allow more (ulimit -u, docker's limit of pids), give fewer --workers,"
            " or use --executor serial"
        )


def processes_left() -> int | None:
    """How many more processes and threads this user may start, by control group and by `ulimit -u`; None
    without a limit. Root heeds no `ulimit -u`."""
    left = [number for number in (resources.processes_left(),) if number is not None]
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if most != resource.RLIM_INFINITY and os.getuid():
        left.append(max(0, most - _threads_of(os.getuid())))
    return min(left) if left else None


def _threads_of(user: int) -> int:
    count = 0
    for task in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            if task.stat().st_uid == user:
                count += sum(1 for _ in task.iterdir())
    return count


def cluster() -> str:
    """The address of the cluster that the user names; "" for none, that is for Ray on this machine."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return "" if address == "local" else address


def check_cluster(address: str, named: str) -> None:
    """Raise ConnectionError where nothing listens at HOST:PORT: Ray itself would wait for two minutes.

    named: the address in the user's words."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        raise ConnectionError(f"RAY_ADDRESS={named} names no address: Invalid address format")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConnectionError(f"no Ray cluster answers at RAY_ADDRESS={named}: {why}") from None
