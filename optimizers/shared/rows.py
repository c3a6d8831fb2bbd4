"""Rows of even size, which is what NorMuon adds to Muon.

Written with the operators that jax and torch arrays have in common, so it imports neither.
"""

from typing import Any

ROW_EPS = 1e-10  # a row of zeros stays one


def even_rows(matrices: Any, rows: Any, row_beta: Any) -> tuple[Any, Any]:
    """O' |O| / |O'| of matrices over their last two axes, and the next v; jax and torch arrays alike."""
    rows = row_beta * rows + (1 - row_beta) * (matrices * matrices).mean(axis=-1, keepdims=True)
    even = matrices / (rows**0.5 + ROW_EPS)
    return even * (_norm(matrices) / (_norm(even) + ROW_EPS)), rows


def _norm(matrices: Any) -> Any:
    return (matrices * matrices).sum(axis=(-2, -1), keepdims=True) ** 0.5
