"""Optimizers of other packages, each brought in as a user would, as a table.

`python -m tools.thirdparty` admits all whose package is installed, charges them, trains them for 30 steps at
27k and compares those whose rule the registry has with that; words choose those whose place has one of them.
With --verdicts FOLDER each challenges the baseline (some minutes each; what the folder has is not run again).
"""

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from benchmark import scales
from benchmark.arguments import Parser
from benchmark.data import corpora
from tools.thirdparty import admitted, verdicts
from tools.thirdparty.rows import ROWS, SCALE, Row

HEAD = "| optimizer | package | backend | way in | minutes | what the challenge says |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table row by row; returns the exit status."""
    parser = Parser(prog="python -m tools.thirdparty", usage="%(prog)s [WORD ...]", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only optimizers whose place has one of these")
    parser.add_argument("--verdicts", type=Path, metavar="FOLDER", help="challenge the baseline with each")
    args = parser.parse_args(arguments)
    asked = [row for row in ROWS if not args.words or any(word in row.where for word in args.words)]
    there = [row for row in asked if importlib.util.find_spec(row.package)]
    if args.verdicts:
        _verdicts(there, args.verdicts)
    else:
        _admitted(there)
    return 0


def _admitted(there: Sequence[Row]) -> None:
    warnings.filterwarnings("ignore")
    corpus = corpora.prepare("gcide", scales.get(SCALE).vocab, progress=False)
    _head(admitted.HEAD)
    for row in there:
        print(f"| `{row.where}` | {' | '.join(admitted.cells(row, corpus))} |", flush=True)


def _verdicts(there: Sequence[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _head(HEAD)
    before = verdicts.found(folder)
    for row in there:
        entry = before[row.where] if row.where in before else verdicts.verdict(row, folder)
        said = entry["said"] if entry["status"] == 0 else f"exit {entry['status']}: {entry['said']}"
        cells = (entry["package"], entry["backend"], entry["way_in"], f"{entry['minutes']:.1f}", said)
        print(f"| `{row.where}` | {' | '.join(cells)} |", flush=True)


def _head(text: str) -> None:
    print(f"{text}\n|{'---|' * (text.count('|') - 1)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
