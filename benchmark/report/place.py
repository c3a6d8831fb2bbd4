"""Whether a folder may be written a site into: it is new, empty, or a site already."""

from pathlib import Path

from benchmark.files import write_atomically

FILES = "assets/files.json"  # lists every file that a build wrote: what makes a folder a site of ours


def check(out: Path, results: Path | None = None) -> None:
    """Raise ValueError, one line, for a folder that holds somebody's files (hidden ones do not count), a file,
    or the results themselves."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder for the site")
    if results is not None and out.resolve() == results.resolve():
        raise ValueError(f"--out {out} is the results folder; name another one for the site")
    if (out / FILES).is_file():
        return
    there = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.is_dir() else []
    if there:
        raise ValueError(
            f"--out {out} holds files that are not a site of ours ({', '.join(there[:3])}"
            f"{' ...' if there[3:] else ''}); name a new or an empty folder"
        )


def claim(out: Path, results: Path | None = None) -> None:
    """Make a folder a site. Raises ValueError as `check` does."""
    check(out, results)
    if not (out / FILES).is_file():
        write_atomically(out / FILES, "{}")
