"""The verdict on each: `python -m sweeps challenge` as a user types it, its answer, and after how long."""

import json
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from tools.thirdparty.rows import Row

RECORDS = "verdicts.jsonl"


def found(folder: Path) -> dict[str, dict[str, Any]]:
    """What the folder has of earlier runs, by where the optimizer is."""
    path = folder / RECORDS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry["where"]: entry for entry in map(json.loads, lines)}


def verdict(row: Row, folder: Path) -> dict[str, Any]:
    """Challenge the baseline with it, and keep what came of it in the folder.

    Its keys: where, package and version, backend, way_in, status (of the command), minutes, said (its first
    sentence of the answer, or its last line where there was none).
    """
    own = folder / row.where.replace(":", "-").replace(".", "-")
    with tempfile.TemporaryDirectory() as text:
        asked = row.asked(Path(text))
        command = [sys.executable, "-m", "sweeps", "challenge", "--optimizer", str(asked)]
        command += ["--backend", row.backend, "--results", str(own / "results"), "--out", str(own / "pages")]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
    entry = {
        "where": row.where,
        "package": _package(row),
        "backend": row.backend,
        "way_in": row.way_in,
        "status": done.returncode,
        "minutes": round((time.perf_counter() - start) / 60, 2),
        "said": _said(done, asked.name if isinstance(asked, Path) else asked),
    }
    with (folder / RECORDS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return entry


def _said(done: subprocess.CompletedProcess[str], name: str) -> str:
    lines = [line for line in done.stdout.splitlines() if line.startswith(name)]  # packages print lines, too
    if lines:
        return lines[0].partition("). ")[0].replace("\u00a0", " ")
    return ([line for line in done.stderr.splitlines() if line.strip()] or [""])[-1]


def _package(row: Row) -> str:
    names = metadata.packages_distributions().get(row.package, [])
    return f"{names[0]} {metadata.version(names[0])}" if names else row.package
