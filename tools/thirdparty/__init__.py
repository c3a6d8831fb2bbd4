"""Optimizers of other packages, each brought in as a user would: what the benchmark makes of them."""
