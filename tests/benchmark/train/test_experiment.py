"""The fixed experiment: the study's scales and budgets, the schedule's shape, the order of the data."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmark import scales, tasks
from benchmark.data import batches
from benchmark.train import parameters
from benchmark.train.schedule import multiplier

# arXiv 2509.02046: 32 layers, widths 512 to 1536, MLP four times as wide
STUDY = {"130m": 134_217_728, "300m": 301_989_888, "520m": 536_870_912, "1.2b": 1_207_959_552}


@pytest.mark.parametrize("name", STUDY)
def test_the_studys_scales_exactly(name):
    assert scales.get(name).num_params == STUDY[name]


def test_the_studys_token_budgets():
    assert tasks.parse("130m-1x").tokens == 2_684_354_560
    assert tasks.parse("520m-8x").tokens == 85_899_345_920
    assert tasks.parse("1.2b-1x").tokens == 24_159_191_040
    assert tasks.parse("130m-1x").steps(128) == 5120


@pytest.mark.parametrize("scale", scales.SCALES.values(), ids=str)
def test_counts_agree_with_the_shapes(scale):
    roles = parameters.roles(scale)
    assert sum(p.size for p in roles.values() if p.role == "hidden") == scale.num_params
    assert sum(p.size for p in roles.values()) == scale.total_params
    assert scale.width % scale.heads == 0 and scale.width // scale.heads % 2 == 0  # RoPE turns pairs


@pytest.mark.parametrize(
    "name", [s.name for s in scales.SCALES.values() if s.ladder == "micro" and s.name != "13k"]
)
def test_micro_ladder_starts_with_enough_steps(name):
    scale = scales.get(name)
    assert tasks.Task(scale, 1.0).steps(scale.batch_size) >= 500
    assert scale.batch_size in scale.batch_sizes


@pytest.mark.parametrize("name", [s.name for s in scales.SCALES.values() if s.ladder == "gpu"])
def test_a_scale_for_one_gpu_is_between_micro_and_paper_and_starts_with_a_thousand_steps(name):
    scale = scales.get(name)
    least, most = scales.get("400k"), scales.get("130m")
    for fact in ("num_params", "layers", "width", "seq_len", "vocab", "batch_size"):
        first, here, last = (getattr(s, fact) for s in (least, scale, most))
        assert first <= here <= last or fact in ("width", "batch_size"), fact
    assert 4096 <= scale.vocab <= 16_384 and 512 <= scale.seq_len <= 1024 and scale.layers == 8
    assert tasks.Task(scale, 1.0).steps(scale.batch_size) >= 1000
    assert scale.batch_size in scale.batch_sizes
    assert scale.width % 16 == 0 and scale.width // scale.heads % 8 == 0  # what a GPU's kernels want


@pytest.mark.parametrize(
    "name", [name for name in scales.SCALES if name != "520m"]
)  # the published study's word for 537m
def test_a_scale_is_called_by_its_parameters_rounded(name):
    number, unit = float(name[:-1]), {"k": 1e3, "m": 1e6, "b": 1e9}[name[-1]]
    digits = len(name[:-1].replace(".", "").rstrip("0"))
    assert float(f"{scales.get(name).num_params:.{digits}g}") == number * unit


def test_the_ladders_stand_in_order():
    assert scales.position("micro") == 0 < scales.position("gpu") < 1 == scales.position("paper")
    sizes = [s.num_params for s in scales.SCALES.values()]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("bad", ["27k", "27k-x", "27k-0x", "27k--1x", "28k-1x", "27k-1", ""])
def test_bad_task_names_are_refused(bad):
    with pytest.raises(ValueError, match="unknown"):
        tasks.parse(bad)


def shape(steps: int, **changes: float) -> np.ndarray:
    given = {"warmup_fraction": 0.1, "decay_kind": 0.0, "decay_fraction": 1.0, "final_lr_ratio": 0.0} | changes
    return np.array([multiplier(np, t, steps, **given) for t in range(steps)])


def test_cosine_schedule():
    values = shape(100)
    assert np.allclose(values[:10], np.arange(1, 11) / 10)  # linear warmup that ends at the peak
    expected = 0.5 * (1 + np.cos(np.pi * (np.arange(10, 100) - 10) / 90))
    assert np.allclose(values[10:], expected)


def test_linear_schedule_that_stays_stable_first():
    values = shape(100, decay_kind=1.0, decay_fraction=0.2, warmup_fraction=0.0, final_lr_ratio=0.1)
    assert np.all(values[:81] == 1.0)
    assert np.allclose(values[80:], 0.1 + 0.9 * (1 - np.arange(20) / 20))


def test_a_square_root_decay_ends_faster_than_it_begins():
    values = shape(100, decay_kind=2.0, decay_fraction=0.2, warmup_fraction=0.0)
    assert np.all(values[:81] == 1.0)
    assert np.allclose(values[80:], 1 - np.sqrt(np.arange(20) / 20))


def test_a_power_schedule_falls_with_tokens_from_the_end_of_warmup():
    values = shape(1000, decay_kind=3.0, decay_fraction=0.2)
    assert values[99] == 1.0 and values[399] == pytest.approx(4**-0.51)
    assert values[900] == pytest.approx(0.5 * 9.01**-0.51)


@pytest.mark.parametrize("kind", [1.0, 2.0, 3.0])
def test_a_run_twice_as_long_begins_as_the_shorter_one(kind):
    short = shape(200, decay_kind=kind, decay_fraction=0.2, warmup_fraction=0.1)
    long = shape(400, decay_kind=kind, decay_fraction=0.2, warmup_fraction=0.05)
    assert np.allclose(short[:160], long[:160], rtol=1e-12) and short[199] < 0.2 * long[199]


@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", [0.0, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 77])
def test_schedule_stays_in_bounds_and_agrees_in_jax(warmup, fraction, kind, steps):
    values = shape(steps, warmup_fraction=warmup, decay_fraction=fraction, decay_kind=kind)
    assert np.all((values >= 0) & (values <= 1)) and np.all(values[: steps // 2] > 0)
    given = (jnp.int32(steps), warmup, kind, fraction, 0.0)
    assert np.allclose(multiplier(jnp, jnp.arange(steps), *given), values, atol=1e-6)


def test_batch_sizes_consume_one_stream_in_order():
    small = batches.order(100_000, 128, 4, 80, seed=3)
    large = batches.order(100_000, 128, 32, 10, seed=3)
    assert np.array_equal(small.ravel(), large.ravel())
    assert not np.array_equal(small, batches.order(100_000, 128, 4, 80, seed=4))


def test_every_epoch_visits_every_sequence_once():
    order = batches.order(1281, 128, 5, 6, seed=0).ravel()
    assert len(order) == 30
    for epoch in order.reshape(3, 10):
        assert sorted(epoch) == list(range(10))


def test_longer_runs_begin_like_shorter_ones():
    short, long = (batches.order(100_000, 128, 8, steps, seed=0) for steps in (10, 40))
    assert np.array_equal(short, long[:10])


def test_evaluation_sequences_carry_their_targets():
    tokens = np.arange(1000, dtype=np.uint16)
    sequences = batches.fixed_sequences(tokens, 128, 7)
    assert sequences.shape == (7, 129)
    assert np.array_equal(sequences[1], np.arange(128, 257))
    with pytest.raises(ValueError, match="evaluation needs 8 sequences"):
        batches.fixed_sequences(tokens, 128, 8)


def test_initial_values_are_paired_by_seed():
    scale = scales.get("27k")
    first, again, other = (parameters.initial(scale, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["head"], other["head"])
    assert not np.array_equal(first["layers.0.q"], first["layers.1.q"])
    assert first["layers.0.gate"].std() == pytest.approx(32**-0.5, rel=0.05)


def test_model_flops_by_hand():
    scale = scales.get("27k")
    forward = 2 * (26_624 + 512 * 32) + 2 * (2 * 2 * 128 * 32)  # matrices and head; scores and mix, two layers
    assert parameters.flops_per_token(scale) == 3 * forward
