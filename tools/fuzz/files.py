"""Damaged user files through the path that a sweep takes: `python -m tools.fuzz files --n 500`.

Each is an example of ours (examples/, docs/your-optimizer.md) with one or two mutations drawn from a seed. A
file may be refused, in one line with a status that is not 0, or admitted; it may not bring a traceback, take
longer than LIMIT_SECONDS, or leave anything beside itself. Most are loaded alone, and one in EVERY takes its
first steps in the real trainer.
"""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmark.kit import admission
from optimizers.user.files import Backend
from sweeps.search import contestants

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 10.0  # of processor time of a file that is loaded alone, with those that hang
PATIENCE = 6  # times as long by the clock, where other programs have their share
HANG_SECONDS = 4.0  # by the clock, after which a file's import counts as hanging here
EVERY = 25  # one in so many is trained for a few steps
STEPS_SECONDS = 60.0  # by the clock, after which its first steps count as hanging here
TRAINING_SECONDS = 120.0  # of processor time for those: everything is compiled
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

Mutation = Callable[[str, random.Random], str | bytes]

# what stands in front of, or behind, a file's own lines
LINES = (
    "raise RuntimeError('broken')", "raise KeyboardInterrupt", "raise SystemExit", "raise SystemExit('bye')",
    "class Odd(BaseException): ...\nraise Odd", "raise ValueError('two\\nlines')", "assert False", "1 / 0",
    "import os; os._exit(0)", "import os; os._exit(3)", "import os; os.abort()", "import sys; sys.exit(0)",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "while True: pass",
    "import time; time.sleep(1000)",
    "while True:\n    try:\n        while True: pass\n    except BaseException: pass", "def f(): f()\nf()",
    "import no_such_package", "from optax import no_such_name", "from . import beside",
    "import pathlib; pathlib.Path(__file__).unlink()", "print('x' * 100000)",
    "import warnings; warnings.warn('careful')", "import sys; sys.stdout.close()",
    "import sys; sys.stderr.close()", "import sys; sys.stdout = None", "import sys; sys.modules.clear()",
    "import sys; del sys.modules[__name__]", "import sys; sys.setrecursionlimit(50)",
    "import os; os.chdir('/')", "import os; os.environ.clear()", "del __file__", "__name__ = None",
    "__doc__ = 5", "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()",
    "input()", "raise UnicodeError('ü\\ud800')", "x = " + "+".join(["1"] * 5000),
    "x = " + "(" * 300 + ")" * 300, "import optimizers; optimizers.base = None", "é = ñ = '日本'",
    "exec('x = (')", "import antigravity_of_mine",
    "class Bad:\n    def __repr__(self): raise RuntimeError('no repr')\nraise RuntimeError(Bad())",
    "def __getattr__(name): raise RuntimeError(name)", "def __getattr__(name): return None",
)  # fmt: skip
# what `space`, `starts` and the like may be made
VALUES = (
    "None", "5", "'adam'", "[]", "{}", "()", "{1: (2,)}", "{'peak_lr': ()}", "{'peak_lr': 0.1}",
    "{'peak_lr': None}", "{'peak_lr': 'ab'}", "{'peak_lr': (0.1,)}", "{'peak_lr': (0.0, 0.0)}",
    "{'peak_lr': (-1.0, -2.0)}", "{'peak_lr': (float('nan'),)}", "{'peak_lr': (float('inf'), 0.1)}",
    "{'peak_lr': (1e300, 1e-300)}", "{'peak_lr': (0.1, 'x')}", "{'peak_lr': (True, False)}",
    "{'peak_lr': tuple(i / 1e5 for i in range(1, 100000))}", "{'peak_lr': (10 ** 5000, 1)}",
    "{'peak_lr': (0.1, [1])}", "{'peak_lr': ((1, 2), (3, 4))}", "{'peak lr': (0.1,)}",
    "{'peak_lr': (0.1,), 'class': (1, 2)}", "{'peak_lr': (0.1,), 'clip_norm': (1.0,)}",
    "{'peak_lr': (0.1,), '': (1,)}", "{'peak_lr': (0.1,), 'beta': (object(),)}", "{'peak_lr': {0.1, 0.2}}",
    "{'peak_lr': range(3)}", "lambda: 5", "{'peak_lr': (i for i in (0.1,))}", "{'peak_lr': (1j, 0.1)}",
    "type('M', (dict,), {'keys': 5})()", "...", "b'x'", "{'peak_lr': (0.1,), 'ü': (1.0,)}",
    "{'peak_lr': (0.1,), 'file': (1, 2)}", "{'peak_lr': (0.1,), 'info': (1, 2)}",
    "{'peak_lr': (0.1,), 'space': (1, 2)}", "{'peak_lr': (0.1,), 'validate': (1, 2)}", "float('nan')",
    "('peak_lr',)",
)  # fmt: skip
FACTS = (
    "space",
    "starts",
    "essential",
    "family",
    "schedule",
    "recipe_start",
    "groups",
    "eval_params",
    "closure",
)
RETURNS = (
    "None", "5", "()", "(None, None)", "lambda *a: None", "optax.GradientTransformation(None, None)", "optax",
    "optax.GradientTransformation(lambda p: 1 / 0, lambda g, s, p=None: (g, s))",
    "optax.GradientTransformation(lambda p: (), lambda g, s, p=None: None)",
    "optax.GradientTransformation(lambda p: (), lambda g, s: ({}, s))", "optax.sgd('fast')",
    "optax.sgd(None)",
    "optax.stateless(lambda g, p: {k: v[..., None] for k, v in g.items()})",
    "optax.stateless(lambda g, p: {k: v * float('nan') for k, v in g.items()})",
    "optax.stateless(lambda g, p: p)",
    "optax.GradientTransformation(lambda p: 'text', lambda g, s, p=None: (g, s))", "exit()",
    "jax_optimizer(0)",
)  # fmt: skip
SIGNATURES = (
    "", "learning_rate", "*", "*args", "**kwargs", "lr, lr2", "self, learning_rate", "learning_rate, /, beta",
    "*, learning_rate=None", "learning_rate=None, beta=None, mask=None, weight_decay=None", "params",
)  # fmt: skip


