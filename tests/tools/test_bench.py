"""The bench measures what it says, end to end on tiny runs, and its comparison sees a planted move."""

import dataclasses
import functools
import itertools
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import optimizers
from benchmark import measurements, scales, store
from benchmark.measurements import measurement
from benchmark.train import parameters
from tools.bench import __main__ as bench
from tools.bench import blocks, costs, groups, overhead, products_jax, reading, trials, turns

ENVIRONMENT = {"machine": "aaaa", "cpu": "x86", "device": "cpu", "commit": "c0ffee", "load": 0.1}


def shown(*values: float, others=(), name="27k adamw: ours, jax"):
    return measurement("throughput", name, "tokens/s", values, others, "plain torch loop" if others else "")


def adding(name: str, count: int) -> turns.Contestant:
    """Adds so many numbers in a block: sum(range(count))."""
    return turns.Contestant(name, float(count), functools.partial, (sum, range(count)))


def test_turns_tell_four_times_the_work_apart():
    field = [adding("one", 1_000_000), adding("four", 4_000_000)]
    # fifteen rounds: with five, another process on the same core could move the median beyond the bounds
    seconds = turns.take_turns(field, 15, turns.Clock(pinned=True))
    ratio = measurement("g", "n", "s", seconds["four"], seconds["one"], "one")
    assert (ratio.n, len(seconds["one"])) == (15, 15)
    assert ratio.ratio is not None
    assert 3 < ratio.ratio < 5


def test_a_contestant_that_fails_is_named_with_its_reason():
    broken = turns.Contestant("broken", 1.0, functools.partial, (divmod, 1, 0))
    with pytest.raises(ValueError, match=r"broken: ZeroDivisionError: .* by zero"):
        turns.take_turns([broken], 1, turns.Clock(pinned=True))


@pytest.mark.parametrize("name", ["27k", "400k", "130m"])
def test_the_traced_products_are_the_counted_flops(name):
    scale = dataclasses.replace(scales.get(name), layers=2)  # deeper models recompute: more than is counted
    counted = parameters.flops_per_token(scale) * scale.batch_size * scale.seq_len
    assert sum(p.flops for p in products_jax.of_step(scale)) == pytest.approx(counted, rel=1e-12)


def test_a_plain_torch_loop_has_the_shapes_of_ours():
    pytest.importorskip("torch")
    from tools.bench import plain_torch

    scale = scales.get("13k")
    assert sum(p.numel() for p in plain_torch.Decoder(scale).parameters()) == scale.total_params


@pytest.mark.parametrize("name", groups.PLAIN_RULES)
def test_a_plain_torch_loop_trains(name):
    pytest.importorskip("torch")
    pytest.importorskip(groups.PLAIN_RULES[name])
    from tools.bench import plain_torch

    tokens = np.tile(np.arange(8, dtype=np.uint16), 1000)  # each token follows from the one before
    losses = plain_torch.losses(name, scales.get("13k"), tokens, steps=40)
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(("backend", "pack"), [("jax", 2), ("torch", 1)])
def test_a_block_of_ours_is_a_run_without_an_evaluation(backend, pack, monkeypatch, tmp_path):
    trainer = pytest.importorskip(f"benchmark.train.trainer_{backend}")
    monkeypatch.setattr(trainer, "set_up", lambda cache: None)
    seen = {}
    train = trainer.train
    monkeypatch.setattr(trainer, "train", lambda *a, **k: seen.update(out=train(*a, **k), trials=a[0]))
    blocks.ours(backend, "adamw", "13k", 3, pack)()
    assert seen["out"] == []
    assert [(t.seed, t.steps, t.backend) for t in seen["trials"]] == [(k, 4, backend) for k in range(pack)]


def test_a_pack_on_an_accelerator_tells_its_training_seconds():
    begin = time.perf_counter()
    seconds = blocks.training("adamw", "13k", 40, pack=2)()
    assert 0 < seconds < time.perf_counter() - begin


