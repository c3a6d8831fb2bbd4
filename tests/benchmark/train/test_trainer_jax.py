"""The trainer: one program for all float hyperparameters and ratios, packs, bit-exact resuming, divergence."""

import dataclasses
import errno
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optimizers
from benchmark import scales, tasks
from benchmark.spec import Evaluation, Trial
from benchmark.train import checkpoint, model_jax, parameters, programs_jax, trainer_jax, upkeep


class TinyCorpus:
    """Skewed random tokens: enough for a loss to fall from ln 512 to the unigram entropy."""

    name, corpus_hash, tokenizer_hash, vocab = "tiny", "c", "t", 512
    token_bytes = np.full(512, 2)

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        weights = 1 / np.arange(1, 513)
        sizes = {"train": 40_000, "validation": 20_000, "test": 20_000}
        self.splits = {
            k: rng.choice(512, n, p=weights / weights.sum()).astype(np.uint16) for k, n in sizes.items()
        }

    def tokens(self, split: str) -> np.ndarray:
        return self.splits[split]


@pytest.fixture(scope="module")
def corpus():
    return TinyCorpus()


def trial(optimizer="adamw", ratio=0.05, seed=0, points=0, **changes) -> tuple[Trial, optimizers.Optimizer]:
    scale = scales.get("13k")
    built = optimizers.get(optimizer)()
    recipe = {
        "warmup_fraction": 0.1,
        "embedding_lr_ratio": 1.0,
        "head_lr_ratio": 1.0,
        "decay_kind": "cosine",
        "decay_fraction": 1.0,
        "final_lr_ratio": 0.0,
        "clip_norm": 1.0,
        "batch_size": 4,
    }
    setting = {**built.floats(), **built.statics(), **recipe, **changes}
    own = {f.name: setting[f.name] for f in dataclasses.fields(built)}
    task = tasks.Task(scale, ratio)
    made = Trial(
        optimizer=optimizer,
        rule=f"{optimizer}@1",
        scale="13k",
        chinchilla_ratio=ratio,
        tokens=task.tokens,
        steps=task.steps(4),
        seq_len=128,
        vocab=512,
        hyperparameters=setting,
        seed=seed,
        use="tuning",
        corpus="tiny",
        corpus_hash="c",
        tokenizer_hash="t",
        evaluation=Evaluation(sequences=70, curve_points=points, curve_sequences=16),
    )
    return made, built.replace(**own)


def train(*pairs, corpus, **options):
    return trainer_jax.train([t for t, _ in pairs], [o for _, o in pairs], corpus, **options)


def test_loss_falls_and_the_record_is_complete(corpus):
    (out,) = train(trial(points=4), corpus=corpus)
    assert out.status == "finished"
    assert out.val_loss is not None and out.val_loss < math.log(512) - 0.5
    assert [p.step for p in out.curve] == [6, 13, 20, 26]
    assert out.curve[-1].val_loss == pytest.approx(out.val_loss, abs=0.2)
    assert out.bits_per_byte == pytest.approx(out.val_loss / (2 * math.log(2)))
    cost = out.cost
    assert cost.state_bytes == pytest.approx(8 * scales.get("13k").total_params, rel=0.01)
    assert cost.tokens_per_second > 0 and cost.peak_memory_bytes > 0 and cost.model_flops > 0
    assert out.data_epochs == pytest.approx(26 * 4 / 312)


def test_nothing_recompiles_when_float_hyperparameters_change(corpus):
    train(trial(), corpus=corpus)
    made = programs_jax.programs.cache_info().currsize
    programs = _programs(trial())
    before = programs.compilations
    for changes in (
        {"peak_lr": 0.01},
        {"weight_decay": 0.0, "beta1": 0.0, "beta2": 0.5, "eps": 1e-6},
        {"warmup_fraction": 0.0, "decay_kind": "linear", "decay_fraction": 0.3, "final_lr_ratio": 0.2},
        {"clip_norm": 0},
        {"embedding_lr_ratio": 4.0, "head_lr_ratio": 0.5},
    ):
        train(trial(**changes), corpus=corpus)
    train(trial(ratio=0.1), corpus=corpus)  # another ratio of the scale is the same program too
    assert programs.compilations == before
    assert programs_jax.programs.cache_info().currsize == made


