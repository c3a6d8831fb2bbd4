"""`python -m benchmark.published`: write the study's figures, or anyone's, as a results set."""

import sys

from benchmark import arguments as kinds
from benchmark.published import fantastic, importers


def main(arguments: list[str] | None = None, prog: str = "python -m benchmark.published") -> int:
    """Parse, write, say where. Returns the exit status: 1 with one line on stderr for bad input."""
    parser = kinds.Parser(prog=prog, description="Write the study's figures, or anyone's, as a results set.")
    parser.add_argument("--results", type=kinds.path, default="results", help="results folder to write into")
    parser.add_argument("--name", help="name of the results set (default: the file's or folder's)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--result-json", type=kinds.path, help="folder OPTIMIZER/SCALE/RATIO/result.json")
    source.add_argument(
        "--csv", type=kinds.path, help="losses: optimizer, scale, chinchilla_ratio, val_loss ..."
    )
    parser.add_argument("--baseline", default="adamw", help="what others are compared with (default: adamw)")
    asked = parser.parse_args(arguments)
    try:
        if asked.result_json:
            name, found = asked.name or asked.result_json.name, importers.from_result_json(asked.result_json)
        elif asked.csv:
            name, found = asked.name or asked.csv.stem, importers.from_csv(asked.csv)
        else:
            name, found = asked.name or fantastic.NAME, list(fantastic.records())
        folder = importers.results_set(asked.results, name)
        ours = asked.result_json or asked.csv
        told = importers.manifest(name, found, asked.baseline) if ours else fantastic.manifest()
        count = fantastic.write(found, folder, told)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot write below {asked.results} ({error.strerror})", file=sys.stderr)
        return 1
    print(f"{count} records in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