def in_front(text: str, coins: random.Random) -> str:
    return f"{coins.choice(LINES)}\n{text}"


def behind(text: str, coins: random.Random) -> str:
    return f"{text}\n{coins.choice(LINES)}\n"


def inside(text: str, coins: random.Random) -> str:
    """A line of a function's body is another one."""
    bodies = list(re.finditer(r"^( +)\S.*$", text, re.MULTILINE))
    if not bodies:
        return in_front(text, coins)
    found = coins.choice(bodies)
    odd = coins.choice(LINES).replace("\n", f"\n{found[1]}")
    return f"{text[: found.start()]}{found[1]}{odd}{text[found.end() :]}"


def fact(text: str, coins: random.Random) -> str:
    return f"{text}\n{coins.choice(FACTS)} = {coins.choice(VALUES)}\n"


def returned(text: str, coins: random.Random) -> str:
    """A function returns something else."""
    return re.sub(r"return .*", lambda _: f"return {coins.choice(RETURNS)}", text)


def signature(text: str, coins: random.Random) -> str:
    return re.sub(r"(def \w+)\([^)]*\)", lambda m: f"{m[1]}({coins.choice(SIGNATURES)})", text)


def without_a_line(text: str, coins: random.Random) -> str:
    lines = text.splitlines()
    del lines[coins.randrange(len(lines))]
    return "\n".join(lines)


def cut(text: str, coins: random.Random) -> str:
    return text[: coins.randrange(len(text))]


def misspelt(text: str, coins: random.Random) -> str:
    """A word is written otherwise, everywhere."""
    word = coins.choice(sorted(set(re.findall(r"[A-Za-z_]{3,}", text))))
    return re.sub(rf"\b{word}\b", coins.choice([word.upper(), word[1:], f"{word}_", "class", "1"]), text)


def bytes_of(text: str, coins: random.Random) -> bytes:
    """Not text: other bytes in the middle, an encoding that is none or another, no bytes at all."""
    data = text.encode()
    at = coins.randrange(len(data))
    made = [b"", b"\0", coins.randbytes(200), b"#!/bin/sh\nexit 0\n", b"{}", b"\x7fELF" + data]
    made += [data[:at] + odd + data[at:] for odd in (b"\0", b"\xff\xfe", b"\xe2\x80\x8b", b"\x1a")]
    made += [b"# -*- coding: klingon -*-\n" + data, b"# -*- coding: latin-1 -*-\n# \xe9\n" + data]
    made += [b"\xef\xbb\xbf" + data, text.encode("utf-16"), data.replace(b"=", "\uff1d".encode())]
    made += [data.replace(b"\n", b"\r"), data.replace(b"    ", b"\t  ")]
    return coins.choice(made)


MUTATIONS: tuple[Mutation, ...] = (
    in_front, behind, inside, fact, fact, returned, returned, signature, without_a_line, cut, misspelt,
    bytes_of,
)  # fmt: skip


@dataclass(frozen=True)
class Damaged:
    """A file as it is written. what: the mutations that made it."""

    name: str
    what: str
    content: bytes


def examples() -> list[str]:
    page = (ROOT / "docs" / "your-optimizer.md").read_text(encoding="utf-8")
    files = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.py"))]
    return [*files, *(block for _, block in BLOCK.findall(page))]


