"""The answer in a few lines: one's own optimizer, then who is best, who is not told apart, and the check.

The page's first sentences and the last lines of a sweep are this text.
"""

from collections.abc import Sequence
from typing import Any

from benchmark.analysis.speedup import EQUIVALENCE
from benchmark.frames import rows, where
from benchmark.report import asked, text
from benchmark.store import Results
from benchmark.studies import sorted_out
from benchmark.study import Study

Lines = tuple[str, ...]


def answer(results: Results, sweep: str, against: Sequence[str] = ()) -> Lines:
    """The lines for a sweep. Raises ValueError that lists the sweeps if there is none of this name."""
    return lines(study_of(results, sweep), against)


def study_of(results: Results, sweep: str) -> Study:
    """A sweep of the results. Raises ValueError that lists them if there is none of this name."""
    known, left_out = sorted_out(results)
    found = {study.name: study for study in known}
    if sweep in left_out:
        raise ValueError(left_out[sweep])
    if sweep not in found:
        raise ValueError(f"no sweep {sweep!r} in the results; there are {', '.join(found) or 'none'}")
    return found[sweep]


def lines(study: Study, against: Sequence[str] = ()) -> Lines:
    """The answer at the study's largest comparable task; no line claims what its interval does not."""
    return tuple(f"{first} {rest}".rstrip() for first, rest in _pairs(study, against))


def headline(study: Study) -> tuple[str, Lines]:
    """The same for a page: its first sentence alone, and the paragraphs below it."""
    (first, rest), *others = _pairs(study, ())
    further = [f"{said} {more}".rstrip() for said, more in others]
    own = max(len(study.asked) - 1, 0)  # those after the first, a paragraph each
    paragraphs = (rest, *further[:own], " ".join(filter(None, further[own:])))
    return first, tuple(filter(None, paragraphs))


