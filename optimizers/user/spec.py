"""What names an optimizer that is not in the registry: a file, or something in an installed package.

mine.py                          the one optimizer in a file
mine.py:Fast                     one of several in a file
torch.optim:RMSprop              a class or a function of an importable module
...?momentum=0.9,0.95&eps=1e-8   with grids that replace or add to its axes
"""

import ast
import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spec:
    """where: an absolute path that ends in .py, or a module's dotted name. attribute: the class or function in
    it, "" for a file's only one. grids: (hyperparameter, values), in the order given."""

    where: str
    attribute: str = ""
    grids: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def is_file(self) -> bool:
        return self.where.endswith(".py")

    @property
    def label(self) -> str:
        """What its author calls it: `mine.py`, `mine.py:Fast`, `torch.optim:RMSprop`. Holds no folder."""
        path = Path(self.where)
        where = path.name if self.is_file else self.where
        where = f"{path.parent.name}/{where}" if where == "__init__.py" else where
        return f"{where}:{self.attribute}" if self.attribute else where

    @property
    def stem(self) -> str:
        """A name for tables and records: the file's stem, or the package's and the attribute's."""
        path = Path(self.where)
        own = path.parent.name if path.name == "__init__.py" else path.stem  # a package is called by its folder
        first = own if self.is_file else self.where.partition(".")[0]
        whole = f"{first}_{self.attribute}".lower() if self.attribute else first
        return re.sub(r"\W+|^(?=\d)", "_", whole)

    def with_grids(self, texts: list[str]) -> "Spec":
        """The same with further grids, each `name=v1,v2,...`. Raises ValueError for one that is not."""
        return dataclasses.replace(self, grids=(*self.grids, *(grid(text) for text in texts)))

    def __str__(self) -> str:
        """What `parse` reads back."""
        base = f"{self.where}:{self.attribute}" if self.attribute else self.where
        options = "&".join(f"{name}={','.join(_spelt(v) for v in values)}" for name, values in self.grids)
        return f"{base}?{options}" if options else base


def parse(text: str | Path) -> Spec:
    """Read a name of an optimizer. Raises ValueError where it is neither a file nor `module:attribute`."""
    base, _, options = str(text).partition("?")
    if Path(base).is_dir():
        inside = sorted(path.name for path in Path(base).glob("*.py"))
        if "__init__.py" not in inside:
            there = ", ".join(inside[:8]) or "it has none"
            raise ValueError(f"{base}: is a folder; name a Python file in it: {there}")
        base = str(Path(base) / "__init__.py")
    file = re.fullmatch(r"(.*\.py)(?::(\w+))?", base)
    grids = tuple(grid(option) for option in options.split("&")) if options else ()
    if file:
        return Spec(str(_at_home(file[1]).resolve()), file[2] or "", grids)
    module = re.fullmatch(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)", base)
    if not module:
        raise ValueError(
            f"{base}: name a Python file (mine.py), one optimizer in it (mine.py:Fast) or something that is"
            " installed (torch.optim:RMSprop)"
        )
    return Spec(module[1], module[2], grids)


def _at_home(path: str) -> Path:
    """The path with its `~`, which a shell does not see within quotes."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # whoever runs this has no home
        return Path(path)


def grid(text: str) -> tuple[str, tuple[Any, ...]]:
    """`momentum=0.9,0.95` -> ("momentum", (0.9, 0.95)). Raises ValueError for anything else."""
    name, _, values = text.partition("=")
    if not name.isidentifier() or not values:
        raise ValueError(f"{text!r} is no grid; write one as name=v1,v2,v3")
    if re.search(r"^\s*,|,\s*,", values):
        raise ValueError(f"{text!r} has an empty place; write a grid as name=v1,v2,v3")
    return name, tuple(_value(part) for part in re.findall(r"\([^)]*\)|[^,]+", values))


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else repr(value).replace(" ", "")
