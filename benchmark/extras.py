"""How an optional part of this project is installed where it runs: the one place that says so.

The project is on no package index, and an environment that uv made has no pip. `python -m benchmark.extras hub`
checks the name of an extra, for `make setup EXTRAS=hub`.
"""

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from optimizers.shared.near import near

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "optimizer-benchmark"


def install(extra: str = "") -> str:
    """The command, for a shell, that adds an extra to the environment that this runs in; without one, that
    installs again what every part needs."""
    prefix = Path(sys.prefix)
    if (ROOT / "Makefile").is_file() and (prefix / "bin" / ".ready").is_file():  # make made this environment
        place = [] if Path.cwd() == ROOT else ["-C", str(ROOT)]
        which = [] if prefix == ROOT / ".venv" else [f"VENV={prefix}"]
        return shlex.join(
            ["make", *place, *(["setup", f"EXTRAS={extra}"] if extra else ["clean", "setup"]), *which]
        )
    if (ROOT / "pyproject.toml").is_file():  # a clone in an environment of the user's own
        what = ["-e", f"{ROOT}[{extra}]" if extra else str(ROOT)]
    else:
        what = needed(extra)
    return f"{_installer()} {shlex.join(what)}"


def install_into(folder: str, packages: Sequence[str]) -> str:
    """The command, for a shell, that puts these packages alone into a folder, beside this environment."""
    return f"{_installer()} --no-deps --target {shlex.quote(folder)} {shlex.join(packages)}"


def needed(extra: str = "") -> list[str]:
    """The requirements of an extra, or of the project itself, as they were when it was installed."""
    lines = [line.partition(";") for line in metadata.requires(PROJECT) or []]
    return [
        what.strip()
        for what, _, when in lines
        if (f"'{extra}'" in when.replace('"', "'") if extra else not when)
    ]


def known() -> list[str]:
    """The extras that there are."""
    return sorted(metadata.metadata(PROJECT).get_all("Provides-Extra") or [])


def check(text: str) -> list[str]:
    """The extras in a list with commas. Raises ValueError for one that there is not."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known():
            raise ValueError(
                f"there is no extra {name!r}{near(name, known())}; choose from {', '.join(known())}"
            )
    return names


def _installer() -> str:
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip"):
        return f"{python} -m pip install"
    if shutil.which("uv"):
        return f"uv pip install --python {python}"
    return f"{python} -m ensurepip && {python} -m pip install"


if __name__ == "__main__":
    try:
        check(",".join(sys.argv[1:]))
    except ValueError as problem:
        sys.exit(f"setup: {problem}")
