"""The identity of a rule: a digest of all that decides what it does.

Of a file that is not in the registry, its syntax tree, so that comments and line ends make no new rule; of
every package that it imports, but for the standard library and the frameworks, the source as it is on this
machine; and of the files beside it that it names, as modules (`import_module("helper")`) or as data
("table.json"). What it reads in another way (a name that is put together, a download, the environment) is
not seen.
Of an optimizer of the registry, which a version identifies, the code that the version stands for.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

FRAMEWORKS = {"jax", "jaxlib", "optax", "torch", "numpy", "scipy", "flax", "chex", "optimizers", "benchmark"}
IMPORTERS = ("import_module", "__import__")  # functions whose first argument names a module
REGISTRY = Path(__file__).parents[1]
# What a trial spells out (grids) or nobody computes with (titles): another one gives no other results.
NO_CODE = ("base.py", "shared/spaces.py", "shared/copies.py")
NO_RULE = ("info", "space")


def digest(source: Path, name: str, attribute: str = "") -> str:
    """12 hex digits for what is defined in `source`.

    name: of the module that the source was imported as, which must be loaded: an import inside a function is
    seen once it ran.
    """
    sources = list(_sources(source, name))
    named = {path for file in (source, *_beside(source, sources)) for path in _named(file)} - {source, *sources}
    parts = [attribute, tree(source), *sorted(tree(path) for path in (*sources, *named))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@functools.cache
def registered(module: str) -> str:
    """12 hex digits for the code of `optimizers.<name>`: its file, and those of `optimizers` that these import,
    but for docstrings, comments, grids and facts. Empty for any other module."""
    package, _, stem = module.partition(".")
    first = REGISTRY / f"{stem}.py"
    if package != REGISTRY.name or not first.is_file():
        return ""
    seen, queue = {first}, [first]
    while queue:
        for path in _registry_imports(queue.pop()) - seen:
            seen.add(path)
            queue.append(path)
    parts = [tree(path, _code) for path in sorted(seen)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def tree(path: Path, cut: Callable[[ast.Module], ast.Module] = lambda parsed: parsed) -> str:
    """A file's syntax tree as text, without comments, positions, layout and what is `cut`; a hash of its bytes
    where it is no Python."""
    data = path.read_bytes()
    try:
        return _dump(cut(ast.parse(data)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(data).hexdigest()


def _dump(parsed: ast.AST) -> str:
    """The same text from every Python: 3.12 added a field that is mostly empty, 3.13 leaves empty ones out."""
    shown = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(parsed, **shown).replace(", type_params=[]", "")


def _code(parsed: ast.Module) -> ast.Module:
    """A module without its docstrings and without what is declared of a rule rather than done by it."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _declares(part)] or [ast.Pass()]
    return parsed


def _declares(part: ast.stmt) -> bool:
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant)
    targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
    return any(isinstance(target, ast.Name) and target.id in NO_RULE for target in targets)


def _registry_imports(source: Path) -> set[Path]:
    """The files of `optimizers` that one of them imports, anywhere in it."""
    found = set()
    for node in _nodes(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = (name.split(".") for name in found)
    files = {
        REGISTRY.joinpath(*rest).with_suffix(".py")
        for first, *rest in places
        if rest and first == REGISTRY.name
    }
    return {path for path in files if path.is_file() and path.relative_to(REGISTRY).as_posix() not in NO_CODE}


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
    nodes = _nodes(source)
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level}
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if function in IMPORTERS and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return {name.partition(".")[0] for name in found} - {""}


def _beside(source: Path, others: list[Path]) -> list[Path]:
    """Those of the other files that lie in the source's folder or below it: the user's own."""
    folder = source.resolve().parent
    return [path for path in others if path.is_relative_to(folder)]


def _named(source: Path) -> set[Path]:
    """The files beside a source that a string in it names."""
    folder = source.resolve().parent
    texts = (n.value for n in _nodes(source) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    names = {text for text in texts if 0 < len(text) < 200 and text.isprintable() and not text.startswith("/")}
    return {path for text in names if (path := folder / text).is_file()}


def _nodes(source: Path) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(source.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
