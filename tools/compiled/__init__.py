"""What a training step would take on an H100, from its program as compiled for one on a machine without any."""
