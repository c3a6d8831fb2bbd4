"""`python -m benchmark.kit lion` or `... path/to/mine.py`: what every optimizer must do, checked."""

from benchmark import stopping  # before imports that take long: one may be interrupted in them

# isort: split
import functools
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import optimizers
from benchmark.arguments import Parser
from benchmark.kit import admission, conformance, guard
from benchmark.kit.admission import attempt, load_named
from optimizers.base import Optimizer
from optimizers.user import files
from optimizers.user.rule import UserRule
from optimizers.user.spec import parse


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmark.kit") -> int:
    """Print one line per check; the exit status is 1 if any failed and 2 if there is no such optimizer. A note
    is of what differs from common practice and may be the method."""
    parser = Parser(prog=prog, usage="%(prog)s OPTIMIZER", description="What every optimizer must do, checked.")
    known = (
        "a built-in optimizer's name, a file (mine.py, mine.py:Fast) or what is installed (torch.optim:RMSprop)"
    )
    parser.add_argument("optimizer", help=known)
    subject, doing = parser.parse_args(arguments).optimizer, ["load"]

    def busy() -> str:
        return f"{subject}: still busy with its {doing[-1]}; given up"

    try:
        absolute = subject if is_plain(subject) else str(parse(subject))
        with guard.time_limit(admission.LIMIT_SECONDS, busy), guard.watched() as printed:
            entry = named(absolute)
            terms = entry().terms() if issubclass(entry, UserRule) else []
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    failed = noted = 0
    for term in terms:
        print(f"note  {term}", flush=True)
        noted += 1
    for name, check in conformance.checks(entry):
        doing.append(name)
        with guard.time_limit(admission.LIMIT_SECONDS, busy):
            failure = attempt(functools.partial(_watched, check, printed))
        note = failure and conformance.is_note(name, entry)
        failed, noted = failed + bool(failure and not note), noted + bool(note)
        word = "note" if note else "FAIL" if failure else "ok"
        print(f"{word:5} {name}: {failure}" if failure else f"{word:5} {name}", flush=True)
    if lines := printed.getvalue().count("\n"):
        noted += 1
        print(f"note  it prints: {lines} lines in these checks, which are not shown")
    missing = sorted({"jax", "torch"} - set(files.backends(entry)))
    said = f"{failed} check{'s' * (failed > 1)} failed" if failed else "every check passed"
    said += f", {noted} note{'s' * (noted > 1)}" if noted else ""
    print(f"{entry.info.title}: {said}", end="")
    print(f" (no {' and no '.join(missing)} build to check)" if missing else "")
    return 1 if failed else 0


def _watched(check: Callable[[], None], printed: io.StringIO) -> None:
    with guard.watched() as more:
        try:
            check()
        finally:
            printed.write(more.getvalue())


def is_plain(subject: str) -> bool:
    """Whether it is a name and no file, folder or module."""
    return ".py" not in subject and ":" not in subject and not Path(subject).is_dir()


def named(subject: str) -> type[Optimizer]:
    """The optimizer of this name or in this file; a file of optimizers/, and its torch twin, are the registered
    optimizer. Raises ValueError for what is neither."""
    if is_plain(subject):
        return optimizers.get(subject)
    path = Path(subject)
    name = path.stem.removesuffix("_torch")
    registered = path.resolve().parent == Path(optimizers.__file__).parent.resolve()
    if registered and name in optimizers.names():
        return optimizers.get(name)
    load_named(subject)  # in a process of its own first: it may hang, or end the process
    return files.load(subject)


if __name__ == "__main__":
    sys.exit(stopping.run(main, "Interrupted; run the command again."))
