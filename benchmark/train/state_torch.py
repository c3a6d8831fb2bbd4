"""A torch optimizer's whole state as bytes and back, for checkpoint.py."""

import io
import pickle

import numpy as np
import torch

from optimizers.user.convention_torch import classes_of_package


def state_to_array(rule: torch.optim.Optimizer) -> np.ndarray:
    """An optimizer's whole state as bytes, for a checkpoint."""
    buffer = io.BytesIO()
    torch.save(rule.state_dict(), buffer)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def state_from_array(rule: torch.optim.Optimizer, array: np.ndarray) -> None:
    """Give an optimizer the state that `state_to_array` wrote. Of objects only those of the optimizer's own
    package are read: a file can make no others."""
    data = array.tobytes()
    asked = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    try:
        with torch.serialization.safe_globals(classes_of_package(rule, asked)):
            state = torch.load(
                io.BytesIO(data), map_location=rule.param_groups[0]["params"][0].device, weights_only=True
            )
    except pickle.UnpicklingError:
        raise pickle.UnpicklingError(
            "its state_dict holds what a checkpoint does not read back; keep tensors, numbers, text, lists and"
            " dicts in it"
        ) from None
    rule.load_state_dict(state)
