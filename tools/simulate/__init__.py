"""Simulated studies whose truth is known, and what the analysis makes of them."""
