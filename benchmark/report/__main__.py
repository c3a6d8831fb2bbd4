"""`python -m benchmark.report [--results DIR] [--out DIR]`: build the site and say where it is."""

import importlib.util
import sys
from pathlib import Path

from benchmark import stopping
from benchmark.arguments import Parser, folder


def main(arguments: list[str] | None = None, prog: str = "python -m benchmark.report") -> int:
    parser = Parser(prog=prog, description="Build the site and say where it is.")
    parser.add_argument("--results", type=folder, default="results", help="where the records are")
    parser.add_argument("--out", type=folder, default="reports", help="where the site goes")
    chosen = parser.parse_args(arguments)
    try:
        _require_our_optimizers()
        from benchmark.report import place
        from benchmark.report.builder import build_site
        from benchmark.store import skipped

        place.check(chosen.out, chosen.results)  # before minutes of reading
        site = build_site(chosen.results, chosen.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if site.damaged:
        print(f"warning: {skipped(site.damaged)}; a sweep's method.html lists them", file=sys.stderr)
    print(f"The site is at {(site.out / 'index.html').resolve()}")
    return 0


def _require_our_optimizers() -> None:
    """Raise ValueError where the folder that the command is called in has an `optimizers` of its own."""
    spec = importlib.util.find_spec("optimizers")
    ours = Path(__file__).resolve().parents[2] / "optimizers" / "__init__.py"
    if spec is not None and spec.origin and Path(spec.origin).resolve() != ours:
        raise ValueError(
            f"{spec.origin} would be imported instead of this project's package 'optimizers';"
            " run `optimizer-benchmark report`, which works in any folder"
        )


if __name__ == "__main__":
    sys.exit(stopping.run(main, "Interrupted; the site is not complete, run the command again."))
