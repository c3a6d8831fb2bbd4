"""An import has a folder of its own: nothing made elsewhere is overwritten, and no kill leaves half of one."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest

import sweeps
from benchmark import store
from benchmark.published import __main__ as command
from benchmark.published import folders
from sweeps import __main__ as sweep

HEAD = "optimizer,scale,chinchilla_ratio,val_loss\n"
OLD = HEAD + "adamw,130m,1,3.52\nmuon,130m,1,3.46\n"
NEW = HEAD + "adamw,130m,1,3.51\nmuon,130m,1,3.45\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "set.csv"
    path.write_text(OLD)
    return path


def _import(source: Path, *more: str) -> int:
    return command.main(["--csv", str(source), "--results", str(source.parent / "r"), *more])


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _losses(results: Path, name: str = "set") -> set[float]:
    loaded = store.load(results)
    runs = loaded.runs[loaded.runs.trial_id.isin(loaded.sweeps[name]["trial_ids"])]
    return set(runs.val_loss)


def _sweep(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text('{"schema": 1, "name": "set", "trial_ids": []}')
    (folder / "trials.jsonl").write_text("")


def _running(folder: Path) -> None:
    (folder / "trials").mkdir(parents=True)
    (folder / "trials" / "0123456789abcdef.json").write_text("{}")


def _half(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "trials.jsonl").write_text('{"trial_id"')


def _linked(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    (folder.parent.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent.parent / "elsewhere")


def _dangling(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.symlink_to("nowhere")


def _a_file(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("mine")


def _other_import(folder: Path) -> None:
    other = folder.parent.parent / "other" / "set.csv"
    other.parent.mkdir()
    other.write_text(NEW)
    assert command.main(["--csv", str(other), "--results", str(folder.parent)]) == 0


def _with_notes(folder: Path) -> None:
    _other_import(folder)
    (folder / "notes.txt").write_text("mine")


def _by_hand(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    "made",
    [_sweep, _running, _half, _linked, _dangling, _a_file, _other_import, _with_notes, _by_hand],
    ids=lambda f: f.__name__,
)
def test_what_was_made_elsewhere_is_refused_and_the_remedy_works(source: Path, made, capsys) -> None:
    results = source.parent / "r"
    made(results / "set")
    before = _files(source.parent)
    capsys.readouterr()
    assert _import(source) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "nothing was written" in said.err and not said.out
    assert _files(source.parent) == before
    name = said.err.split("--name ")[1].split(";")[0].strip()
    assert _import(source, "--name", name) == 0
    assert {k: v for k, v in _files(source.parent).items() if k in before} == before
    assert _losses(results / name, name) == {3.52, 3.46}


@pytest.mark.parametrize("name", [*sweeps.names(), "Quick", "aa-quick-1"])
def test_the_name_of_a_sweep_is_left_to_it_and_the_remedy_works(source: Path, name: str, capsys) -> None:
    path = source.rename(source.with_name(f"{name}.csv"))
    assert _import(path) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is where a sweep writes" in said and not (source.parent / "r").exists()
    assert _import(path, "--name", said.split("--name ")[1].strip()) == 0


def test_a_sweep_leaves_an_import_alone_and_the_remedy_works(source: Path, capsys, monkeypatch) -> None:
    """One that is called as a sweep of the user's, which no list knows."""
    monkeypatch.chdir(source.parent)
    assert _import(source) == 0
    before = _files(source.parent / "r")
    mine = source.with_name("mine.py")
    mine.write_text(
        "import dataclasses\nfrom sweeps.smoke import SWEEP as S\nSWEEP = dataclasses.replace(S, name='set')\n"
    )
    words = [
        str(mine),
        "--optimizers",
        "adamw",
        "--dry-run",
        "--flops-per-second",
        "1e11",
        "--executor",
        "serial",
    ]
    assert sweep.main([*words, "--results", "r"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "r/set, where the sweep would" in said and "with --results" in said
    assert _files(source.parent / "r") == before
    assert sweep.main([*words, "--results", "other"]) == 0


@pytest.mark.parametrize("made", [_sweep, _running, _half, _linked, _with_notes], ids=lambda f: f.__name__)
def test_replace_replaces_imports_alone(source: Path, made) -> None:
    made(source.parent / "r" / "set")
    before = _files(source.parent)
    assert _import(source, "--replace") == 1
    assert _files(source.parent) == before


def test_the_same_import_again_changes_nothing(source: Path) -> None:
    assert _import(source) == 0
    folder = source.parent / "r" / "set"
    before, when = _files(folder), [p.stat().st_mtime_ns for p in folder.iterdir()]
    assert _import(source) == 0
    assert _files(folder) == before and [p.stat().st_mtime_ns for p in folder.iterdir()] == when
    assert sorted(p.name for p in folder.parent.iterdir()) == ["set"]


def test_two_imports_of_the_same_cells_keep_their_own_losses(source: Path) -> None:
    assert _import(source) == 0
    source.write_text(NEW)
    assert _import(source, "--name", "second") == 0
    assert _losses(source.parent / "r") == {3.52, 3.46}
    assert _losses(source.parent / "r", "second") == {3.51, 3.45}


@pytest.mark.parametrize("replacing", [False, True])
def test_a_kill_at_any_write_leaves_the_old_or_the_new(source: Path, replacing: bool, monkeypatch) -> None:
    results, write, rename = source.parent / "r", folders.write_atomically, Path.rename

    class Kill(BaseException):
        pass

    seen = set()
    for at in range(4):
        shutil.rmtree(results, ignore_errors=True)
        source.write_text(OLD)
        if replacing:
            assert _import(source) == 0
            source.write_text(NEW)
        left = [at]

        def tick(do, *arguments, left=left):
            if left[0] == 0:
                raise Kill
            left[0] -= 1
            return do(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(folders, "write_atomically", lambda *a: tick(write, *a))
            patch.setattr(Path, "rename", lambda *a: tick(rename, *a))
            with contextlib.suppress(Kill):
                _import(source, "--replace")
        there = store.load(results).sweeps if results.is_dir() else {}
        losses = frozenset(_losses(results)) if "set" in there else frozenset()
        seen.add(losses)
        assert not (results / "set").exists() or "set" in there
        assert _import(source, "--replace") == 0  # and the next one mends what was left
        assert _losses(results) == ({3.51, 3.45} if replacing else {3.52, 3.46})
    complete = {frozenset({3.52, 3.46}), frozenset({3.51, 3.45})} if replacing else {frozenset({3.52, 3.46})}
    assert seen <= complete | (set() if replacing else {frozenset()}) and len(seen) == 2


@pytest.mark.parametrize(
    "name", ["..csv", "...csv", ".hidden.csv", "my results.csv", "a" * 120 + ".csv", "ü.csv"]
)
def test_a_table_s_name_that_is_no_folder_s_has_a_remedy(tmp_path: Path, name: str, capsys) -> None:
    source = tmp_path / name
    source.write_text(OLD)
    assert _import(source) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and [p.name for p in tmp_path.iterdir()] == [name]
    assert _import(source, "--name", error.split("--name ")[1].split(")")[0]) == 0


def test_the_manifest_says_whose_it_is(source: Path) -> None:
    _import(source)
    manifest = json.loads((source.parent / "r" / "set" / "sweep.json").read_text())
    assert manifest["published"] and manifest["source"] == "imported: set.csv"
    assert str(source.parent) not in json.dumps(manifest)  # a user's path is not published
