"""Damaged results folders: read, and for a share of them made into a site.

Each case copies a small whole folder, damages it in one to three ways and reads it. It fails where that ends in
anything but a result or one line, takes LIMIT seconds (a site: LIMIT more than that of the whole folder),
changes a byte outside the site's folder, or lets a string of the records become an element of a page.
"""

import contextlib
import hashlib
import html.parser
import io
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmark import spec, studies
from benchmark.report.__main__ import main as report
from tools.fuzz import _tree

LIMIT, SITE_LIMIT = 10.0, 60.0  # seconds of processor time
PATIENCE = 12  # times as long by the clock
SITE_EVERY = 20  # cases: a site takes seconds, reading a few hundredths of one
TAG = "x-fuzz"
EVIL = f"\"'></script></title><{TAG} onload=alert(1)>{{{{7*7}}}}`$(touch pwned)`;\\"
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, 10**18, 10**400, 1e18, 1e300, -1e300, 1e-300),
    *(float("nan"), float("inf"), float("-inf"), [], {}, [[]], {"a": 1}, [1] * 1000, {"": {}}, "", "1", "NaN"),
    *(
        "../../../tmp/pwned",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        "-rf",
        "x.py",
        "nul\0byte",
        "line\nbreak",
        "\ud800",
    ),
    *("\u202etxt.exe", "\x1b[2J", "é" * 300, "x" * 100_000, EVIL, "=cmd|'/c calc'!A1", "javascript:alert(1)"),
    *("adamw", "muon", "27k", "failed", "diverged", "report", "tuning", "index", "records", "assets"),
)
JUNK = (
    b"",
    b"\0" * 64,
    b"\xff\xfe\xfa",
    b"{",
    b"[" * 10_000,
    b'{"a":' * 10_000,
    b"null",
    b"[]",
    b"{}",
    b"1e999",
)


def run(n: int, seed: int, first: int = 0) -> list[str]:
    """A line for each of n damaged folders, from number `first` on, that was not taken as it should be."""
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        _tree.write(whole)
        _warm()
        for number in tqdm(range(first, first + n), desc="damaged results folders", mininterval=5):
            problem = _case(whole, Path(temporary) / "case", random.Random(f"{seed} {number}"), number)
            if problem:
                failed.append(f"case {number} of seed {seed}: {problem}")
                tqdm.write(failed[-1])
    return failed


def _warm() -> None:
    """Load what draws and bundle its script: 3 s of processor time that no input causes, and that the first
    site would pay. A site then takes 3 to 6 s, most of it drawings."""
    from benchmark.report import figures, paper

    assert paper and figures.javascript()


def _case(whole: Path, place: Path, coins: random.Random, number: int) -> str:
    results, out = place / "results", place / "out"
    try:
        shutil.copytree(whole, results)
        what = "; ".join(coins.choice(DAMAGE)(results, coins) for _ in range(coins.randint(1, 3)))
        before = _state(place)
        site = number % SITE_EVERY == SITE_EVERY - 1
        problem, took = _timed(results, out if site else None, number)
        if not problem and took > LIMIT:  # beside other programs a site takes that in any case
            _, usual = _timed(whole, place / "out-whole", number)
            problem = f"{took:.1f} s, where the whole folder takes {usual:.1f}" * (took - usual > LIMIT)
        if not problem and {k: v for k, v in _state(place).items() if not k.startswith("out")} != before:
            problem = "something outside the site's folder has changed"
        return problem and f"{problem} [{what}]"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _timed(results: Path, out: Path | None, number: int) -> tuple[str, float]:
    """What went wrong, empty if nothing did, and the seconds of processor time that it took."""
    begin = time.process_time()
    problem = _read(results, out, number, LIMIT if out is None else SITE_LIMIT)
    return problem, time.process_time() - begin


