"""The pages of the site, one file each, found by looking: to add a page, add a file here.

A page's module states
    FILE: the page's place in its sweep's folder, such as "speedup.html";
    LABEL: what the head of every page calls it (left out: it is not linked there);
    ORDER: its place in that head, from left to right (left out: last);
and one of
    page(study): a dict with what its template needs: templates/NAME.html for NAME.py where there is one, else
        page.html, which shows `heading`, `lead`, `figures` and `tables`;
    write(site, study): where a page is several files, or needs more than its study;
    write_site(site): for what belongs to all sweeps together.
"""

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

from benchmark.report.site import Page, Site
from benchmark.study import Study

LAST = 1000
HOOKS = ("page", "write", "write_site")


def found() -> list[Page]:
    """Every page, in the order of the head. Raises ValueError for a file that states none."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    stated = [_stated(importlib.import_module(f"{__name__}.{name}")) for name in names]
    return sorted(stated, key=lambda page: page.order)


def _stated(module: ModuleType) -> Page:
    name = module.__name__.rpartition(".")[2]

    def says(key: str, default: Any = None) -> Any:
        return getattr(module, key, default)

    hooks = [hook for hook in HOOKS if callable(says(hook))]
    file, label = says("FILE", ""), says("LABEL", "")
    if "write" in hooks or "write_site" in hooks:
        write = says("write")
    elif hooks and file:
        write = _writer(name, file, label, says("page"))
    else:
        wanted = "FILE and page(study), or write(site, study), or write_site(site)"
        raise ValueError(f"{module.__file__} is not a page: it needs {wanted}")
    if label and not file:
        raise ValueError(f"{module.__file__} has a LABEL but no FILE to link to")
    return Page(name, file, label, says("ORDER", LAST), write, says("write_site"))


def _writer(
    name: str, file: str, label: str, page: Callable[[Study], dict[str, Any]]
) -> Callable[[Site, Study], None]:
    def write(site: Site, study: Study) -> None:
        site.put(study, file, page(study), site.template(name), label)

    return write
