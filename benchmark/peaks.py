"""What a device could do at most, for the share of it that training reaches."""

# name in what the driver calls it -> dense bfloat16 FLOP/s without sparsity, from NVIDIA's data sheets; the
# first that fits counts. Boards of one name at other power limits do less.
BFLOAT16 = (
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("GH200", 989e12),
    ("B200", 2250e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
    ("A10", 125e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)


def peak(device: str, precision: str) -> float | None:
    """FLOP/s of a device by the name that a trainer gives it; None where it is not known."""
    if precision != "bfloat16":  # whether float32 products run as such or as TF32 is up to the framework
        return None
    words = f" {device} ".replace("-", " ")
    return next((peak for name, peak in BFLOAT16 if f" {name} " in words), None)