def _pairs(study: Study, against: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Sentences, each with what is said below it."""
    task, named = study.headline, {*study.challengers, study.baseline}
    results = [] if task is None else rows(study.results_for(task.name))
    found = [r for r in results if r["n"] > 0 and r["optimizer"] in named]
    if task is None or all(r["optimizer"] == study.baseline for r in found):
        needs = (
            f"A speedup needs finished report runs of {study.baseline_title} and of another optimizer on the"
            " same task."
        )
        plain = (f"No comparison yet: {_why_none(study)}.", needs, "", "")
        return *asked.answers(study, "", []), *((line, "") for line in plain)
    # its mean is over the runs that finished: what has a diverged one is not named as the best
    table = sorted(found, key=lambda r: _diverged(study, r) > 0)
    first = _speedup(study, table, task.name)
    rest = (first, _ties(study, table, task.name), _open(study, table), _check(study, task.name))
    return *asked.answers(study, task.name, table, against), *((line, "") for line in rest)


def _why_none(study: Study) -> str:
    cells = study.manifest.get("cells", {}).values()
    done = sum(bool(c.get("complete")) for c in cells)
    if done < len(cells):
        return f"{done} of {text.count(len(cells), 'cell')} are complete"
    finished = study.losses.loc[study.losses["val_loss"] < float("inf"), "optimizer"]
    names = [study.titles[o] for o in dict.fromkeys(finished)]
    return f"only {text.names(names)} finished report runs" if names else "no report run has finished"


def _speedup(study: Study, table: list[dict[str, Any]], task: str) -> str:
    """Who is first and what it is worth, with its interval, in one sentence."""
    base, first = study.baseline_title, table[0]["optimizer"]
    row = next(r for r in table if r["optimizer"] != study.baseline)
    title, of = (
        study.titles[row["optimizer"]],
        f"the lowest {study.loss_name} of {_compared(study, table)} at {task}",
    )
    if not text.is_number(row["speedup"]):
        why = f"too few ratios of {base} are measured"
        if "does not fall with data" in row["flags"]:
            why = f"{base}'s loss does not fall with data, and gives no curve"
        return f"{study.titles[first]} has {of}; {why} for a speedup."
    if row["speedup"] == float("inf"):
        needs = f"never reaches {title}'s loss on its fitted curve"
    else:
        needs = f"needs {text.fixed(row['speedup'], 2)} times the tokens to reach {title}'s loss"
    tuned = study.tuned_baseline[:1].upper() + study.tuned_baseline[1:]
    if first == study.baseline:
        return f"{tuned} has {of}; it {needs}, the nearest {_spread(study, row)}."
    return f"{tuned} {needs}, {of} {_spread(study, row)}."


def _compared(study: Study, table: list[dict[str, Any]]) -> str:
    whole = [r for r in table if not _diverged(study, r)]
    if len(whole) in (0, len(table)):
        return f"{len(table)} optimizers"
    return f"{text.count(len(whole), 'optimizer')} without a diverged run"


def _diverged(study: Study, row: dict[str, Any]) -> int:
    """How many report runs of a cell diverged."""
    own = where(study.losses, optimizer=row["optimizer"], task=row["task"])
    return len(where(own, val_loss=float("inf")))


def _spread(study: Study, row: dict[str, Any]) -> str:
    known, n = text.is_number(row["lo"]) and text.is_number(row["hi"]), int(row["n"])
    ends = (
        f"95\u00a0% interval {text.fixed(row['lo'], 2)} to {text.fixed(row['hi'], 2)}"
        if known
        else "no interval"
    )
    gone = _diverged(study, row)
    lost = f"; {gone} of {gone + n} runs diverged" if gone else ""
    of = text.count(int(row["searches"]), "search", "searches")
    return f"({ends}, n\u00a0=\u00a0{text.count(n, 'run')} over {of}{lost})"


def _ties(study: Study, table: list[dict[str, Any]], task: str) -> str:
    first = study.titles[table[0]["optimizer"]]
    bands = [study.bands.get((r["optimizer"], task), (2, 2)) for r in table]
    ties = [
        study.titles[row["optimizer"]]
        for row, band in zip(table[1:], bands[1:], strict=True)
        if band[0] == 1 or _open_pair(study, table[0], row)
    ]
    if ties and max(r["n"] for r in table) == 1:
        return f"One seed does not separate {first} from {text.names(ties, 'or')}."
    if ties:
        return f"The runs do not separate {first} from {text.names(ties, 'or')}."
    return f"The runs separate {first} from every other optimizer." if bands[0] == (1, 1) else ""


def _open_pair(study: Study, first: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether one of two is the baseline, and the other's verdict, which allows for looks, is open."""
    judged = row if first["optimizer"] == study.baseline else first
    told = str(judged["verdict"]).removeprefix("paired ")
    return study.baseline in (first["optimizer"], row["optimizer"]) and told in ("undecided", "inseparable")


def _open(study: Study, table: list[dict[str, Any]]) -> str:
    """Who is neither faster nor slower than the baseline, and in which of the three ways."""
    base = study.tuned_baseline

    def titles(*verdicts: str) -> str:
        others = [r for r in table if r["optimizer"] != study.baseline]
        return text.names([study.titles[r["optimizer"]] for r in others if r["verdict"] in verdicts])

    same, undecided = titles("inseparable"), titles("undecided", "paired undecided")
    unknown = titles("")
    said = [f"Inseparable from {base}, within a factor of {EQUIVALENCE:g}: {same}."] if same else []
    said += [f"Undecided: {undecided}."] if undecided else []
    if unknown:
        said.append(f"Not known to be separable from {base}, for want of an interval: {unknown}.")
    return " ".join(said) or f"Every other optimizer is separable from {base}."


def _check(study: Study, task: str) -> str:
    """What the baseline tuned a second time comes to: the same optimizer, so anything but 1 is an error."""
    found = rows(where(study.speedups, optimizer=study.again, task=task)) if study.again else []
    if not found or not text.is_number(found[0]["speedup"]):
        return ""
    row, base = found[0], study.baseline_title
    said = f"{text.fixed(row['speedup'], 2)} {text.interval(row['lo'], row['hi'])}"
    if row["verdict"] in ("faster", "slower"):
        return (
            f"The check failed: {base} tuned a second time reads {row['verdict']} than itself, {said}; a"
            " verdict here may be as false as that one."
        )
    return f"The check: {base} tuned a second time reads {row['verdict']} against itself, {said}."
