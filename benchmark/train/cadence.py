"""When a run is looked at: the same steps in both frameworks."""

CHUNK = 128  # steps between two looks at most: long enough to hide the look, short enough to see an explosion
CHECKPOINT_SECONDS = 60.0  # runs shorter than this never write one


def evaluation_steps(steps: int, points: int) -> list[int]:
    """The steps after which the curve is evaluated: `points` of them, evenly spaced, the last at the end."""
    return sorted({max(1, round(steps * (i + 1) / points)) for i in range(points)})
