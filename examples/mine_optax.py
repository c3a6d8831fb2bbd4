"""Signed momentum.

The sign of an average of the gradient, with decoupled weight decay on matrices.

An example of a user's own optimizer in optax; put it on the leaderboard with
`python -m sweeps quick --optimizer examples/mine_optax.py`.
"""

import optax

space = {"peak_lr": (0.001, 0.002, 0.004, 0.008), "weight_decay": (0.0, 0.3, 0.6), "beta": (0.8, 0.9, 0.95)}
essential = ("peak_lr", "weight_decay", "beta", "embedding_lr_ratio", "head_lr_ratio")


def jax_optimizer(learning_rate, weight_decay, beta, mask):
    average = optax.ema(beta, debias=False)
    decay = optax.add_decayed_weights(weight_decay, mask)
    return optax.chain(average, optax.scale_by_sign(), decay, optax.scale_by_learning_rate(learning_rate))
