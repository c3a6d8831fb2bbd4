"""A large batch goes through the decoder part by part: the same step, in less memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import optimizers
from benchmark import scales
from benchmark.data import batches
from benchmark.kit import cases
from benchmark.train import loss_jax, model_torch, parameters, parts_torch, trainer_torch

SCALE = scales.get("13k")


@pytest.mark.parametrize(
    ("batch_size", "seq_len", "rows"),
    [(32, 128, 32), (128, 4096, 2), (1024, 4096, 2), (6, 4096, 2), (5, 4096, 1), (4, 10**6, 1)],
)
def test_parts_are_equal_and_as_large_as_fits(batch_size, seq_len, rows):
    assert batches.rows_at_once(batch_size, seq_len) == rows


def sequences(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, SCALE.vocab, (count, SCALE.seq_len + 1)).astype(np.int32)


def gradients(batch: np.ndarray, dtype: str = "float32") -> tuple[int, float, dict[str, jax.Array]]:
    """Bytes of temporaries, loss and gradients at the initial values."""
    values = jax.tree.map(jnp.asarray, parameters.initial(SCALE, 0))
    loss = functools.partial(loss_jax.loss, batch=jnp.asarray(batch), scale=SCALE, dtype=jnp.dtype(dtype))
    program = jax.jit(jax.value_and_grad(loss)).lower(values).compile()
    memory = program.memory_analysis()
    assert memory is not None
    value, grads = program(values)
    return memory.temp_size_in_bytes, float(value), grads


def test_the_gradient_is_that_of_the_whole_batch_in_less_memory(monkeypatch):
    batch = sequences(16)
    memory, loss, grads = gradients(batch)
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", 2 * SCALE.seq_len)
    less, other_loss, others = gradients(batch)
    assert other_loss == pytest.approx(loss, rel=1e-6)
    for name, grad in grads.items():
        np.testing.assert_allclose(others[name], grad, atol=1e-6, err_msg=name)
    assert less < memory / 4


def test_parts_in_bfloat16_are_summed_in_float32(monkeypatch):
    """512 equal parts: a sum in bfloat16 would stop growing after 256 of them."""
    one = sequences(1)
    _, loss, grads = gradients(one, "bfloat16")
    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", SCALE.seq_len)
    _, other_loss, others = gradients(np.repeat(one, 512, axis=0), "bfloat16")
    assert other_loss == pytest.approx(loss, rel=1e-3)
    for name, grad in grads.items():
        assert jnp.linalg.norm(others[name] - grad) < 0.02 * jnp.linalg.norm(grad), name


def torch_losses(name: str, steps: int) -> list[float]:
    optimizer = optimizers.get(name)()
    trial = cases.one_batch_trial(optimizer, "torch", 0, steps)
    run = trainer_torch.TrainingRun(trial, optimizer, cases.one_batch())
    assert run.train()
    return [row[0] for row in run.progress.train_losses]


@pytest.mark.parametrize(("name", "layers"), [("adamw", 1), ("sophia", 1), ("sophia", 5)])
def test_torch_sums_parts_alike(monkeypatch, name, layers):
    """Sophia differentiates twice; from 5 layers on, layers are recomputed too."""
    monkeypatch.setitem(scales.SCALES, "13k", dataclasses.replace(SCALE, layers=layers))
    whole, sizes, loss = torch_losses(name, 3), [], model_torch.loss

    def counted(values, part, scale):
        sizes.append(len(part))
        return loss(values, part, scale)

    monkeypatch.setattr(batches, "TOKENS_AT_ONCE", 2 * SCALE.seq_len)
    monkeypatch.setattr(model_torch, "loss", counted)
    assert torch_losses(name, 3) == pytest.approx(whole, rel=1e-5)
    assert set(sizes) == {2} and len(sizes) > 3


class Kept:
    """A tensor that a graph keeps for its backward pass; counts the bytes that are kept at once."""

    now = most = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        Kept.now += tensor.nbytes
        Kept.most = max(Kept.most, Kept.now)

    def __del__(self) -> None:
        Kept.now -= self.tensor.nbytes


def hessian_product(parts: int) -> tuple[int, list[torch.Tensor]]:
    """Bytes kept at most, and the product of the Hessian of 16 sequences' loss with ones."""
    values = {name: torch.from_numpy(x).requires_grad_() for name, x in parameters.initial(SCALE, 0).items()}
    batch = torch.from_numpy(sequences(16)).long()
    losses = [
        functools.partial(lambda values, part: model_torch.loss(values, part, SCALE) / parts, part=part)
        for part in batch.chunk(parts)
    ]
    Kept.now = Kept.most = 0
    hooks = torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor)
    with hooks, sdpa_kernel(SDPBackend.MATH):
        loss = losses[0](values) if parts == 1 else parts_torch.sum_of_parts(losses, values)
        grads = torch.autograd.grad(loss, list(values.values()), create_graph=True)
        along = torch.stack([grad.sum() for grad in grads]).sum()
        products = torch.autograd.grad(along, list(values.values()), materialize_grads=True)
    return Kept.most, list(products)


def test_second_derivatives_of_parts_are_those_of_the_whole_in_less_memory():
    (memory, whole), (less, split) = hessian_product(1), hessian_product(8)
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    assert less < memory / 4
