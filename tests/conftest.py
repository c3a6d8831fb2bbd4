"""What the whole suite shares: bytecode, compiled programs, and the order in which processes take files."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Some images set it. The tests start a hundred Pythons, each of which would compile our modules, and pytest
# would rewrite every test file in each of its processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Programs that jax took long to compile are kept for every later test process: two thirds of the time of the
# conformance kit. Their key covers the program, the flags and the version. `make clean` removes them.
if os.access(ROOT, os.W_OK):
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# The files that take longest, in that order: a file goes to one process as a whole (`--dist loadfile`), so one
# of these at the end would leave the others idle. `make test ARGS=--durations=60` says where they belong.
LONG = (
    "optimizers/test_contract.py", "sweeps/run/test_end_to_end.py", "test_contributing.py",
    "tools/test_bench.py", "benchmark/report/test_site.py", "benchmark/report/test_pages.py",
    "benchmark/train/test_deep_jax.py", "optimizers/test_user_file.py", "optimizers/test_user_conventions.py",
    "optimizers/test_user_kinds.py", "benchmark/train/test_trainer_jax.py", "test_docs.py",
    "benchmark/data/test_corpora.py", "benchmark/analysis/test_speedup_intervals.py",
    "benchmark/report/test_browser.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, the others as they were; every process sorts alike."""
    first = {ROOT / "tests" / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: first.get(item.path, len(LONG)))
