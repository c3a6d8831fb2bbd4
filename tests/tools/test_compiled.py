"""The figures of `python -m tools.compiled`, on programs small enough to count by hand; no CUDA compiler."""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from benchmark import scales
from benchmark.train import parameters
from tools.compiled import step_jax, traffic

MODULE = """
%fused (param_0: f32[4,8], param_1: s32[]) -> f32[8] {
  %param_0 = f32[4,8]{1,0} parameter(0)
  %param_1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %cut = f32[1,8]{1,0} dynamic-slice(%param_0, %param_1, %zero), dynamic_slice_sizes={1,8}
  ROOT %flat = f32[8]{0} bitcast(%cut)
}

%body (state: (s32[], f32[4,8], f32[8])) -> (s32[], f32[4,8], f32[8]) {
  %state = (s32[], f32[4,8]{1,0}, f32[8]{0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %all = f32[4,8]{1,0} get-tuple-element(%state), index=1
  %row = f32[8]{0} fusion(%all, %i), kind=kLoop, calls=%fused, metadata={op_name="row"}
  ROOT %next = (s32[], f32[4,8]{1,0}, f32[8]{0}) tuple(%i, %all, %row)
}

ENTRY %main (a: f32[4,8], b: bf16[4,8]) -> f32[4,8] {
  %a = f32[4,8]{1,0} parameter(0)
  %b = bf16[4,8]{1,0} parameter(1)
  %start = (s32[], f32[4,8]{1,0}, f32[8]{0}) tuple(%a)
  %loop = (s32[], f32[4,8]{1,0}, f32[8]{0}) while(%start), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  ROOT %sum = f32[4,8]{1,0} add(%a, %b), metadata={op_name="sum"}
}
"""  # noqa: E501


def test_traffic_counts_slices_as_slices_and_loops_as_often_as_they_run():
    row, total = sorted(traffic.kernels(MODULE), key=lambda kernel: kernel.origin)
    assert (row.origin, row.runs, row.moved) == ("row", 5, 5 * (32 + 4 + 32))  # a row, its number, the result
    assert (total.origin, total.runs, total.moved) == ("sum", 1, 128 + 64 + 128)


def test_flops_count_every_round_of_a_scan():
    def function(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda y, _: (y @ w, None), x, None, length=3)[0]

    assert step_jax.flops(function, jnp.ones((2, 4)), jnp.ones((4, 4))) == 3 * 2 * 2 * 4 * 4


def test_a_shallow_gradient_executes_the_models_flops():
    """And no more: nothing is recomputed there, but scores and their mix are products of whole matrices."""
    scale = scales.get("27k")
    executed = step_jax.gradient_flops(scale, 8, "float32", "plain")
    assert executed == pytest.approx(parameters.flops_per_token(scale) * 8 * scale.seq_len, rel=0.01)


def test_a_deep_gradient_recomputes_each_layer_once_and_no_logits():
    scale = scales.get("130m")
    executed = step_jax.gradient_flops(scale, 128, "bfloat16", "plain")
    model = parameters.flops_per_token(scale) * 128 * scale.seq_len
    head = 6.0 * scale.vocab * scale.width * 128 * scale.seq_len
    assert 1 < executed / model < (head + (model - head) * 4 / 3) / model + 0.001


def test_without_a_cuda_compiler_the_command_says_so_in_one_line():
    command = [sys.executable, "-m", "tools.compiled", "130m"]
    if importlib.util.find_spec("jax_plugins"):
        pytest.skip("this jax has plugins")
    done = subprocess.run(command, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and "no CUDA compiler" in last and "pip install" in last
