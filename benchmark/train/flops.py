"""FLOPs counted from shapes: a multiply-add is 2, a backward pass twice its forward pass."""

from benchmark.scales import Scale


def model_flops_per_token(scale: Scale) -> float:
    """Forward and backward FLOPs of one token: every matrix product, head and full attention scores included.

    Recomputed activations, norms, softmax and the embedding lookup are not counted.
    """
    matrices = scale.num_params + scale.vocab * scale.width
    attention = scale.layers * 2 * scale.seq_len * scale.width  # scores and their mix, per token
    return 6.0 * (matrices + attention)
