"""What may be said of a cell against the baseline: one rule for every page.

"faster", "slower" and "inseparable" need an interval of the speedup. Where one ratio of the baseline gives no
curve to read a speedup off, the paired test at that ratio stands in ("paired faster"). "baseline" is the
baseline itself; the text is empty where nothing is known, which is not the same as inseparable.
"""

from collections.abc import Mapping
from typing import Any

from benchmark.report import text


def of(row: Mapping[str, Any], baseline: str, paired: set[str]) -> str:
    """A row of analysis.speedup.speedups judged. paired: the tasks on which the baseline has a loss."""
    if row["optimizer"] == baseline:
        return "baseline"
    if text.is_number(row["speedup"]) and text.is_number(row["lo"]):
        return row["verdict"]
    tested = "undefined: one baseline ratio" in row["flags"] and "no interval" not in row["flags"]
    compared = row["task"] in paired and text.is_number(row["val_loss"])
    return f"paired {row['verdict']}" if tested and compared else ""
