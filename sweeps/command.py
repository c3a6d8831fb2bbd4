"""`optimizer-benchmark COMMAND ...`: the project's commands, from any folder. It only hands on to them."""

import importlib
import sys
from collections.abc import Sequence

NAME = "optimizer-benchmark"
COMMANDS = {
    "sweep": ("sweeps.__main__", "run a sweep, or go on with it; build the pages and print the answer"),
    "report": ("benchmark.report.__main__", "build the pages from results"),
    "check": ("benchmark.kit.__main__", "check your optimizer before you run it"),
    "published": ("benchmark.published.__main__", "write published results, or yours, as results"),
}

INTERRUPTED = "Interrupted; run the command again."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is its own, or 2 where there is no such command."""
    importlib.import_module("sweeps.siblings")
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        from optimizers.shared.near import near  # ours, as is known by now

        print(
            f"{NAME}: unknown command {name!r}{near(name, COMMANDS)}; choose from {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    stopping = importlib.import_module("benchmark.stopping")  # after siblings, which knows whose that is
    module = COMMANDS[name][0]
    return stopping.run(lambda: importlib.import_module(module).main(rest, prog=f"{NAME} {name}"), INTERRUPTED)


def usage() -> str:
    lines = [f"usage: {NAME} COMMAND ...", ""]
    lines += [f"  {name:<11}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join([*lines, "", f"`{NAME} COMMAND --help` says what each understands."])
