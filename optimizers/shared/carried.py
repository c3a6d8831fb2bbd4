"""Contestants carried from narrower models: `adamw@mup` is AdamW at the setting that won at the smallest
width, changed by the rule "mup" and not tuned where it runs.

Each is reported like any other: what separates it from the same rule tuned there is what carrying costs.
"""

from collections.abc import Mapping

from optimizers.shared.near import near

MARK = "@"
POLICIES: Mapping[str, str] = {
    "constant": "carried unchanged",
    "law": "carried by a law",
    "width": "carried, rate over width",
    "mup": "carried by muP",
    "mup-sqrt": "carried by muP, decay by the root of width",
    "mup-independent": "carried by muP, rate times decay kept",
}
"""Rule -> what a title says of it. sweeps/search/transfer.py follows them; width.py there has muP's."""


def carried(name: str) -> tuple[str, str]:
    """The contestant that a name is of, and the rule that carries it: `adamw@mup` -> ("adamw", "mup"), `adamw`
    -> ("adamw", ""). Raises ValueError for a rule that there is not."""
    original, mark, policy = name.partition(MARK)
    if mark and policy not in POLICIES:
        known = ", ".join(POLICIES)
        raise ValueError(f"{name!r}: no rule {policy!r}{near(policy, POLICIES)}; choose from {known}")
    return original, policy


def found_carried(name: str) -> tuple[str, str]:
    """The same of a name in anybody's records, where a mark may mean something else: (the name, "") then."""
    original, _, policy = name.partition(MARK)
    return (original, policy) if policy in POLICIES else (name, "")
