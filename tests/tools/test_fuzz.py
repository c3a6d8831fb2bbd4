"""A few damaged results folders of every kind, and that the fuzz itself can fail."""

import random
import time
from pathlib import Path

import pytest

from benchmark import studies
from tools.fuzz import _tree, results


def test_damaged_results_are_read_or_refused_in_a_line() -> None:
    assert not results.run(20, seed=0)


@pytest.mark.parametrize(
    ("error", "says"), [(KeyError("corpus"), "KeyError"), (ValueError("two\nlines"), "more than a line")]
)
def test_a_traceback_is_a_failure(error: Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise error

    monkeypatch.setattr(studies, "load", broken)
    assert says in results.run(1, seed=0)[0]


def test_what_takes_too_long_or_writes_elsewhere_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> None:
        time.sleep(60)

    monkeypatch.setattr(studies, "load", slow)
    monkeypatch.setattr(results, "LIMIT", 0.5)
    assert "more than 0.5 s" in results.run(1, seed=0)[0]
    monkeypatch.setattr(studies, "load", lambda path: (path.parent / "elsewhere").touch() or _Nothing)
    assert "outside" in results.run(1, seed=0)[0]


class _Nothing:
    speedups = costs = staticmethod(lambda: None)


def test_an_element_made_of_a_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<p>&lt;{results.TAG}&gt;")
    assert not results._injected(tmp_path)
    (tmp_path / "page.html").write_text(f"<p>{results.EVIL}")
    assert results._injected(tmp_path)


def test_every_kind_of_damage_is_done(tmp_path: Path) -> None:
    for number, damage in enumerate(results.DAMAGE):
        _tree.write(tmp_path / str(number))
        before = results._state(tmp_path / str(number))
        done = [damage(tmp_path / str(number), random.Random(seed)) for seed in range(3)]
        assert all(done) and results._state(tmp_path / str(number)) != before
