"""What a sweep costs: counted from shapes, timed on this machine, and by the plan's own trials."""

import dataclasses
from pathlib import Path

import pytest

import optimizers
import sweeps
from benchmark import scales, steps
from benchmark.kit import admission
from benchmark.spec import Outcome
from benchmark.steps import Step
from benchmark.train import runner
from optimizers import get
from sweeps.run import calibrate
from sweeps.run.calibrate import Speed
from sweeps.run.price import BUSY, cell_line, memory_bytes, price, table
from sweeps.run.progress import opening
from sweeps.search.cells import cells_of
from sweeps.search.contestants import at_start, contestants, optimizer_class
from sweeps.search.manifest import manifest
from sweeps.search.plan import plan
from sweeps.search.sweep import Sweep


@pytest.fixture(scope="module")
def quick() -> Sweep:
    return dataclasses.replace(sweeps.get("quick"), contestants=contestants(("adamw", "muon")))


SPEED = Speed({"27k": 1e10}, "stated")


def test_trials_and_tokens_are_the_plan_s(quick):
    lines = price(quick, {}, SPEED)
    now = plan(quick, {})
    assert sum(line.trials for line in lines) == now.remaining
    assert sum(line.tokens for line in lines) == now.remaining_tokens
    assert [line.phase for line in lines] == list(dict.fromkeys(stage.phase for stage in quick.stages))


def test_a_running_sweep_counts_as_the_dry_run_does(quick, monkeypatch):
    """Trials, cells and tokens of the first line are those of the dry run's table, and its cells the page's:
    also of a sweep some of whose searches may never be needed."""
    monkeypatch.setattr(admission, "admit_named", lambda *_: None)
    own = contestants(("adamw",), [str(Path(__file__).parents[3] / "examples" / "mine_optax.py")])
    looked = dataclasses.replace(quick, contestants=own, search_looks=(2, 4))
    for sweep in (quick, looked):
        now = plan(sweep, {})
        total = next(row for row in table(sweep, {}, 1, SPEED, now).splitlines() if row.startswith("total"))
        cells, trials, tokens = total.split()[1:4]
        said = opening(sweep, now)
        assert f"at least {trials} trials and {tokens} tokens to go; 0 of {cells} cells" in said
        assert len(manifest(sweep, now)["cells"]) == int(cells)
    assert int(cells) < len(cells_of(looked)), "of its four searches two are under way"


def test_what_has_a_record_costs_nothing(quick):
    first = plan(quick, {}).ready[0]
    done = runner.record(first, optimizer_class(first.optimizer, ""), Outcome("finished", val_loss=3.0))
    before, after = price(quick, {}, SPEED), price(quick, {first.trial_id: done}, SPEED)
    assert before[0].trials - after[0].trials == 1
    assert before[0].tokens - after[0].tokens == first.tokens
    assert before[0].worker_seconds > after[0].worker_seconds
    assert before[1:] == after[1:]


def test_time_is_work_over_speed(quick):
    line = next(line for line in price(quick, {}, SPEED) if line.phase == "I")
    assert line.worker_seconds == pytest.approx(line.flops / 1e10 / BUSY)
    # tuning and the first look's reports of an optimizer and of the baseline, which is searched several times,
    # 355 kFLOP a token and a little for rules and evaluations
    stages = [stage for stage in quick.stages if stage.phase == "I"]
    tokens = sum((stage.budget + quick.protocol.looks[0]) * stage.task.tokens for stage in stages)
    floor = (1 + quick.protocol.baseline_times) * tokens * 356_352
    assert floor < line.flops < 1.3 * floor


def test_scales_without_a_kept_step_are_priced_for_gpus_at_a_flat_share(monkeypatch):
    monkeypatch.setattr(calibrate, "_timed", lambda *_: pytest.fail("nothing here can train these"))
    monkeypatch.setattr(steps, "known", lambda: ())
    sweep = dataclasses.replace(sweeps.get("paper"), contestants=contestants(("adamw",)))
    speed = calibrate.speed(sweep, 8)
    assert set(speed.by_scale.values()) == {0.4 * 989e12}
    text = table(sweep, {}, 8, speed)
    assert "40% (assumed) of 989 TFLOP/s" in text and "8 workers" in text and "arrays, estimated" in text
    stated = calibrate.speed(sweep, 8, 1e15)
    assert set(stated.by_scale.values()) == {0.4e15}


