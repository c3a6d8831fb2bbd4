"""Simulated sweeps whose truth is known, and what the analysis makes of them."""