def damaged(count: int, seed: int = 0, first: int = 0) -> Iterator[Damaged]:
    """So many files, the same for the same seed and number."""
    texts = examples()
    for number in range(first, first + count):
        coins = random.Random(f"{seed} {number}")
        content: str | bytes = coins.choice(texts)
        what = []
        for mutate in coins.choices(MUTATIONS, k=coins.choice((1, 1, 2))):
            if isinstance(content, str) and content.strip():
                content, _ = mutate(content, coins), what.append(mutate.__name__)
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        yield Damaged(f"file_{number}.py", " + ".join(what), data)


def judge(file: Damaged, folder: Path, train: bool = False) -> tuple[int | None, str, str]:
    """Put a file through a sweep's own path, in a process of its own: its status (None: it hung), what it said
    on stderr, and what is wrong with how it ended, "" if nothing is."""
    place = folder / file.name.removesuffix(".py")
    place.mkdir()
    path, log = place / file.name, folder / "log"
    path.write_bytes(file.content)
    backend: Backend = "torch" if b"torch" in file.content else "jax"
    child = os.fork()
    if child == 0:
        _in_the_child(path, backend, log, train)
    limit = TRAINING_SECONDS if train else LIMIT_SECONDS
    status = _ended(child, limit)
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    left = sorted(str(p.relative_to(place)) for p in place.rglob("*") if p != path)
    shutil.rmtree(place)
    ours = [line for line in said.splitlines() if line.startswith("sweeps: ")]
    if status is None:
        return status, said, f"took longer than {limit:g} s"
    if "Traceback (most recent call last)" in said:
        return status, said, "a traceback"
    if left:
        return status, said, f"left {', '.join(left)} beside the file"
    if status not in (0, 1) or (status == 1) != (len(ours) == 1):
        return status, said, f"status {status} with {len(ours)} lines"
    return status, said, ""


def judge_whole(file: Damaged, folder: Path) -> tuple[int | None, str, str]:
    """`judge`, and once more with its first steps where it hangs when it is loaded alone: a sweep reads what a
    step needs only after those, and gives up on a step that does not end there."""
    found = judge(file, folder)
    return found if found[0] is not None else judge(file, folder, train=True)


def _in_the_child(path: Path, backend: Backend, log: Path, train: bool) -> None:
    """What a sweep does with a file before its first trial, as its command does; ends the process."""
    status = 99
    try:
        os.setsid()  # so that whatever it starts can be ended with it
        os.chdir(path.parent)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for standard in (1, 2):
            os.dup2(handle, standard)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        admission.START, admission.LOAD_SECONDS, admission.LIMIT_SECONDS = "fork", HANG_SECONDS, STEPS_SECONDS
        if not train:
            admission.admit = lambda entry, backend: None
        try:
            contestants.contestants([], [str(path)], backend)
            status = 0
        except (ValueError, OSError) as error:
            os.write(2, f"sweeps: {error}\n".encode("utf-8", "backslashreplace"))
            status = 1
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(status)


def _ended(child: int, limit: float) -> int | None:
    """The status of a process that ends within so many seconds; else it is killed with what it started."""
    deadline = time.monotonic() + limit * PATIENCE
    while time.monotonic() < deadline and _processor_seconds(child) < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _processor_seconds(child: int) -> float:
    """Of a process and of those children that it has waited for."""
    try:
        fields = (
            Path(f"/proc/{child}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:  # no such file on other systems than Linux: the clock alone counts there
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _waited_for() -> float:
    """Processor seconds of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def preload() -> None:
    """Import what the examples import, once for all: the processes that follow share it."""
    for path in (
        "optimizers.user.convention_jax",
        "optimizers.user.cost",
        "torch",
        "benchmark.train.trainer_jax",
    ):
        with contextlib.suppress(ImportError):
            __import__(path)
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)


def run(n: int, seed: int, first: int = 0) -> list[str]:
    """A line for each of n damaged files that was not taken as it should be; the last printed is a count."""
    preload()
    counts: Counter[str] = Counter()
    longest: tuple[float, str] = (0.0, "none")
    failed = []
    with tempfile.TemporaryDirectory() as root:
        for number, file in enumerate(tqdm(damaged(n, seed, first), total=n, unit=" files"), first):
            before = _waited_for()
            train = number % EVERY == EVERY - 1
            status, said, wrong = judge(file, Path(root), True) if train else judge_whole(file, Path(root))
            if not train:
                longest = max(longest, (_waited_for() - before, file.what))
            counts["bad" if wrong else "refused" if status else "admitted"] += 1
            if wrong:
                failed.append(f"{file.name}, {file.what}: {wrong}")
                tqdm.write(f"\n{failed[-1]}\n{said[-1500:]}", file=sys.stdout)
    print(f"{dict(counts)}; of those loaded alone {longest[1]} took longest, {longest[0]:.1f} s of a processor")
    return failed