KEPT = Step("2m", "adamw", "bfloat16", steps.COMPILED, 989e9, 33.5e9, 2000, 5e8, "a command")  # 1 + 10 + 6 ms


def test_a_kept_step_is_the_price_of_its_scale(monkeypatch):
    """AdamW's by its figures, others' by their work beside it; what has none is told apart in words."""
    monkeypatch.setattr(steps, "known", lambda: (KEPT,))
    sweep = dataclasses.replace(sweeps.get("gpu"), contestants=contestants(("adamw", "soap")), pack=1)
    for pack, ms in ((1, 17.0), (4, 12.5)):
        packed = dataclasses.replace(sweep, pack=pack)
        speed, cells = calibrate.speed(packed, 1), cells_of(packed)
        cell = next(c for c in cells if c.contestant.name == "adamw" and c.stage.task.name == "2m-1x")
        line = cell_line(packed, cell, 100, 0, speed)
        # 1,280 steps, a little for AdamW's own arithmetic and the evaluations
        assert line.worker_seconds == pytest.approx(100 * 1280 * ms / 1e3 / BUSY, rel=0.01)
        assert speed.by_scale["6m"] == 0.4 * 989e12
        assert f"2m {8.2463e11 / ms / 989e9:.0%} (compiled, not run), 6m 40%, 20m 40% (assumed)" in speed.basis
    assert calibrate.speed(sweep, 1, 2e15).by_scale["2m"] == pytest.approx(
        2e15 / 989e12 * 8.2463e11 / 0.017, rel=1e-3
    )


def test_what_was_timed_counts_before_what_was_compiled(tmp_path):
    path = tmp_path / "steps.json"
    timed = dataclasses.replace(KEPT, how="NVIDIA H100", seconds=0.02)
    for one in (
        KEPT,
        dataclasses.replace(timed, seconds=0.5),
        timed,
        dataclasses.replace(timed, pack=8, seconds=0.01),
    ):
        steps.keep(one, path)
    kept = steps.known(path)
    assert len(kept) == 3, "the same figures timed again take the place of the older ones"
    seconds = {pack: steps.find(kept, "2m", "bfloat16", "adamw", pack).takes(pack) for pack in (1, 4, 8)}
    assert seconds == {1: 0.02, 4: 0.02, 8: 0.01}
    assert steps.find(kept, "2m", "float32", "adamw") is steps.find(kept, "6m", "bfloat16", "adamw") is None


def test_memory_is_the_kept_step_s_and_of_others_by_their_state(monkeypatch):
    scale = scales.get("2m")
    monkeypatch.setattr(steps, "known", lambda: (KEPT, dataclasses.replace(KEPT, optimizer="kron", memory=9e8)))
    found = {
        name: memory_bytes(at_start(contestants((name,))[0], scale), scale, 64, "bfloat16", name)
        for name in ("adamw", "lion", "soap", "kron")
    }
    assert found["adamw"] == 5e8 and found["kron"] == 9e8
    assert found["lion"] == 5e8 - 4 * scale.total_params  # one average less
    assert found["soap"] > 5e8 + 4 * 2 * scale.total_params  # bases and factors


@pytest.mark.parametrize("step", steps.known(), ids=lambda step: f"{step.scale} {step.optimizer}")
def test_memory_is_a_kept_step_s_and_within_15_percent_of_it_where_it_is_not_known(step, monkeypatch):
    """By AdamW's step at the scale and by its own of another scale, and by the latter alone."""
    scale = scales.get(step.scale)
    optimizer = at_start(contestants((step.optimizer,))[0], scale)

    def found(known: list[steps.Step]) -> float:
        monkeypatch.setattr(steps, "known", lambda: tuple(known))
        return memory_bytes(optimizer, scale, scale.batch_size, step.precision, step.optimizer)

    everything = list(steps.known())
    assert found(everything) == step.memory
    others = [one for one in everything if (one.scale, one.optimizer) != (step.scale, step.optimizer)]
    if step.optimizer in {one.optimizer for one in others}:
        assert found(others) == pytest.approx(step.memory, rel=0.15)
        assert found([one for one in others if one.scale != step.scale]) == pytest.approx(step.memory, rel=0.15)


