"""The identity of a rule that is not in the registry: a digest of all that decides what it does.

The file's syntax tree, so that comments and line ends make no new rule; and of every package that it imports,
but for the standard library and the frameworks, the source as it is on this machine.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

FRAMEWORKS = {"jax", "jaxlib", "optax", "torch", "numpy", "scipy", "flax", "chex", "optimizers", "benchmark"}


def digest(source: Path, name: str, attribute: str = "") -> str:
    """12 hex digits for what is defined in `source`.

    name: of the module that the source was imported as, which must be loaded: an import inside a function is
    seen once it ran.
    """
    parts = [attribute, tree(source), *sorted(tree(path) for path in _sources(source, name))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def tree(path: Path) -> str:
    """A file's syntax tree as text, without comments, positions and layout; its bytes where it is no Python."""
    data = path.read_bytes()
    try:
        return ast.dump(ast.parse(data))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(data).hexdigest()


def _sources(source: Path, name: str) -> Iterator[Path]:
    """The files of the packages that a source imports, directly or through one another."""
    seen, queue = {source.resolve()}, [source]
    own = name.partition(".")[0]
    packages = set() if own in FRAMEWORKS else {own}
    while queue:
        for package in imported(queue.pop()) - packages:
            if package not in FRAMEWORKS and package not in sys.stdlib_module_names:
                packages.add(package)
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            package = str(getattr(module, "__name__", "")).partition(".")[0]
            if file and package in packages and (path := Path(file).resolve()) not in seen and path.is_file():
                seen.add(path)
                queue.append(path)
                yield path


def imported(source: Path) -> set[str]:
    """Top-level names of what a source file imports, anywhere in it."""
    try:
        nodes = list(ast.walk(ast.parse(source.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level}
    return {name.partition(".")[0] for name in found}
