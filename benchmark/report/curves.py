"""The loss curves of single runs, of which there are thousands: a page holds their numbers, once for the script
that draws them and once as a table. The one specification of the chart is interactive.run_curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.report import text
from benchmark.report.table import Column, Table, fixed, numbers

DIGITS = 5  # decimals of a loss that is only drawn


@dataclass(frozen=True)
class Run:
    """One line. points: (tokens, loss in nats per token), in order."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str


@dataclass(frozen=True)
class Curves:
    """The curves of a cell or a record; false where no run has two points to join. beside: dashed lines.

    The first quarter of training is not drawn, where there is more: its fall would hide the rest.
    """

    title: str
    runs: Sequence[Run]
    beside: Sequence[Run] = ()

    def __bool__(self) -> bool:
        return any(len(points) > 1 for points in map(self._late, self.runs))

    @property
    def data(self) -> dict[str, Any]:
        """The datasets that the specification names."""
        return {"runs": self._rows(self.runs), "beside": self._rows(self.beside)}

    @property
    def table(self) -> Table:
        """Every point of the runs: a row for each number of tokens, a column for each run."""
        at: dict[float, dict[str, Any]] = {}
        for run in self.runs:
            for tokens, loss in run.points:
                at.setdefault(tokens, {"tokens": tokens, **{r.name: None for r in self.runs}})[run.name] = loss
        columns = (
            Column("tokens", "Tokens", text.tokens),
            *(numbers(r.name, r.name, fixed(4)) for r in self.runs),
        )
        caption = f"{self.title}: validation loss, nats/token"
        return Table(caption, columns, [at[tokens] for tokens in sorted(at)], quiet=True)

    def _rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        return [
            {"run": run.name, "tokens": tokens, "loss": round(loss, DIGITS), "colour": run.colour}
            for run in runs
            for tokens, loss in self._late(run)
        ]

    def _late(self, run: Run) -> list[tuple[float, float]]:
        end = max((tokens for run in self.runs for tokens, _ in run.points), default=0)
        return [(tokens, loss) for tokens, loss in run.points if tokens >= end / 4]