def test_a_tiny_run_writes_every_figure_and_compares_the_next(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPTIMIZER_BENCHMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(groups, "_installed", lambda package: False)  # as on a machine without torch
    command = ["--groups", "throughput", "--scales", "13k", "--optimizers", "adamw", "--rounds", "1"]
    bench.main([*command, "--out", str(tmp_path)])
    body = json.loads((tmp_path / "throughput.json").read_text())
    rows = {(row["group"], row["name"]): row for row in body["rows"]}
    assert {row["commit"] for row in body["rows"]} == {body["environment"]["commit"]}
    ours = rows["throughput", "13k adamw: ours, jax"]
    assert ours["median"] > 0
    assert ours["n"] == 1
    step = rows["step", "13k adamw"]
    assert step["ratio"] > 1  # its products are part of a step
    assert step["median"] == pytest.approx(4 * 128 / ours["median"] * 1e3)
    assert 0 < rows["FLOP/s", "13k adamw"]["ratio"] < 1
    assert ours["versus"] == "one jit call per step"
    assert "Moved" not in capsys.readouterr().out
    planted = [dict(row) for row in body["rows"]]
    planted[0] |= {"median": 1.0, "lo": 1.0, "hi": 1.0}
    (tmp_path / "throughput.json").write_text(json.dumps({**body, "rows": planted}))
    before = measurements.previous(tmp_path, body["environment"]["machine"])
    now = [measurements.Measurement(**row) for row in body["rows"]]
    assert len(measurements.moved(before, now)) == 1


def test_only_what_moved_by_more_than_the_spread_is_named():
    before = [shown(90, 100, 110), shown(50, 51, 52, name="same")]
    assert measurements.moved(before, [shown(80, 85, 91), shown(51, 51, 53, name="same")]) == []
    (line,) = measurements.moved(before, [shown(60, 70, 80), shown(50, 50, 50, name="same")])
    assert line == "throughput: 27k adamw: ours, jax: 100 -> 70 tokens/s (-30%)"


@pytest.mark.parametrize(
    ("unit", "old", "new", "told"),
    [("s", 20, 22.9, 0), ("s", 20, 23.1, 1), ("s", 20, 16.9, 1), ("MB", 500, 570, 0), ("programs", 17, 18, 1)],
)
def test_a_single_block_moves_beyond_a_tolerance_and_a_count_at_once(unit, old, new, told):
    before, now = (measurement("sweep", "start", unit, [value]) for value in (old, new))
    assert len(measurements.moved([before], [now])) == told


def test_a_single_block_within_the_spread_of_many_did_not_move():
    many, single = shown(60, 100, 140), shown(130)
    assert measurements.moved([many], [single]) == []
    assert measurements.moved([single], [many]) == []
    assert len(measurements.moved([many], [shown(141)])) == 1
    assert measurements.moved([shown(99, 100, 101)], [shown(110)]) == []


def test_a_ratio_of_single_blocks_has_the_tolerance_too():
    before = [shown(100, others=(50,))]
    assert measurements.moved(before, [shown(100, others=(55,))]) == []
    (line,) = measurements.moved(before, [shown(100, others=(100,))])
    assert line.endswith("2 -> 1 of plain torch loop (-50%)")


def test_a_ratio_moves_on_its_own():
    before = [shown(90, 100, 110, others=(45, 50, 55))]
    (line,) = measurements.moved(before, [shown(90, 100, 110, others=(90, 100, 110))])
    assert line.endswith("2 -> 1 of plain torch loop (-50%)")


def test_machines_are_kept_apart(tmp_path):
    measurements.write([shown(1.0)], ENVIRONMENT, tmp_path / "throughput.json")
    measurements.write([shown(2.0)], {**ENVIRONMENT, "machine": "bbbb"}, tmp_path / "throughput.json")
    assert measurements.previous(tmp_path, "aaaa")[0].median == 1.0
    assert measurements.previous(tmp_path, "bbbb")[0].median == 2.0
    assert measurements.previous(tmp_path, "cccc") == []


def test_machines_that_alternate_lose_nothing(tmp_path):
    path, other = tmp_path / "throughput.json", {**ENVIRONMENT, "machine": "bbbb"}
    measurements.write([shown(1.0), shown(2.0, name="same")], ENVIRONMENT, path)
    measurements.write([shown(5.0), shown(6.0, name="same")], other, path)
    measurements.write([shown(3.0)], ENVIRONMENT, path)
    measurements.write([shown(7.0)], other, path)
    medians = {
        described["machine"]: sorted((f.name, f.median) for f in rows)
        for described, rows in measurements.machines(tmp_path)
    }
    assert medians == {
        "aaaa": [("27k adamw: ours, jax", 3.0), ("same", 2.0)],
        "bbbb": [("27k adamw: ours, jax", 7.0), ("same", 6.0)],
    }


@pytest.mark.parametrize("newer", ["throughput.json", "throughput-aaaa.json"])
def test_of_two_files_of_a_machine_the_later_figure_counts(tmp_path, newer):
    for name in ("throughput.json", "throughput-aaaa.json"):
        row = dataclasses.asdict(shown(2.0 if name == newer else 1.0))
        row |= {"measured_at": f"2026-01-0{2 if name == newer else 1}"}
        body = {"schema": measurements.SCHEMA, "environment": ENVIRONMENT, "rows": [row]}
        (tmp_path / name).write_text(json.dumps(body))
    assert [f.median for f in measurements.previous(tmp_path, "aaaa")] == [2.0]


def test_what_was_not_measured_again_is_kept_with_its_date(tmp_path):
    path = tmp_path / "throughput.json"
    measurements.write([shown(1.0), shown(2.0, name="same")], ENVIRONMENT, path)
    measurements.write([shown(3.0)], {**ENVIRONMENT, "commit": "newer"}, path)
    found = {f.name: (f.median, f.commit) for f in measurements.previous(tmp_path, "aaaa")}
    assert found == {"27k adamw: ours, jax": (3.0, "newer"), "same": (2.0, "c0ffee")}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("jax", "adamw"), ("jax", "soap"), *itertools.product(("torch", "theirs"), optimizers.entrants())],
)
def test_every_update_alone_moves_parameters(kind, name, monkeypatch, tmp_path):
    monkeypatch.setenv("OPTIMIZER_BENCHMARK_CACHE", str(tmp_path))
    pytest.importorskip("torch")
    if kind == "theirs":
        pytest.importorskip("pytorch_optimizer")
    if kind == "theirs" and name not in costs.THEIR_RULES:
        with pytest.raises(ValueError, match="has no"):
            blocks.update(kind, name, "13k", 2)()
        return
    monkeypatch.setattr(blocks.tasks.Task, "steps", lambda task, batch: 100)
    seen = watched(kind, monkeypatch)
    blocks.update(kind, name, "13k", 3)()
    moved = {key: np.abs(np.asarray(after) - np.asarray(before)).max() for key, before, after in seen()}
    assert set(moved) == set(parameters.roles(scales.get("13k")))
    assert all(0 < size < 10 for size in moved.values()), moved


