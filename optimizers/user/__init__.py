"""Optimizers of a user's own, from a file."""
