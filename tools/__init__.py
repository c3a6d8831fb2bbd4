"""The developers' laboratory: speed, agreement, simulated studies. Not part of the package."""
