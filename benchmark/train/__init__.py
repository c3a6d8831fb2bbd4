"""One training run: the decoder twice, its trainers, and what they return."""
