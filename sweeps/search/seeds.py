"""Which seeds a sweep reports on: its own, so that nobody tunes to those of another.

They follow from what the sweep is; or, sealed, from nothing, and are then known from its manifest alone.
"""

import dataclasses
import hashlib
import json
import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.spec import canonical
from sweeps.search.sweep import Sweep

LOWEST, HIGHEST = 1_000_000, 10_000_000  # above every tuning seed


def report_seeds(sweep: Sweep) -> tuple[int, ...]:
    """The seeds of a sweep's report runs, those of the first look first: stated in its protocol, or derived
    from all that makes the sweep what it is."""
    most = max(sweep.protocol.looks)
    if sweep.protocol.report_seeds:
        return sweep.protocol.report_seeds[:most]
    digest = hashlib.sha256(canonical(_identity(sweep)).encode()).hexdigest()
    return _draw(random.Random(digest), most)


def settled(sweep: Sweep, results: Path, reuse: Sequence[Path] = (), sealed: bool = False) -> Sweep:
    """The sweep with its report seeds in its protocol.

    Those in the manifest of the same sweep below `results`, or else in a folder of `reuse`, so that a sweep
    that is resumed or extended pairs with what there is. sealed: those of a sealed sweep of the same
    contestants below `results`, else seeds that were never used, drawn from the system's entropy.
    """
    protocol = dataclasses.replace(sweep.protocol, sealed=sealed)
    sweep = dataclasses.replace(sweep, protocol=protocol)
    places = [
        results / sweep.name,
        *(() if sealed else (p for root in reuse for p in (root, root / sweep.name))),
    ]
    kept = [seeds for place in places if (seeds := _written(sweep, place))]
    drawn = _draw(random.Random(secrets.randbits(128)), max(protocol.looks)) if sealed else report_seeds(sweep)
    protocol = dataclasses.replace(protocol, report_seeds=kept[0] if kept else drawn)
    return dataclasses.replace(sweep, protocol=protocol)


def _draw(coins: random.Random, count: int) -> tuple[int, ...]:
    return tuple(coins.sample(range(LOWEST, HIGHEST), count))


def _identity(sweep: Sweep) -> dict[str, Any]:
    same = ("name", "baseline", "corpus_hash", "tokenizer_hash", "backend", "precision")
    return {
        **{name: getattr(sweep, name) for name in same},
        "protocol": dataclasses.asdict(sweep.protocol),
        "tasks": [(s.task.name, s.budget, s.start, s.tune, s.after) for s in sweep.stages],
        "rules": {c.name: c.rule for c in sweep.contestants},
    }


def _written(sweep: Sweep, folder: Path) -> tuple[int, ...]:
    """The seeds in a manifest of this sweep, if they are as many; else none."""
    try:
        manifest = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        seeds = tuple(int(seed) for seed in manifest["protocol"]["report_seeds"])
        sealed = bool(manifest["protocol"].get("sealed"))
        rules = {name: facts["rule"] for name, facts in manifest["optimizers"].items()}
        same = all(
            manifest[name] == getattr(sweep, name) for name in ("name", "corpus_hash", "backend", "precision")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()
    if sweep.protocol.sealed:
        same = same and sealed and rules == {c.name: c.rule for c in sweep.contestants}
    return seeds if same and len(seeds) >= max(sweep.protocol.looks) else ()
