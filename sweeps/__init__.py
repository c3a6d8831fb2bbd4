"""The sweeps. `names()` lists them without importing a framework; `get(name)` returns one, or the user's own in
the file at a path.

A sweep is a file here, or anywhere, that holds a constant `SWEEP`: which optimizers on which tasks, tuned how
(quick.py is one). search/ says which trials that takes, run/ runs them.
"""

import dataclasses
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported when called: `python -m sweeps` first checks whose packages there are
    from sweeps.search.sweep import Sweep

_HERE = Path(__file__).parent
_DEFINES_ONE = re.compile(r"^SWEEP\s*[:=]", re.MULTILINE)


def names() -> list[str]:
    """Every sweep that comes with the project, by file name: the files in this folder that define a SWEEP."""
    paths = (path for path in _HERE.glob("*.py") if not path.stem.startswith("_"))
    return sorted(path.stem for path in paths if _DEFINES_ONE.search(path.read_text(encoding="utf-8")))


def get(name: str, commands: Sequence[str] = ()) -> "Sweep":
    """The sweep of this name, or in the file at this path (`path/to/mine.py`). commands: what else may stand in
    the name's place where it is asked for.

    Raises ValueError, one line, that lists the names there are or says what is wrong with the file.
    """
    from optimizers.shared.near import near

    path = Path(name)
    if name.endswith(".py") and not (path.resolve().parent == _HERE and path.stem in names()):
        return _own(path)
    name = path.stem if name.endswith(".py") else name
    if name not in names():
        there = (*names(), *commands)
        raise ValueError(
            f"unknown sweep {name!r}{near(name, there)}; choose from {', '.join(there)}, or give the path of a"
            f" file: {name}.py"
        )
    return importlib.import_module(f"sweeps.{name}").SWEEP


def _own(path: Path) -> "Sweep":
    """A user's sweep. Its results are kept under its own name: that must be free, and fit for a folder."""
    from optimizers.user import modules
    from sweeps.search.sweep import Sweep

    sweep = getattr(modules.run(path, "user_sweep"), "SWEEP", None)
    if not isinstance(sweep, Sweep):
        raise ValueError(f"{path}: holds no SWEEP; write SWEEP = Sweep(...) as sweeps/quick.py does")
    if sweep.name in names():
        raise ValueError(f"{path}: {sweep.name!r} is the name of a built-in sweep; give it another")
    if not re.fullmatch(r"\w[\w.-]*", sweep.name) or sweep.name.startswith("aa-"):
        raise ValueError(
            f"{path}: the name {sweep.name!r} becomes a folder's; use letters, digits, _ and -, not aa- first"
        )
    return dataclasses.replace(sweep, file=path.name)
