"""`python -m benchmark.published`: write the published study's results, or anyone's, as a results set."""

from benchmark import stopping  # before imports that take long: one may be interrupted in them

# isort: split
import argparse
import re
import sys
from collections.abc import Mapping

from benchmark import arguments as kinds
from benchmark.published import algoperf, columns, csv_runs, fantastic, folders, importers, modded_nanogpt
from benchmark.published.csv_runs import Reading
from benchmark.published.loss import UNITS
from benchmark.published.numbers import MARKS, shown
from benchmark.published.runs import Imported

GIVEN = (  # fields that can have one value for all runs
    "optimizer", "scale", "chinchilla_ratio", "num_params", "tokens", "tokens_per_parameter", "corpus", "vocab",
    "backend", "precision", "family", "workload", "batch_size",
)  # fmt: skip


def parser(prog: str) -> kinds.Parser:
    """The options, in the order in which a reader needs them."""
    found = kinds.Parser(
        prog=prog, description="Write the published study's results, or anyone's, as a results set."
    )
    found.add_argument("--results", type=kinds.path, default="results", help="results folder to write into")
    found.add_argument("--name", help="name of the results set (default: the file's or folder's)")
    found.add_argument(
        "--replace", action="store_true", help="replace another import of this name; never a sweep's"
    )
    source = found.add_mutually_exclusive_group()
    source.add_argument(
        "--csv", type=kinds.path, help="table: optimizer, scale, chinchilla_ratio, val_loss; W&B's, MLflow's"
    )
    source.add_argument("--modded-nanogpt", type=kinds.path, help="log of track 3, or a folder of logs")
    source.add_argument("--algoperf", type=kinds.path, help="measurements.csv, or a folder of AlgoPerf's logs")
    source.add_argument("--result-json", type=kinds.path, help="folder OPTIMIZER/SCALE/RATIO/result.json")
    found.add_argument("--baseline", default="adamw", help="what others are compared with (default: adamw)")
    found.add_argument(
        "--columns", default="", metavar="FIELD=COLUMN,...", help="a table's columns: loss=eval/loss,..."
    )
    found.add_argument(
        "--given", default="", metavar="FIELD=VALUE,...", help="one value for all runs: ratio=1,..."
    )
    found.add_argument("--loss-is", choices=UNITS, help="unit of a table's losses, where they may not be nats")
    found.add_argument("--decimal", choices=MARKS, help="decimal mark of a table, where it does not tell")
    return found


def main(arguments: list[str] | None = None, prog: str = "python -m benchmark.published") -> int:
    """Parse, write, say where. Returns the exit status: 1 with one line on stderr for bad input."""
    asked = parser(prog).parse_args(arguments)
    try:
        said, written = _written(asked)
    except ValueError as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot write below {asked.results} ({error.strerror})", file=sys.stderr)
        return 1
    print("\n".join([*said, written]))
    return 0


def _written(asked: argparse.Namespace) -> tuple[list[str], str]:
    """Lines about the source, and what was written where. Raises ValueError and OSError."""
    source = next((p for p in (asked.csv, asked.modded_nanogpt, asked.algoperf, asked.result_json) if p), None)
    default = fantastic.NAME if source is None else source.stem if source.is_file() else source.resolve().name
    name = default if asked.name is None else asked.name
    folder = folders.results_set(asked.results, name)
    if source is None:
        records, told, said = list(fantastic.records()), fantastic.manifest(), []
    else:
        imported = _imported(asked)
        records, told = imported.records, importers.manifest(name, imported, asked.baseline)
        said = [*imported.said, *_caveats(imported, told)]
    count = fantastic.write(records, folder, told, asked.replace)
    return said, f"{count} records in {folder}"


def _imported(asked: argparse.Namespace) -> Imported:
    given = _given(asked.given)
    if asked.csv:
        mark = MARKS[asked.decimal] if asked.decimal else None
        return csv_runs.from_csv(asked.csv, Reading(columns.by_hand(asked.columns), given, asked.loss_is, mark))
    if asked.modded_nanogpt:
        return modded_nanogpt.from_logs(asked.modded_nanogpt, given.get("optimizer", ""))
    if asked.algoperf:
        return algoperf.from_algoperf(asked.algoperf, given)
    return importers.result_files(asked.result_json)


def _given(text: str) -> Mapping[str, str]:
    """`ratio=1,scale=130m` -> field -> value. Raises ValueError that lists the fields there are."""
    found = {}
    for part in re.split(r",(?=[a-z_]+=)", text) if text else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        name = columns.BY_HAND.get(name, name)
        if not equals or not value or name not in GIVEN:
            raise ValueError(f"{shown(part)} is not FIELD=VALUE for --given; the fields are {', '.join(GIVEN)}")
        found[name] = value
    return found


def _caveats(imported: Imported, told: Mapping[str, object]) -> list[str]:
    """What whoever imports should know before reading a page."""
    names = sorted({r.trial.optimizer for r in imported.records if r.trial.use == "report"})
    lines = [f"not stated, left blank: {', '.join(imported.lacks)}"] if imported.lacks else []
    flaws = importers.no_curves(imported.records, str(told["baseline"]))
    lines += [f"warning: at {scale}, {flaw}" for scale, flaw in flaws.items()]
    if len(names) == 1:
        lines.append(f"warning: {names[0]} alone: there is nothing to compare it with")
    budgets = {r.trial.chinchilla_ratio for r in imported.records if r.trial.optimizer == told["baseline"]}
    if len(names) > 1 and len(budgets) == 1:
        lines.append(f"warning: {told['baseline']} at one ratio alone: losses compare, but there is no speedup")
    return lines


def _one_line(message: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", message)


if __name__ == "__main__":
    sys.exit(stopping.run(main, "Interrupted; run the command again."))