def _programs(pair) -> programs_jax.Programs:
    blank = pair[1].replace(**dict.fromkeys(pair[1].floats(), 0.0))
    return programs_jax.programs(blank, scales.get("13k"), "float32", 1, "plain", None)


def test_every_float_hyperparameter_matters(corpus):
    """An accepted argument is used: each one changes the final loss."""
    base = train(trial(), corpus=corpus)[0].val_loss
    for changes in (
        {"peak_lr": 0.02},
        {"weight_decay": 0.5},
        {"beta1": 0.7},
        {"beta2": 0.9},
        {"eps": 1e-3},
        {"warmup_fraction": 0.4},
        {"decay_kind": "linear"},
        {"decay_fraction": 0.5},
        {"final_lr_ratio": 0.5},
        {"clip_norm": 0.1},
        {"embedding_lr_ratio": 2.0},
        {"head_lr_ratio": 2.0},
    ):
        assert train(trial(**changes), corpus=corpus)[0].val_loss != base, changes


def test_runs_are_deterministic_and_seeds_differ(corpus):
    first, again, other = (train(trial(seed=s), corpus=corpus)[0].val_loss for s in (0, 0, 1))
    assert first == again != other


def test_a_pack_equals_its_single_runs(corpus):
    pairs = [
        trial(seed=0),
        trial(seed=1, peak_lr=0.01, head_lr_ratio=2.0),
        trial(seed=2, clip_norm=0.0, decay_kind="linear", embedding_lr_ratio=4.0),
    ]
    packed = train(*pairs, corpus=corpus)
    for pair, together in zip(pairs, packed, strict=True):
        (alone,) = train(pair, corpus=corpus)
        assert together.val_loss == pytest.approx(alone.val_loss, abs=1e-5)  # summation order differs


@pytest.mark.parametrize("optimizer", ["adamw", "scion"])
def test_a_ratio_scales_its_roles_whole_step(corpus, optimizer):
    """Decay included and after the rule: Scion's step has the same norm whatever the gradient's."""

    def step(**changes) -> dict[str, np.ndarray]:
        pair = trial(optimizer, weight_decay=0.5, warmup_fraction=0.0, **changes)
        pack, progress = trainer_jax._Pack([pair[0]], [pair[1]], corpus), trainer_jax.Progress(curves=[[]])
        before = parameters.initial(scales.get("13k"), 0)
        pack.advance(progress, 1)
        return {name: np.asarray(value) - before[name] for name, value in pack.carry[0].items()}

    plain, scaled = step(), step(embedding_lr_ratio=4.0, head_lr_ratio=0.5)
    factors = {"embedding": 4.0, "norm": 4.0, "head": 0.5, "hidden": 1.0}
    for name, param in parameters.roles(scales.get("13k")).items():
        np.testing.assert_allclose(scaled[name], factors[param.role] * plain[name], atol=1e-6)
        assert np.abs(plain[name]).max() > 1e-3


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_resuming_is_bit_exact(corpus, tmp_path, monkeypatch, optimizer):
    path = tmp_path / "state.npz"
    pair = trial(optimizer, points=4)
    advance, starts = trainer_jax._Pack.advance, []

    def counted(pack, progress, until):
        starts.append(progress.step)
        advance(pack, progress, until)

    monkeypatch.setattr(trainer_jax._Pack, "advance", counted)
    (whole,) = train(pair, corpus=corpus)
    assert train(pair, corpus=corpus, checkpoint_path=path, max_steps=15) == []
    assert path.exists()
    starts.clear()
    (resumed,) = train(pair, corpus=corpus, checkpoint_path=path)
    assert starts == [15, 20]  # not from the beginning
    assert resumed.val_loss == whole.val_loss
    assert [(p.step, p.val_loss) for p in resumed.curve] == [(p.step, p.val_loss) for p in whole.curve]
    assert resumed.train_loss == whole.train_loss
    assert not path.exists()


