"""What a sweep costs: counted from shapes, timed on this machine, and by the plan's own trials."""

import dataclasses

import pytest

import sweeps
from benchmark import scales
from benchmark.spec import Outcome
from benchmark.train import runner
from optimizers import get
from sweeps.run import calibrate
from sweeps.run.calibrate import Speed
from sweeps.run.price import BUSY, memory_bytes, price, table
from sweeps.search.contestants import contestants, optimizer_class
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


def test_the_paper_is_priced_for_gpus_without_timing_anything(monkeypatch):
    monkeypatch.setattr(calibrate, "_timed", lambda *_: pytest.fail("nothing here can train these"))
    sweep = dataclasses.replace(sweeps.get("paper"), contestants=contestants(("adamw",)))
    speed = calibrate.speed(sweep, 8)
    assert set(speed.by_scale.values()) == {0.4 * 989e12}
    text = table(sweep, {}, 8, speed)
    assert "40% of 989 TFLOP/s" in text and "8 workers" in text
    stated = calibrate.speed(sweep, 8, 1e15)
    assert set(stated.by_scale.values()) == {0.4e15}


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

    from benchmark.train import parameters, trainer_jax

    optimizer = get("adamw")()
    blank = optimizer.replace(**dict.fromkeys(optimizer.floats(), 0.0))
    functions = trainer_jax.programs(blank, scale, "float32", 1)._functions
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
