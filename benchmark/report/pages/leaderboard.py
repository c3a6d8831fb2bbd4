"""The leaderboard: everything a reader needs to judge one optimizer on one task, in one row."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from benchmark.analysis.speedup import EQUIVALENCE
from benchmark.frames import rows as dicts
from benchmark.recorded import SEARCH_LOOKS
from benchmark.report import charts, figures, sentence, style, text
from benchmark.report.addresses import slug
from benchmark.report.board import Board, Speedup, board, meanings
from benchmark.report.pages import progress, schedules, transfer
from benchmark.report.plot import Forest
from benchmark.report.site import Site
from benchmark.report.table import (
    INTERVAL,
    SEEDS,
    SPEEDUP,
    VERDICT,
    Column,
    Table,
    fixed,
    named,
    numbers,
    titled,
)
from benchmark.study import Study

LABEL, ORDER, FILE = "Leaderboard", 10, "index.html"


def _places(band: tuple[int, int] | None) -> str:
    if band is None:
        return text.MISSING
    low, high = band
    return str(low) if low == high else f"{low}–{high}"


def _or_dash(written: Callable[[Any], str]) -> Callable[[Any], str]:
    """A format that writes nothing at all as a dash."""
    return lambda value: written(value) if value else text.MISSING


def _with_interval(found: Speedup) -> str:
    return f"{text.times(found.speedup)} {found.interval}" if text.is_number(found.speedup) else text.MISSING


COLUMNS = (  # the template adds what is more than text: marker and link, bar, mean with its n, badges
    numbers("rank", "Rank", _places, unit="band", of=("band",), sort=lambda band: band[0] if band else ""),
    Column("optimizer", "Optimizer", kind="text", of=("title",), sort=str.lower),
    Column("family", "Family", kind="text"),
    Column(
        "speedup",
        "Speedup in tokens",
        lambda found: text.times(found["tokens"].speedup),
        "text",
        "95 % interval",
        of=("speedups",),
        sort=lambda found: text.number(found["tokens"].speedup),
    ),
    Column(
        "verdict",
        "Verdict",
        lambda found: text.verdict(found["tokens"].verdict),
        "text",
        of=("speedups",),
        sort=lambda found: found["tokens"].verdict,
    ),
    numbers(
        "gradients",
        "Speedup per gradient",
        lambda found: _with_interval(found["gradients"]),
        unit="95 % interval",
        of=("speedups",),
        sort=lambda found: text.number(found["gradients"].speedup),
    ),
    numbers("loss", "Test loss", text.fixed, unit="nats/token, mean ± sd", of=("val_loss",)),
    numbers("trials", "Trials", _or_dash(str), unit="tuning"),
    numbers("tokens", "Tokens", _or_dash(text.tokens), unit="tuning", of=("tuning_tokens",)),
    numbers("state", "State", fixed(1), unit="bytes/param", of=("state_bytes_per_param",)),
    numbers(
        "step",
        "Step time",
        lambda overhead, apart: "timed apart" if apart else text.percent(overhead),
        unit="vs baseline",
        of=("overhead", "timed_apart"),
        sort=lambda overhead, apart: text.sorting(overhead),
    ),
    Column("badges", "Notes", _or_dash(", ".join), "text", sort=len),
)


def save_figures(site: Site, study: Study, boards: Sequence[Board]) -> None:
    """Write each board's speedups with their intervals as a figure for a paper (SVG and PNG)."""
    for found in (b for b in boards if b.figure):
        rows = [
            (
                r.title,
                *style.appearance(r.optimizer),
                (s := r.speedups["tokens"]).speedup,
                s.lo,
                s.hi,
                study.tuned_baseline if r.is_baseline else f"{text.times(s.speedup)} {s.interval}, n={r.n}",
            )
            for r in found.rows
            if text.is_number(r.speedups["tokens"].speedup) and 0 < r.speedups["tokens"].speedup < math.inf
        ]
        title = f"Speedup in tokens over {study.tuned_baseline} at {found.task.name} (higher is better)"
        figures.save(site, f"{slug(study.name)}/figures", found.figure, Forest(title, rows))


def freedoms(study: Study) -> Table:
    """What each of the baseline's freedoms is worth at the headline task: its variants that lack some of them,
    each tuned by the same protocol, and the tokens that the full baseline saves over it."""
    task, base = study.headline, study.baseline_title
    lacking = [o for o, facts in study.optimizers.items() if facts["ablation_of"] == study.baseline]
    found = {r["optimizer"]: r for r in dicts(study.results_for(task.name))} if task else {}
    shown = sorted((found[o] for o in lacking if o in found), key=lambda r: -r["val_loss"])
    columns = (
        titled(study.titles, "Variant"),
        numbers("val_loss", "Test loss", text.fixed),
        numbers("gap", f"Nats above {base}", text.fixed),
        SPEEDUP,
        INTERVAL,
        named(VERDICT, f"{base} is"),
        SEEDS,
    )
    caption = f"Variants at {task.name if task else ''}; the speedup is that of full {base} over the variant"
    known = [r for r in shown if text.is_number(r["speedup"]) and r["speedup"] > 0 and r["lo"] > 0]
    return Table(caption, columns, [_turned(r) for r in known])


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """A speedup over the baseline as the baseline's over it."""
    turned = {"faster": "slower", "slower": "faster"}.get(row["verdict"], row["verdict"])
    ends = {"speedup": 1 / row["speedup"], "lo": 1 / row["hi"], "hi": 1 / row["lo"]}
    return {**row, **ends, "verdict": turned}


def write(site: Site, study: Study) -> None:
    """Write the sweep's index.html, and that of the site for the first sweep."""
    context = page(study)
    save_figures(site, study, context["boards"])
    sweeps = [
        [slug(s.name), s.title, *(str(s.manifest[k]) for k in ("corpus", "backend"))] for s in site.studies
    ]
    label, root = "Published" if study.theirs else LABEL, FILE if study is site.studies[0] else ""
    site.put(study, FILE, {**context, "choices": sweeps}, "leaderboard.html", label, also=root)


def page(study: Study) -> dict[str, Any]:
    """What the leaderboard's template needs; the headline's task comes first, for readers without scripts."""
    boards = [b for b in (board(study, task) for task in study.tasks) if b.rows]
    boards.sort(key=lambda b: (b.task != study.headline, len(b.rows) < 2))
    columns = [named(c, study.loss_name.capitalize()) if c.name == "loss" else c for c in COLUMNS]
    columns = [c for c in columns if c.name != "gradients" or "gradients" in study.metrics]
    return {
        "heading": "Leaderboard",
        "schedules": schedules.FILE if schedules.has(study) else "",
        "transfer": transfer.FILE if transfer.has(study) else "",
        "answer": sentence.headline(study),
        "meanings": meanings(boards),
        "equivalence": EQUIVALENCE,
        "looks": study.looks,
        "search_looks": study.manifest.get(SEARCH_LOOKS) or (),
        "asked": [study.titles[name] for name in study.asked],
        "freedoms": freedoms(study),
        "progress": progress.line(study) if study.headline else "",
        "ratios": sorted({b.task.ratio for b in boards}),
        "metrics": list(study.metrics),
        "columns": columns,
        "digits": 4 if study.theirs else 3,
        "boards": boards,
        "curves": True,  # a row opens with its cell's
        "figures": [charts.speedup_by_ratio(study, study.headline.scale)] if study.headline else [],
    }
