"""Damaged input of every kind, drawn by seed: what reads it must say one line, or go on without it.

`python -m tools.fuzz results --n 2000`; __main__.py finds the modes, one file each with a `run(n, seed)`.
"""