def test_memory_rests_on_the_start_of_the_scale_not_on_the_defaults(monkeypatch):
    """Without blocks, as on the micro ladder, Soap's factors at 60m would be several times its parameters."""
    monkeypatch.setattr(steps, "known", lambda: ())
    sweep = dataclasses.replace(sweeps.get("gpu"), contestants=contestants(("adamw", "soap")))
    soap = next(c for c in cells_of(sweep) if c.contestant.name == "soap" and c.stage.task.name == "20m-0.5x")
    line = cell_line(sweep, soap, 1, 0, calibrate.speed(sweep, 1))
    scale = soap.stage.task.scale
    whole = memory_bytes(get("soap")(), scale, scale.batch_size, sweep.precision)
    blocks = memory_bytes(get("soap")(block_size=256), scale, scale.batch_size, sweep.precision)
    assert line.memory_bytes == blocks < whole


def test_the_night_on_one_gpu_takes_a_night():
    """Figures of every scale are kept, and the whole field stays within what its docstring says."""
    everyone = ("adamw", *(n for n in optimizers.entrants() if n != "adamw"), "adamw~2")
    sweep = dataclasses.replace(sweeps.get("gpu"), contestants=contestants(everyone))
    speed = calibrate.speed(sweep, 1)
    assert "assumed" not in speed.basis and "packs of 4" in speed.basis
    lines = price(sweep, {}, speed)
    assert 6 < sum(line.worker_seconds for line in lines) / 3600 < 10
    assert 4 * max(line.memory_bytes for line in lines) < 20e9  # a pack on a GPU of 24 GB


def test_training_is_timed_at_every_scale(monkeypatch, quick):
    """The real thing, with one worker and a tenth of the steps."""
    monkeypatch.setattr(calibrate, "TIMED_WORK", 2e9)
    sweep = with_corpus(quick)
    rate = calibrate.speed(sweep, 1).by_scale["27k"]
    assert 1e9 < rate < 1e12


def test_a_baseline_that_cannot_be_trained_is_one_line(quick):
    with pytest.raises(ValueError, match="corpus") as caught:
        calibrate.speed(dataclasses.replace(quick, corpus_hash="of another corpus"), 1)
    assert "\n" not in str(caught.value)


def with_corpus(sweep: Sweep) -> Sweep:
    from benchmark.data.corpora import prepare

    corpus = prepare(sweep.corpus, 512)
    return dataclasses.replace(sweep, corpus_hash=corpus.corpus_hash, tokenizer_hash=corpus.tokenizer_hash)


@pytest.mark.parametrize(("scale", "batch"), [("27k", 8), ("55k", 16), ("220k", 32)])
def test_memory_is_what_the_compiled_program_takes(scale, batch):
    """XLA's own account of arguments and temporaries, within a quarter."""
    shape, optimizer = scales.get(scale), get("adamw")()
    assert memory_bytes(optimizer, shape, batch, "float32") == pytest.approx(compiled(shape, batch), rel=0.25)


def compiled(scale: scales.Scale, batch: int) -> float:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmark.train import parameters, programs_jax, trainer_jax

    optimizer = get("adamw")()
    blank = optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0))
    functions = programs_jax.programs(blank, scale, "float32", 1)._functions
    names = ("warmup_fraction", "decay_fraction", "final_lr_ratio", "decay_kind")
    setting = {
        "hyperparameters": {k: np.float32(v) for k, v in optimizer.floats().items()},
        "schedule": dict.fromkeys(names, np.float32(0.1)),
        "ratios": dict.fromkeys(("embedding_lr_ratio", "head_lr_ratio"), np.float32(1)),
        "clip_norm": np.float32(1),
        "steps": np.int32(100),
        "key": np.asarray(jax.random.key_data(jax.random.key(0))),
    }
    params = {k: jax.ShapeDtypeStruct(p.shape, jnp.float32) for k, p in parameters.roles(scale).items()}
    state = jax.eval_shape(functions["init"], params, setting)
    stream, order = (
        jax.ShapeDtypeStruct((2,), jnp.uint16),
        jax.ShapeDtypeStruct((trainer_jax.CHUNK, batch), jnp.int32),
    )
    program = functions["advance"].lower((params, state), setting, stream, order, np.int32(1)).compile()
    found = program.memory_analysis()
    return found.argument_size_in_bytes + found.temp_size_in_bytes