def _read(results: Path, out: Path | None, number: int, limit: float) -> str:
    said = io.StringIO()
    try:
        with (
            _within(limit),
            warnings.catch_warnings(),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("error")  # a warning of numpy's would stand between the lines for people
            if out is None:
                found = studies.load(results)
                for table in (found.speedups, found.costs)[: 1 + number % 2]:
                    table()
                return ""
            with contextlib.redirect_stdout(io.StringIO()):
                status = report(["--results", str(results), "--out", str(out)])
    except (ValueError, OSError) as error:
        return "" if out is None and "\n" not in str(error) else f"more than a line: {error!r}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} at {Path(place.filename).name}:{place.lineno}"
    lines = said.getvalue().splitlines()
    if len(lines) > 1 or (status and len(lines) != 1):
        return f"status {status} with {len(lines)} lines: {lines[:2]}"
    return _injected(out)


class _LateError(BaseException):
    """No Exception: whoever reads a file goes on after those that it expects."""


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """So much processor time, and PATIENCE times as long in all, where other programs have their share."""

    def late(*_: Any) -> None:
        raise _LateError(f"more than {seconds} s")

    clocks = (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, seconds * PATIENCE),
    )
    before = [signal.signal(number, late) for number, _, _ in clocks]
    for _, clock, limit in clocks:
        signal.setitimer(clock, limit, 1)
    try:
        yield
    finally:
        for (number, clock, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(number, handler)


class _Tags(html.parser.HTMLParser):
    found = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found = self.found or tag == TAG or any(name == "onload" for name, _ in attrs)


def _injected(out: Path) -> str:
    for page in [*out.rglob("*.html"), *out.rglob("*.svg")]:
        reader = _Tags()
        reader.feed(page.read_text(encoding="utf-8"))
        if reader.found:
            return f"a string of the records is an element of {page.relative_to(out)}"
    return ""


def _state(place: Path) -> dict[str, str]:
    """Everything in a folder, links not followed: path -> what it is."""
    found = {}
    for folder, folders, names in os.walk(place):
        for name in [*folders, *names]:
            path = Path(folder) / name
            kind = path.lstat()
            whole = path.is_file() and not path.is_symlink() and kind.st_mode & 0o400
            content = hashlib.sha256(path.read_bytes()).hexdigest() if whole else ""
            found[str(path.relative_to(place))] = f"{kind.st_mode} {kind.st_mtime_ns if whole else 0} {content}"
    return found


# ---- kinds of damage: (results, coins) -> what was done


def _files(results: Path) -> list[Path]:
    found = (Path(folder) / name for folder, _, names in os.walk(results) for name in names)
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _value(results: Path, coins: random.Random) -> str:
    """Another value, or none, or one more, somewhere in a file's JSON; mostly with an id that fits again."""
    path = coins.choice(_files(results) or [results / "sweep.json"])
    try:
        lines = path.read_text(encoding="utf-8").splitlines() or ["{}"]
        at = coins.randrange(len(lines))
        body = json.loads(lines[at])
    except (OSError, ValueError, RecursionError):
        return f"{path.name} is no JSON any more"
    done = _change(body, coins)
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
        if coins.random() < 0.8:
            body["trial_id"] = hashlib.sha256(spec.canonical(body["trial"]).encode()).hexdigest()[:16]
    lines[at] = json.dumps(body)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"{path.name} line {at + 1}: {done}"


def _change(body: Any, coins: random.Random) -> str:
    where, inside = "", body
    outer: Any = body
    key: Any = None
    while isinstance(inside, dict | list) and inside:
        outer, key = inside, coins.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        where, inside = f"{where}.{str(key)[:40]}", outer[key]
        if coins.random() < 0.25:
            break
    if not where:
        return "nothing"
    new, how = coins.choice(VALUES), coins.random()
    if how < 0.75:
        outer[key] = new
    elif how < 0.85:
        outer.pop(key)
    elif isinstance(outer, dict):
        outer[str(new)[:200]] = outer[key] if how < 0.95 else new
    return f"{where} {'gone' if 0.75 <= how < 0.85 else '= ' + ascii(new)[:60]}"


def _bytes(results: Path, coins: random.Random) -> str:
    """Bytes of a file lost, flipped, put in, or said in another way."""
    path = coins.choice(_files(results) or [results / "sweep.json"])
    old = path.read_bytes() if path.exists() else b""
    at = coins.randrange(len(old) + 1)
    changes: dict[str, Callable[[], bytes]] = {
        "truncated": lambda: old[:at],
        "a byte flipped": lambda: old[:at] + bytes([coins.randrange(256)]) + old[at + 1 :],
        "junk put in": lambda: old[:at] + coins.choice(JUNK) + old[at:],
        "replaced by junk": lambda: coins.choice(JUNK),
        "a BOM": lambda: b"\xef\xbb\xbf" + old,
        "CRLF": lambda: old.replace(b"\n", b"\r\n"),
        "UTF-16": lambda: old.decode("utf-8", "replace").encode("utf-16"),
        "twice": lambda: old + old,
        "lines joined": lambda: old.replace(b"\n", b" "),
        "a line of 9 MiB": lambda: old + b"x" * (9 << 20) + b"\n" + old,
    }
    how = coins.choice(sorted(changes))
    path.write_bytes(changes[how]())
    return f"{path.name}: {how}"


def _place(results: Path, coins: random.Random) -> str:
    """Something else where a file or folder should be."""
    everything = sorted(p for p in results.rglob("*") if not p.is_symlink())
    path = coins.choice(everything or [results / "quick"])
    names = ("..x", "a\nb", EVIL.replace("/", "") + "y", "\udcff", "index.html", "z" * 200, "-x", "assets")
    how = coins.choice(
        ("gone", "folder", "loop", "dangling", "pipe", "device", "passwd", "unreadable", "renamed")
    )
    if how == "renamed":
        name = coins.choice(names)
        with contextlib.suppress(OSError):
            path.rename(path.parent / name)
        return f"{path.name!r} renamed to {name!r}"
    if how == "unreadable":
        path.chmod(0)
        return f"{path.name} unreadable"
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    links = {"loop": path.name, "dangling": "nowhere", "device": "/dev/zero", "passwd": "/etc/passwd"}
    if how in links:
        path.symlink_to(links[how])
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    return f"{path.name}: {how}"


def _many(results: Path, coins: random.Random) -> str:
    """The same damage to every line of an archive, or one record under another id many times over."""
    path = results / "quick" / "trials.jsonl"
    if not path.is_file() or path.is_symlink():
        return "no archive left"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    old, new = coins.choice(
        (('"val_loss":', '"val_loss":NaN,"x":'), ('"steps":', '"steps":1e18,"y":'), ("{", ""))
    )
    if coins.random() < 0.5:
        path.write_text("\n".join(line.replace(old, new) for line in lines) + "\n", encoding="utf-8")
        return f"every line: {old} is {new}"
    copies = []
    for line in lines[:1]:
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
            record = json.loads(line)
            for number in range(coins.choice((20, 300))):
                record["trial"] |= {"optimizer": f"o{number}", "rule": f"o{number}@1", "role": "report"}
                record["trial_id"] = hashlib.sha256(spec.canonical(record["trial"]).encode()).hexdigest()[:16]
                copies.append(json.dumps(record))
    path.write_text("\n".join([*lines, *copies]) + "\n", encoding="utf-8")
    with contextlib.suppress(OSError):
        (results / "quick" / "sweep.json").unlink(missing_ok=True)
    return f"{len(copies)} optimizers more, no manifest"


DAMAGE = (_value, _value, _value, _value, _bytes, _bytes, _place, _many)
