"""`python -m tools.fuzz MODE [--n N] [--seed S] [--first I]`: try N damaged inputs and print what went wrong.

A mode is a file of this folder with `run(n, seed, first) -> list[str]`: a line for each case that failed, which
it prints too. Case i of a seed is the same whatever the number of cases, so that many can be split between
processes, or gone on with.
"""

import importlib
import pkgutil
import sys

import tools.fuzz
from benchmark.arguments import Parser, at_least, one_of, whole


def main(arguments: list[str] | None = None) -> int:
    modes = sorted(m.name for m in pkgutil.iter_modules(tools.fuzz.__path__) if not m.name.startswith("_"))
    parser = Parser(
        prog="python -m tools.fuzz", usage="%(prog)s MODE [options]", description="Try damaged input."
    )
    parser.add_argument("mode", type=one_of(*modes), help=f"what is damaged: {' or '.join(modes)}")
    parser.add_argument("--n", type=whole, default=100, help="how many cases (default: 100)")
    parser.add_argument(
        "--seed", type=at_least(0, 1), default=0, help="another one draws other damage (default: 0)"
    )
    parser.add_argument("--first", type=at_least(0, 1), default=0, help="number of the first (default: 0)")
    asked = parser.parse_args(arguments)
    failed = importlib.import_module(f"tools.fuzz.{asked.mode}").run(asked.n, asked.seed, asked.first)
    print(f"{asked.n} cases from {asked.first} of seed {asked.seed} on, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