def test_told_to_end_a_long_run_keeps_its_state_and_goes_on_bit_for_bit(corpus, tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    (whole,) = train(trial(), corpus=corpus)
    told = iter([False, True])
    monkeypatch.setattr(trainer_jax, "CHUNK", 5)
    monkeypatch.setattr(upkeep, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(upkeep.stopping, "requested", lambda: next(told, False))
    with pytest.raises(KeyboardInterrupt):
        train(trial(), corpus=corpus, checkpoint_path=path)
    assert checkpoint.reached(path) == 10
    (resumed,) = train(trial(), corpus=corpus, checkpoint_path=path)
    assert (resumed.val_loss, resumed.train_loss) == (whole.val_loss, whole.train_loss)
    assert not path.exists()


def test_damaged_checkpoint_starts_afresh(corpus, tmp_path):
    path = tmp_path / "state.npz"
    (whole,) = train(trial(), corpus=corpus)
    train(trial(), corpus=corpus, checkpoint_path=path, max_steps=15)
    path.write_bytes(path.read_bytes()[:500])
    assert train(trial(), corpus=corpus, checkpoint_path=path)[0].val_loss == whole.val_loss


def test_a_full_disk_stops_checkpoints_and_not_the_run(corpus, tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    (whole,) = train(trial(), corpus=corpus)
    train(trial(), corpus=corpus, checkpoint_path=path, max_steps=15)
    kept, tries = path.read_bytes(), []

    def full(*args, **arrays):
        tries.append(path.read_bytes())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(upkeep, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(upkeep, "SHARE", 1e9)
    monkeypatch.setattr(trainer_jax, "CHUNK", 5)
    monkeypatch.setattr(np, "savez", full)
    assert train(trial(), corpus=corpus, checkpoint_path=path)[0].val_loss == whole.val_loss
    assert tries == [kept] * 3


def test_divergence_is_an_outcome_with_a_reason(corpus):
    (out,) = train(trial(peak_lr=1e6, clip_norm=0.0), corpus=corpus)
    assert out.status == "diverged" and out.val_loss is None and out.reason


def test_clipping_scales_by_the_joint_norm_of_its_roles():
    params = parameters.roles(scales.get("13k"))
    grads = {name: jnp.ones(p.shape) for name, p in params.items()}
    clipped = programs_jax._clip(grads, params, ("head",), jnp.float32(2.0))
    assert jnp.linalg.norm(clipped["head"]) == pytest.approx(2.0, rel=1e-5)
    assert jnp.array_equal(clipped["embed"], grads["embed"])
    untouched = programs_jax._clip(grads, params, ("head",), jnp.float32(0.0))
    assert jnp.array_equal(untouched["head"], grads["head"])


def test_attention_is_causal_and_position_matters():
    scale = scales.get("27k")
    params = jax.tree.map(jnp.asarray, parameters.initial(scale, 0))
    rng = np.random.default_rng(0)
    tokens = jnp.asarray(rng.integers(0, 512, (1, 32)))
    logits = model_jax.logits(params, tokens, scale)
    changed = model_jax.logits(params, tokens.at[0, 20].add(1), scale)
    assert jnp.array_equal(logits[:, :20], changed[:, :20])
    assert not jnp.allclose(logits[:, 20:], changed[:, 20:])
    swapped = tokens.at[0, 3].set(tokens[0, 4]).at[0, 4].set(tokens[0, 3])
    assert not jnp.allclose(model_jax.logits(params, swapped, scale)[:, 10], logits[:, 10], atol=1e-4)
