"""Ends the command with one line where another `optimizers` or `benchmark` would be imported in place of ours.

`python -m sweeps` imports from the folder that it is called in first, and these are ordinary names. Commands
import this file before anything else of the project; it imports nothing that could be the wrong one.
"""

import importlib.util
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
NAMES = ("optimizers", "benchmark")


def collision() -> str:
    """What is wrong with the packages of our names, in one line; empty where they stand beside this one."""
    for name in NAMES:
        spec = importlib.util.find_spec(name)
        if spec is None or not (spec.origin or spec.submodule_search_locations):
            return f"the package {name!r}, a part of this project, is missing from {HOME}; install it again"
        places = spec.submodule_search_locations
        found = Path(next(iter(places)) if places else str(spec.origin)).resolve()
        if found.parent == HOME:
            continue
        if found.parent == Path.cwd().resolve():
            return (
                f"{found} would be imported instead of this project's package {name!r};"
                " run `optimizer-benchmark sweep`, which works in any folder, or change to another folder"
            )
        return (
            f"{found} would be imported instead of this project's package {name!r};"
            " install the project in an environment of its own"
        )
    return ""


if _found := collision():
    raise SystemExit(f"sweeps: {_found}")