def watched(kind, monkeypatch):
    """A function that tells (name, before, after) of every parameter of the block built after this call."""
    if kind == "jax":
        from tools.bench import update_jax

        blocks = []
        monkeypatch.setattr(update_jax, "_wait", lambda loop, *given: blocks.append((given[0], loop(*given))))
        return lambda: [(key, before, blocks[-1][1][key]) for key, before in blocks[-1][0].items()]
    from tools.bench import update_torch

    make, kept = update_torch._with_gradients, {}

    def remembered(*arguments):
        values = make(*arguments)
        kept.update({key: (value.detach().clone(), value) for key, value in values.items()})
        return values

    monkeypatch.setattr(update_torch, "_with_gradients", remembered)
    return lambda: [(key, before, value.detach()) for key, (before, value) in kept.items()]


@pytest.mark.parametrize("name", costs.THEIR_RULES)
def test_the_other_rule_is_named_after_its_package(name):
    pytest.importorskip("pytorch_optimizer")
    from tools.bench import update_torch

    trial, optimizer = trials.at_defaults(name, scales.get("13k"), 100)
    params = parameters.roles(scales.get("13k"))
    rules = update_torch._rules(trial, optimizer, params, update_torch._with_gradients(params))
    assert all(type(rule).__module__.startswith(f"{costs.THEIR_RULES[name]}.") for rule in rules)


def test_blocks_of_a_large_matrix_are_given_to_the_package_one_by_one():
    pytest.importorskip("torch")
    from tools.bench import update_torch

    params = parameters.roles(dataclasses.replace(scales.get("130m"), layers=1))
    params = {name: p for name, p in params.items() if name.endswith(("q", "up", "attn_norm"))}
    values = update_torch._with_gradients(params, 256)
    assert sum(v.numel() for v in values.values()) == sum(p.size for p in params.values())
    assert {tuple(v.shape) for v in values.values()} == {(256, 256), (1, 256)}


def test_a_step_needs_its_parameters_and_activations():
    planned = blocks.planned_memory("13k", 8)
    total = scales.get("13k").total_params
    logits = 8 * 128 * 512 * 4
    assert 3 * 4 * total + logits < planned < 50e6


def test_a_second_worker_finds_its_programs(tmp_path):
    first = turns.ask(blocks.compilations, ("adamw",), "13k", tmp_path)
    second = turns.ask(blocks.compilations, ("adamw",), "13k", tmp_path)
    assert first[0] == second[0]
    assert first[1] >= 3  # init, advance, evaluate
    assert second[1] == 0


def test_a_pack_is_as_good_as_single_runs():
    assert blocks.pack_deviation("13k", 8, 2) < 1e-5


def test_a_made_up_sweep_is_read_back(tmp_path):
    count = reading.write(tmp_path / "results" / "made-up", 11 * 12 * 6)
    loaded = store.load(tmp_path / "results")
    assert count == 11 * 12 * 6
    assert not loaded.damaged
    assert len(loaded.runs) == count


@pytest.mark.parametrize(("handler", "status"), [("SIG_IGN", -signal.SIGKILL), ("SIG_DFL", -signal.SIGINT)])
def test_a_sweep_that_does_not_end_is_killed(handler, status):
    sleeper = f"import signal, time; signal.signal(2, signal.{handler}); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", sleeper], stdout=subprocess.PIPE) as sweep:
        assert sweep.stdout is not None
        sweep.stdout.readline()  # its handler is set
        overhead._end(sweep, 1.0 if handler == "SIG_IGN" else 30.0)
        assert sweep.returncode == status


def test_bad_input_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--groups", "throughputs"])
    assert "unknown group 'throughputs'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench.main(["--scales", "27K"])
    assert "unknown scale '27K' (did you mean '27k'?)" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at most 128 steps"):
        blocks.ours("jax", "adamw", "13k", 129)
    (tmp_path / "throughput.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        measurements.previous(tmp_path, "aaaa")
