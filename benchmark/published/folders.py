"""Where an import is written: a folder of its own, which nothing made elsewhere is ever in.

A new set appears whole, by one rename. A set of the same import is replaced so that at every moment its
manifest names runs that are there: first the runs of both, then the manifest, then the new runs alone.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.files import write_atomically
from benchmark.published.numbers import shown

RUNS, MANIFEST = "trials.jsonl", "sweep.json"
UNDER_WAY = ".importing"  # below results: what is being written; no reader looks two folders deep
SWEEPS = Path(__file__).parents[2] / "sweeps"  # whose files are called as the folders that they write to
LONGEST = 100  # characters of a name, as file systems and pages bear it


def results_set(results: Path, name: str) -> Path:
    """The folder of a results set. Raises ValueError for a name that is no plain folder name, or a sweep's."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > LONGEST:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name[:LONGEST]).strip("-._") or "mine"
        raise ValueError(
            f"cannot name a results set {shown(name)}; use letters, digits, '.', '_' and '-' (--name {plain})"
        )
    if (SWEEPS / f"{name.lower()}.py").is_file() or name.startswith("aa-"):
        free = f"import-{name}"
        raise ValueError(
            f"{results / name} is where a sweep writes its results; nothing was written: choose another name"
            f" with --name {free}"
        )
    return results / name


def is_import(folder: Path) -> bool:
    """Whether a folder's manifest says that an import made it."""
    return bool((_manifest(folder) or {}).get("published"))


def put(folder: Path, lines: Mapping[str, str], manifest: Mapping[str, Any], replace: bool = False) -> bool:
    """Write a set: `lines` (trial id -> record as JSON) and its manifest. Returns False where it was there.

    replace: whether another import's records may be replaced. Raises ValueError where the folder has anything
    that this import did not make, and OSError where it cannot be written.
    """
    text = _joined(lines)
    body = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    if not _taken(folder):
        _create(folder, text, body)
        return True
    if _same(folder, text, body):
        return False
    _refuse(folder, manifest, replace)
    before = _records(folder)
    write_atomically(folder / RUNS, _joined({**before, **lines}))
    write_atomically(folder / MANIFEST, body)
    write_atomically(folder / RUNS, text)
    return True


def _joined(lines: Mapping[str, str]) -> str:
    return "".join(lines[key] + "\n" for key in sorted(lines))


def _taken(folder: Path) -> bool:
    """Whether anything is there: a file, a link (even one that leads nowhere), a folder that is not empty."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return True
    return folder.is_dir() and any(folder.iterdir())


def _create(folder: Path, text: str, body: str) -> None:
    """The whole set at once: written aside, then renamed."""
    aside = folder.parent / UNDER_WAY
    aside.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=aside))
    try:
        write_atomically(new / RUNS, text)
        write_atomically(new / MANIFEST, body)
        new.chmod(0o755)  # mkdtemp's 0700 would hide results from other readers
        try:
            new.rename(folder)  # fails where the folder has come to hold something since it was looked at
        except OSError as error:
            if _taken(folder):
                raise _occupied(folder, "was made by something else meanwhile") from error
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        with contextlib.suppress(OSError):  # another import is writing there
            aside.rmdir()


def _same(folder: Path, text: str, body: str) -> bool:
    if folder.is_symlink() or not folder.is_dir() or _others(folder):
        return False
    pairs = ((folder / RUNS, text), (folder / MANIFEST, body))
    return all(
        p.is_file() and not p.is_symlink() and p.read_bytes() == content.encode() for p, content in pairs
    )


def _refuse(folder: Path, manifest: Mapping[str, Any], replace: bool) -> None:
    """Raise ValueError unless all that the folder has was made by this import, or by one to replace."""
    if folder.is_symlink() or not folder.is_dir():
        raise _occupied(folder, "is a link" if folder.is_symlink() else "is a file")
    there, others = _manifest(folder), _others(folder)
    if there is not None and not there.get("published"):
        raise _occupied(folder, "has the records of a sweep")
    if there is None or others:
        lacks = f"no {MANIFEST} that can be read: it was not made by an import, or is half-written"
        raise _occupied(folder, f"has {shown(others[0])}, which no import makes" if others else f"has {lacks}")
    if set(map(str, there.get("trial_ids", ()))) - set(_records(folder)):
        raise _occupied(folder, "lacks records that its manifest names: something else wrote there")
    mine = _made_by(manifest)
    if _made_by(there) == mine and mine is not None:
        return
    if not replace:
        raise _occupied(
            folder, "has another import, or this source as it was before", "; --replace replaces it"
        )


def _made_by(manifest: Mapping[str, Any]) -> Any:
    """What tells one import from another; of the published study, its source."""
    return manifest.get("import") or (manifest.get("name"), manifest.get("source"))


def _occupied(folder: Path, why: str, more: str = "") -> ValueError:
    name = next(n for i in range(2, 10_000) if not os.path.lexists(folder.with_name(n := f"{folder.name}-{i}")))
    return ValueError(f"{folder} {why}; nothing was written: choose another name with --name {name}{more}")


def _others(folder: Path) -> list[str]:
    """What is in a folder beside an import's two files; unfinished ones of theirs count for nothing."""
    unfinished = re.compile(rf"\.({re.escape(RUNS)}|{re.escape(MANIFEST)})\..*\.tmp")
    named = sorted(p.name for p in folder.iterdir() if p.is_symlink() or p.name not in (RUNS, MANIFEST))
    return [n for n in named if not unfinished.fullmatch(n)]


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("trial_ids", []), list) else None


def _records(folder: Path) -> dict[str, str]:
    """trial id -> line of the folder's archive. Raises ValueError where a line is no record of ours."""
    try:
        lines = (folder / RUNS).read_text(encoding="utf-8").splitlines()
        return {str(json.loads(line)["trial_id"]): line for line in lines if line.strip()}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise _occupied(folder, f"has a {RUNS} that cannot be read") from None
