"""Other people's Python as modules: whatever goes wrong in it is one line to its author."""

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def name(path: Path, kind: str) -> str:
    """What a file is called as a module, which must not be the name of anything else; in a package it is that
    package's, so that it can import from its neighbours."""
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    own = f"{kind}_{re.sub(r'[^A-Za-z0-9]+', '_', stem)}"
    above = path.parent.parent if path.name == "__init__.py" else path.parent
    return ".".join([*reversed([folder.name for folder in _packages(above)]), own])


def run(path: Path, kind: str) -> ModuleType:
    """A user's Python file as a module, named after its kind. Raises ValueError, one line, where that fails."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    package = name(path, kind).rpartition(".")[0]
    if package:
        above = _packages(path.parent)[-1].parent
        if str(above) not in sys.path:
            sys.path.append(str(above))
        _imported(path, lambda: importlib.import_module(package))
    inside = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name(path, kind), path, submodule_search_locations=inside)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    loader = spec.loader
    _imported(path, lambda: loader.exec_module(module))
    return module


def _packages(folder: Path) -> list[Path]:
    """The folders around that are packages of one another, innermost first."""
    found = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        found.append(folder)
        folder = folder.parent
    return found


def named(module: str) -> ModuleType:
    """An installed module. Raises ValueError, one line, where it is not there or cannot be imported."""
    return _imported(module, lambda: importlib.import_module(module))


def found(module: str) -> Path | None:
    """The file that a top-level module is imported from; None where there is none, or no module of the name."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: it is there without a specification
        return None
    return Path(spec.origin).absolute() if spec and spec.origin else None


def place(error: BaseException, path: Path) -> str:
    """`path:line` of the innermost call in the file, or the path alone where the error is not in its code."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _imported(source: str | Path, load: Callable[[], Any]) -> Any:
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode |= isinstance(source, Path)  # nothing is left in a user's folder
    try:
        return load()
    except SyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise ValueError(f"{source}: syntax error{line}: {error.msg}") from None
    except (Exception, SystemExit) as error:  # anything may go wrong in another's code
        where = place(error, source) if isinstance(source, Path) else source
        if isinstance(error, ModuleNotFoundError):
            raise ValueError(f"{where}: {error.name} is not installed here") from error
        if isinstance(error, SystemExit):
            raise ValueError(f"{where}: ends the process when it is imported (status {error.code})") from error
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise ValueError(f"{where}: cannot be imported: {type(error).__name__}: {reason}") from error
    finally:
        sys.dont_write_bytecode = writes
