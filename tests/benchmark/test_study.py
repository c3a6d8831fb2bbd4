"""The front door: a results folder, or one sweep's own, as DataFrames and as a site."""

import contextlib
import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import benchmark
from benchmark import store

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "results" / "micro-27k-1x"
TABLES = ("speedups", "losses", "flips", "bands", "costs")


@pytest.fixture(scope="module")
def first_runs() -> list:
    """Report runs of two optimizers, of the first search of each."""
    found = [r for _, r in store.records(MICRO) if r.trial.use == "report"]
    taken: dict[tuple[str, int], object] = {}
    for record in found:
        if record.trial.optimizer in ("adamw", "lion"):
            taken.setdefault((record.trial.optimizer, record.trial.seed), record)
    return list(taken.values())


def saved(folder: Path, records: list, **changes) -> None:
    for record in records:
        trial = dataclasses.replace(record.trial, **changes)
        store.save(dataclasses.replace(record, trial=trial), folder)


def test_the_snippet_in_the_readme_prints_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## In a notebook")[2]
    code, shown = re.findall(r"```(?:python|text)\n(.*?)```", section, flags=re.DOTALL)[:2]
    monkeypatch.chdir(ROOT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue() == shown


def test_a_tree_and_a_sweeps_own_folder_give_the_same_tables() -> None:
    tree, own = benchmark.load(str(MICRO.parent)), benchmark.load(MICRO)
    assert own.names == ["micro-27k-1x"] and {"reference", *own.names} <= set(tree.names)
    assert tree.names[0] == "reference", "first is what compares optimizers, not a sweep of AdamW and its copy"
    assert len(repr(tree)) < 500, "what a notebook shows of it is a line"
    alone = tree.only("micro-27k-1x")
    for name in TABLES:
        table = getattr(alone, name)()
        assert list(table.columns[:3]) == ["sweep", "corpus", "backend"] and len(table)
        pd.testing.assert_frame_equal(table, getattr(own, name)())
    assert set(alone.records["trial_id"]) == set(own.records["trial_id"]) == set(alone.results.by_id)
    with pytest.raises(ValueError, match=r"no sweep 'mikro' in .*; there are reference, "):
        tree.only("mikro")
    with pytest.raises(ValueError, match="no sweep ''"):
        tree.only()


def test_a_column_by_its_former_name_says_the_present_one(tmp_path: Path, first_runs: list) -> None:
    saved(tmp_path, first_runs)
    runs = benchmark.load(tmp_path).records
    assert len(runs[runs["use"] == "report"]) == len(runs[runs.use == "report"]) == len(first_runs)
    with pytest.raises(KeyError, match="the column role is called use"):
        runs["role"]
    with pytest.raises(AttributeError, match="the column role is called use"):
        _ = runs.role


def test_several_corpora_and_backends_are_read_at_once(tmp_path: Path, first_runs: list) -> None:
    """Each experiment is compared within itself, in folders of their own and in one without a manifest."""
    saved(tmp_path / "one", first_runs)
    saved(tmp_path / "other", first_runs, corpus="apidocs", corpus_hash="f" * 64)
    saved(tmp_path / "mixed", first_runs, precision="bfloat16")
    saved(tmp_path / "mixed", first_runs, precision="bfloat16", backend="torch")
    study = benchmark.load(tmp_path)
    assert sorted(study.names) == ["mixed (jax)", "mixed (torch)", "one", "other"]
    losses = study.losses()
    assert len(losses) == 4 * len(first_runs)
    told = losses[["sweep", "corpus", "backend"]].drop_duplicates().to_numpy().tolist()
    assert ["other", "apidocs", "jax"] in told and ["mixed (torch)", "gcide", "torch"] in told
    gaps = study.speedups().pivot(index="optimizer", columns="sweep", values="gap")
    assert gaps.loc["lion"].nunique() == 1, "the same losses in each"
    assert len(study.records) == 4 * len(first_runs)


def test_the_site_is_built_from_a_path_and_from_what_was_loaded(tmp_path: Path, first_runs: list) -> None:
    saved(tmp_path / "results" / "one", first_runs)
    saved(tmp_path / "results" / "two", first_runs, backend="torch")
    index = benchmark.build(str(tmp_path / "results"), str(tmp_path / "a"))
    other = benchmark.build(benchmark.load(tmp_path / "results"), tmp_path / "b")
    assert index == tmp_path / "a" / "index.html" and index.read_bytes() == other.read_bytes()
    some = benchmark.build(benchmark.load(tmp_path / "results").only("two"), tmp_path / "c").parent
    assert not (some / "one").exists() and (some / "two" / "index.html").exists()
    assert len(list((some / "records").iterdir())) == len(first_runs)


def test_a_folder_without_records_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no records in .*; run a sweep first"):
        benchmark.load(tmp_path)
    with pytest.raises(ValueError, match="no results folder at"):
        benchmark.build(tmp_path / "nowhere", tmp_path / "out")


def test_importing_it_imports_nothing_else() -> None:
    code = "import benchmark, sys; print({'pandas', 'numpy', 'jax', 'torch', 'ray'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "set()"
