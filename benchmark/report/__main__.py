"""`python -m benchmark.report [--results DIR] [--out DIR]`: build the site and say where it is."""

import argparse
import sys
from pathlib import Path

from benchmark.report.builder import build


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="where the records are")
    parser.add_argument("--out", type=Path, default=Path("reports"), help="where the site goes")
    chosen = parser.parse_args(arguments)
    try:
        index = build(chosen.results, chosen.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"The site is at {index.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
