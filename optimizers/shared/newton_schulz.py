"""Newton-Schulz: an orthogonal matrix near a given one, by matrix products alone; what Muon and Scion step by.

Written with the operators that jax and torch arrays have in common, so it imports neither.
"""

from typing import Any

# Keller Jordan's quintic: steepest slope at 0 among those that keep singular values near 1.
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def newton_schulz(matrix: Any, steps: int, eps: Any) -> Any:
    """Approximate U V^T of `matrix` = U S V^T, over the last two axes, in the dtype of `matrix`.

    Divides by the Frobenius norm + `eps`, then iterates X <- aX + (bA + cA^2)X with A = XX^T. The singular
    values end in about [0.7, 1.2], not at 1 (https://kellerjordan.github.io/posts/muon/).
    """
    a, b, c = NS_COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / ((x * x).sum(axis=(-2, -1), keepdims=True) ** 0.5 + eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


def shape_factor(shape: tuple[int, ...]) -> float:
    """sqrt(max(1, out / in)): a tall matrix then moves each output as far as a square one does."""
    return max(1.0, shape[0] / shape[1]) ** 0.5


def newton_schulz_flops(shape: tuple[int, ...], steps: int) -> float:
    """FLOPs of `newton_schulz` on one matrix, a multiply-add counted as two."""
    small, large = sorted(shape)
    return steps * (4.0 * small**2 * large + 2.0 * small**3)
