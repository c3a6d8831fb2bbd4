"""The fixed experiment and the reading of its outcome."""
