"""`python -m tools.fuzz MODE [--n N] [--seed S]`: try N damaged inputs and print what went wrong.

A mode is a file of this folder with `run(n, seed) -> list[str]`: a line for each case that failed, which it
prints too. Case i of a seed is the same whatever the number of cases.
"""

import argparse
import importlib
import pkgutil
import sys

import tools.fuzz


def main(arguments: list[str] | None = None) -> int:
    modes = sorted(m.name for m in pkgutil.iter_modules(tools.fuzz.__path__) if not m.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="Try damaged input.")
    parser.add_argument("mode", choices=modes, help="what is damaged")
    parser.add_argument("--n", type=int, default=100, help="how many cases (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other damage (default: 0)")
    asked = parser.parse_args(arguments)
    failed = importlib.import_module(f"tools.fuzz.{asked.mode}").run(asked.n, asked.seed)
    print(f"{asked.n} cases, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
