"""The developers' laboratory: speed, agreement, simulated sweeps. Not part of the package."""
